//! One case, from its first command to its last.

use std::path::Path;

use thalweg_run::{BuildOptions, Command as Verb, LargeTables, RejectFilter, Silent};
use thalweg_testkit::{Filter, expect};
use thalweg_warehouse::Access;

use crate::laws::{self, Asked, Snapshot};
use crate::script::{self, Command};
use crate::site::{Site, is_inner, options, try_ask};
use crate::transcript;

const PROJECT: &str = "name: shop\n";

struct Case {
    site: Site,
    before: Snapshot,
    /// Runs that are still to come.
    runs: usize,
}

/// Plays a case and compares what came with what it says, or with what another file says came of it.
pub fn play(file: &Path, expected: Option<&Path>) {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let commands = script::read(&text);
    let runs = commands.iter().filter(|command| is_run(command)).count();
    let mut case = Case { site: Site::new(&[("thalweg.yml", PROJECT)]), before: Snapshot::default(), runs };
    let filter = Filter::new(case.site.project.path());
    let mut written = String::new();
    for command in commands {
        let answer = case.answer(&command);
        if !written.is_empty() && !command.remarks.is_empty() {
            written.push('\n');
        }
        written.push_str(&command.written(&filter.apply(&answer)));
    }
    let is_other = expected.is_some_and(|other| other.exists() || (renews() && written != text));
    expect(expected.filter(|_| is_other).unwrap_or(file), &written);
}

/// Whether expectations are written anew.
fn renews() -> bool {
    std::env::var_os("UPDATE_EXPECT").is_some()
}

fn is_run(command: &Command) -> bool {
    ["build", "load", "run", "replay"].contains(&command.words()[0])
}

impl Case {
    /// What is asked of a run: of a server, where copies of a warehouse take their time, everything of the last one only.
    fn asked(&mut self, command: &Command) -> Asked {
        self.runs -= 1;
        let all = self.runs == 0 || !self.site.is_on_postgres();
        Asked { again: all && !command.flag("moving"), rebuild: all && !command.flag("unrepeatable") }
    }

    fn answer(&mut self, command: &Command) -> String {
        let words = command.words();
        let project = &self.site.project;
        match (words[0], words.get(1).copied()) {
            ("put", Some(path)) => self.site.put(path, command.file()),
            ("append", Some(path)) => project.append(path, command.file()),
            ("remove", Some(path)) => project.remove(path),
            ("move", Some(from)) => {
                let to = project.path().join(words[2]);
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::rename(project.path().join(from), to).unwrap();
            }
            ("remove-folder", Some(path)) => std::fs::remove_dir_all(project.path().join(path)).unwrap(),
            ("target", name) => {
                self.site.target = name.map(str::to_owned);
                self.before = laws::snapshot(&self.site);
            }
            ("build", _) => return self.run(command, Verb::Build),
            ("load", _) => return self.run(command, Verb::Load),
            ("run", _) => return self.run(command, Verb::Run),
            ("replay", _) => return self.replay(command),
            ("test", _) => return self.test(command),
            ("show", Some(_)) => return self.show(command),
            ("write", Some(_)) => self.write(command),
            ("rejects", _) => return self.rejects(),
            ("status", _) => return self.status(),
            ("verify", _) => return self.verify(command),
            ("plan", _) => return self.plan(command),
            ("explain", Some(model)) => return self.explain(model),
            ("why", Some(table)) => return self.why(table, &words[2..]),
            ("files", _) => return self.files(),
            ("landing", _) => return self.landing(),
            (other, _) => panic!("{other} is no command of a case"),
        }
        String::new()
    }

    fn run(&mut self, command: &Command, verb: Verb) -> String {
        let small = LargeTables { read_in_part: 0, ..LargeTables::default() };
        let options = BuildOptions {
            select: command.setting("select"),
            exclude: command.setting("exclude"),
            full_refresh: command.flag("full-refresh"),
            full_tests: command.flag("full-tests"),
            drop_removed: command.flag("drop-removed"),
            large: if command.flag("any-group-is-large") {
                LargeTables { grouped: Some(1), rows_per_group: 1, ..small }
            } else {
                // So many rows are no trouble in a test.
                LargeTables { grouped: Some(100_000), ..small }
            },
            ..options(verb)
        };
        let result = self.site.build_with(&options, &Silent);
        let answer = match &result {
            Ok(outcome) => transcript::outcome(outcome),
            Err(error) => transcript::error(error),
        };
        let asked = self.asked(command);
        self.before =
            self.asserting(&answer, |case| laws::assert_all(&case.site, &case.before, &options, &result, asked));
        answer
    }

    fn replay(&mut self, command: &Command) -> String {
        let options = options(Verb::Build);
        let filter = RejectFilter { stream: command.setting("stream"), ..RejectFilter::default() };
        let result = self.site.open().replay(&filter, &options, &Silent);
        let answer = match &result {
            Ok(outcome) => transcript::outcome(outcome),
            Err(error) => transcript::error(error),
        };
        let asked = self.asked(command);
        self.before =
            self.asserting(&answer, |case| laws::assert_all(&case.site, &case.before, &options, &result, asked));
        answer
    }

    /// Shows what came before a law was found broken.
    fn asserting<T>(&self, answer: &str, act: impl FnOnce(&Self) -> T) -> T {
        struct Told<'a>(&'a str);
        impl Drop for Told<'_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    eprintln!("--- the run before the law was broken\n{}", self.0);
                }
            }
        }
        let _told = Told(answer);
        act(self)
    }

    fn test(&self, command: &Command) -> String {
        let options = BuildOptions { select: command.setting("select"), ..options(Verb::Build) };
        match self.site.open().test(&options, &Silent) {
            Ok(tests) => tests.iter().map(transcript::test).collect::<Vec<_>>().join("\n"),
            Err(error) => transcript::error(&error),
        }
    }

    fn show(&self, command: &Command) -> String {
        let what = command.line.strip_prefix("show ").unwrap_or_default();
        let sql = if what.contains(' ') { what.to_owned() } else { format!("select * from {what}") };
        let Some(mut connection) = self.site.connect(Access::Read) else { return "nothing was built".to_owned() };
        match try_ask(connection.as_mut(), &sql) {
            Ok(rows) => transcript::rows(&rows),
            Err(error) => format!("error: {}", error.lines().next().unwrap_or_default()),
        }
    }

    /// Somebody else writes to the warehouse.
    fn write(&mut self, command: &Command) {
        let sql = command.line.strip_prefix("write ").unwrap_or_default();
        let mut connection = self.site.connect(Access::Write).expect("something was built");
        connection.execute(sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error}"));
        drop(connection);
        self.before = laws::snapshot(&self.site);
    }

    fn rejects(&self) -> String {
        let rejects = self.site.open().rejects(&RejectFilter { all: true, ..RejectFilter::default() }).unwrap();
        let lines: Vec<String> = rejects
            .iter()
            .map(|reject| {
                format!(
                    "  {} {} of run {}, {} record {}: {} [{}]",
                    reject.state, reject.stream, reject.run, reject.file, reject.record, reject.reason, reject.raw
                )
            })
            .collect();
        if lines.is_empty() { "  no rejects".to_owned() } else { lines.join("\n") }
    }

    fn status(&self) -> String {
        let status = self.site.open().status().unwrap();
        let mut lines = Vec::new();
        for table in &status.tables {
            let rows = table.rows.map_or("-".to_owned(), |rows| rows.to_string());
            let mut line = format!("  {} {} {rows}", table.table, table.kind);
            if let Some(stale) = &table.stale {
                line.push_str(&format!(", stale: {stale}"));
            }
            for remark in &table.remarks {
                line.push_str(&format!(", {remark}"));
            }
            lines.push(line);
        }
        lines.join("\n")
    }

    fn plan(&self, command: &Command) -> String {
        let options = BuildOptions { select: command.setting("select"), ..options(Verb::Build) };
        match self.site.open().plan(&options) {
            Ok(plan) => transcript::plan(&plan),
            Err(error) => transcript::error(&error),
        }
    }

    fn explain(&self, model: &str) -> String {
        match self.site.open().explain(model) {
            Ok(explanation) => transcript::explanation(&explanation),
            Err(error) => transcript::error(&error),
        }
    }

    fn why(&self, table: &str, words: &[&str]) -> String {
        let key: Vec<String> = words.iter().filter(|word| **word != "history").map(|word| (*word).to_owned()).collect();
        match self.site.open().why(table, &key, words.contains(&"history")) {
            Ok(why) => transcript::why(&why),
            Err(error) => transcript::error(&error),
        }
    }

    fn verify(&self, command: &Command) -> String {
        let sample = command.setting("sample").map(|share| share.parse().unwrap());
        let options = BuildOptions { sample, ..options(Verb::Build) };
        let outcomes = match self.site.open().verify(&options, &Silent) {
            Ok(outcomes) => outcomes,
            Err(error) => return transcript::error(&error),
        };
        let word = |equal| match equal {
            Some(true) => "equal to",
            Some(false) => "not equal to",
            None => "not compared with",
        };
        let lines: Vec<String> = outcomes
            .iter()
            .map(|outcome| {
                // Which keys are in a sample is left to chance.
                let remark = outcome.remark.as_ref().filter(|_| options.sample.is_none());
                let remark = remark.map(|remark| format!(" ({remark})")).unwrap_or_default();
                format!("  {} {} {}{remark}", outcome.table, word(outcome.equal), outcome.against)
            })
            .collect();
        lines.join("\n")
    }

    /// The folders of the landing that hold something.
    fn landing(&self) -> String {
        let files = self.site.project.files();
        let folders = files.iter().filter_map(|file| Some(file.strip_prefix("landing/")?.rsplit_once('/')?.0));
        let folders: std::collections::BTreeSet<_> = folders.collect();
        folders.into_iter().map(|folder| format!("  {folder}")).collect::<Vec<_>>().join("\n")
    }

    fn files(&self) -> String {
        let files = self.site.project.files();
        let data = files.iter().filter(|file| !is_inner(file) && !file.ends_with(".yml") && !file.ends_with(".sql"));
        data.map(|file| format!("  {file}")).collect::<Vec<_>>().join("\n")
    }
}
