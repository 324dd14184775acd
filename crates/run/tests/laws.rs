//! What must hold after every run, whatever it was about.

use std::collections::BTreeMap;

use thalweg_run::{BuildOptions, RunError, RunOutcome, RunState, Silent, Strategy};
use thalweg_warehouse::Access;

use crate::site::{Rows, Site, ask};

/// What a run must leave as it was when it publishes nothing.
#[derive(Debug, Clone, Default)]
pub struct Snapshot(BTreeMap<String, Rows>, History);

/// How the physical tables stood after each run so far.
type History = Vec<(i64, BTreeMap<String, Rows>)>;

impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// Which of the laws can be asked of a history. Everything by default.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// The same build once more does nothing.
    pub again: bool,
    /// Everything built anew from landing is the same.
    pub rebuild: bool,
}

/// A condition that leaves out parts of tables, which are seen as a whole.
fn without_partitions(site: &Site) -> &'static str {
    if !site.is_on_postgres() {
        return "";
    }
    " and not exists (select 1 from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
     where n.nspname = table_schema and c.relname = table_name and c.relispartition)"
}

/// Everything readers or later runs can see, runs and their times aside.
pub fn snapshot(site: &Site) -> Snapshot {
    let mut state = BTreeMap::new();
    let Some(mut connection) = site.connect(Access::Read) else { return Snapshot::default() };
    let tables = ask(
        connection.as_mut(),
        &format!(
            "select table_schema, table_name from information_schema.tables \
             where table_schema not in ('thalweg', 'pg_catalog', 'information_schema', 'pg_toast'){} order by 1, 2",
            without_partitions(site)
        ),
    );
    for table in tables {
        let name = format!("{}.\"{}\"", table[0].clone().unwrap(), table[1].clone().unwrap());
        let mut rows = ask(connection.as_mut(), &format!("select * from {name}"));
        rows.sort();
        state.insert(name, rows);
    }
    let prepared = ask(connection.as_mut(), "select 1 from information_schema.tables where table_schema = 'thalweg'");
    if !prepared.is_empty() {
        for (table, columns) in [
            ("positions", "*"),
            ("landings", "*"),
            ("rejects", "*"),
            ("extracts", "*"),
            ("consumed", "*"),
            ("tables", "*"),
        ] {
            let mut rows = ask(connection.as_mut(), &format!("select {columns} from thalweg.{table}"));
            rows.sort();
            if !rows.is_empty() {
                state.insert(format!("thalweg.{table}"), rows);
            }
        }
    }
    Snapshot(state, Vec::new())
}

impl Snapshot {
    /// The views people read, as bags.
    fn published(&self) -> BTreeMap<&String, &Rows> {
        self.0.iter().filter(|(name, _)| !name.starts_with("thalweg")).collect()
    }

    fn without(&self, tables: &[&str]) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(name, _)| !tables.contains(&name.as_str()))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
            Vec::new(),
        )
    }

    /// Where two differ, for a message.
    pub fn difference(&self, other: &Self) -> String {
        let mut text = String::new();
        for name in self.0.keys().chain(other.0.keys()) {
            let (before, after) = (self.0.get(name), other.0.get(name));
            if before != after && !text.contains(name) {
                text.push_str(&format!("{name}\n  before {before:?}\n  after  {after:?}\n"));
            }
        }
        text
    }
}

/// Asserts every law after a run. `before` is how things stood before it.
pub fn assert_all(
    site: &Site,
    before: &Snapshot,
    options: &BuildOptions,
    result: &Result<RunOutcome, RunError>,
    asked: Asked,
) -> Snapshot {
    let mut after = snapshot(site);
    after.1.clone_from(&before.1);
    let published = matches!(result, Ok(outcome) if outcome.state == RunState::Published);
    if !published {
        // Where nothing failed, positions may have moved past files without rows.
        let moved: &[&str] = if matches!(result, Ok(outcome) if outcome.state == RunState::Nothing) {
            &["thalweg.positions", "thalweg.landings", "thalweg.extracts"]
        } else {
            &[]
        };
        let (before, after) = (before.without(moved), after.without(moved));
        assert!(before == after, "nothing was published, and yet something changed:\n{}", before.difference(&after));
    }
    if after.0.is_empty() {
        return after;
    }
    if let Ok(outcome) = result {
        assert_balance(outcome);
    }
    let tries_again =
        |outcome: &RunOutcome| outcome.notes.iter().any(|note| note.message.contains("next run tries again"));
    assert_books(site, result.as_ref().is_ok_and(tries_again));
    assert_verified(site);
    if let (Ok(outcome), true) = (result, published) {
        assert_logs(site, &mut after.1, outcome.run);
    }
    if asked.again {
        assert_again(site, &after, options, result);
    }
    // What was left out or failed catches up in a rebuild.
    let current = matches!(result, Ok(outcome) if outcome.stale.is_empty());
    if asked.rebuild && published && current {
        assert_rebuilt(site, &after, options);
    }
    after
}

/// Law 3, counted here and not by the program.
pub fn assert_balance(outcome: &RunOutcome) {
    for step in &outcome.steps {
        let counts = step.counts;
        if ["store", "seed"].contains(&step.kind.as_str()) {
            let sum = counts.inserted
                + counts.updated
                + counts.unchanged
                + counts.deleted_by_mark
                + counts.rejected
                + counts.duplicate;
            assert_eq!(counts.read, sum, "rows read do not add up: {step:?}");
        }
        if step.kind != "view" {
            assert_eq!(
                step.rows_after + counts.deleted_by_mark + counts.deleted_missing,
                step.rows_before + counts.inserted,
                "rows do not add up: {step:?}"
            );
        }
    }
}

/// The ledger and the tables say the same. Sources may be `told_later` that rows were published where they could not be told now.
fn assert_books(site: &Site, told_later: bool) {
    let Some(mut connection) = site.connect(Access::Read) else { return };
    let connection = connection.as_mut();
    if ask(connection, "select 1 from information_schema.tables where table_schema = 'thalweg' and table_name = 'meta'")
        .is_empty()
    {
        return;
    }
    let tables = ask(connection, "select table_name, physical, rows, kind from thalweg.tables");
    let logs: Vec<String> =
        ask(connection, "select physical from thalweg.change_logs").iter().flatten().flatten().cloned().collect();
    let mut known = logs.iter().map(|physical| format!("{physical}.changes")).collect::<Vec<_>>();
    for table in tables {
        let [Some(name), Some(physical), Some(rows), Some(kind)] = &table[..] else { panic!("{table:?}") };
        if kind == "view" {
            continue;
        }
        let counted = ask(connection, &format!("select count(*) from thalweg_data.\"{physical}\""));
        assert_eq!(counted[0][0].as_ref(), Some(rows), "{name} has other rows than the ledger says");
        if kind == "store" || kind == "seed" {
            let strangers = ask(
                connection,
                &format!(
                    "select _origin from thalweg_data.\"{physical}\" where _origin not in (select id from thalweg.extracts)"
                ),
            );
            assert!(strangers.is_empty(), "{name} has rows of unknown origin: {strangers:?}");
        }
        known.push(physical.clone());
        known.push(format!("{physical}.tombstones"));
    }
    let physical = ask(
        connection,
        &format!(
            "select table_name from information_schema.tables where table_schema = 'thalweg_data'{}",
            without_partitions(site)
        ),
    );
    let physical: Vec<String> = physical.into_iter().flatten().flatten().collect();
    for name in &physical {
        assert!(known.contains(name), "{name} is nobody's");
    }
    for log in logs {
        assert!(
            physical.contains(&format!("{log}.changes")),
            "the log of {log} is in the ledger and not in the warehouse"
        );
    }
    for landing in ask(connection, "select manifest from thalweg.landings where state = 'published'") {
        let manifest = landing[0].clone().unwrap();
        let files = site.project.files();
        let found = files.iter().any(|file| file.ends_with("manifest.json") && same_place(file, &manifest));
        assert!(found, "the landing {manifest} is in the ledger and not on disk");
    }
    if !told_later {
        let waiting = ask(connection, "select * from thalweg.landings where not confirmed");
        assert!(waiting.is_empty(), "sources were not told: {waiting:?}");
    }
    let odd = ask(
        connection,
        "select e.id, e.rejected, count(r.id) from thalweg.extracts e left join thalweg.rejects r on r.project = e.project and r.origin = e.id \
         and r.kind = 'read' and r.run = e.run group by e.id, e.rejected having e.rejected <> count(r.id)",
    );
    assert!(odd.is_empty(), "rejects that are not kept (extract, counted, kept): {odd:?}");
}

/// Whether a file lies in the folder of a landing; names are written with `%` for what file systems do not take.
fn same_place(file: &str, manifest: &str) -> bool {
    file.replace("%20", " ").contains(&format!("/{manifest}/"))
}

/// Whoever saw a table after an earlier run, and reads its change log, comes to the table as it is now.
fn assert_logs(site: &Site, history: &mut History, run: i64) {
    let Some(mut connection) = site.connect(Access::Read) else { return };
    let connection = connection.as_mut();
    let columns = |connection: &mut dyn thalweg_warehouse::Connection, physical: &str| {
        let names = ask(
            connection,
            &format!(
                "select column_name from information_schema.columns where table_schema = 'thalweg_data' and table_name = '{physical}' \
                 and column_name not in ('_run', '_origin', '_record') order by ordinal_position"
            ),
        );
        let names: Vec<String> =
            names.into_iter().flatten().flatten().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
        names.join(", ")
    };
    let mut now = BTreeMap::new();
    for physical in ask(connection, "select physical from thalweg.tables where kind <> 'view'") {
        let physical = physical[0].clone().unwrap();
        let names = columns(connection, &physical);
        let mut rows = ask(connection, &format!("select {names} from thalweg_data.\"{physical}\""));
        rows.sort();
        now.insert(physical, rows);
    }
    for log in ask(connection, "select physical, since from thalweg.change_logs") {
        let [Some(physical), Some(since)] = &log[..] else { panic!("{log:?}") };
        let since: i64 = since.parse().unwrap();
        let names = columns(connection, physical);
        for (seen, tables) in history.iter().filter(|(seen, _)| *seen >= since) {
            let Some(old) = tables.get(physical) else { continue };
            let gone = ask(
                connection,
                &format!(
                    "select {names} from thalweg_data.\"{physical}.changes\" where _changed_run > {seen} and _run <= {seen}"
                ),
            );
            let arrived =
                ask(connection, &format!("select {names} from thalweg_data.\"{physical}\" where _run > {seen}"));
            let mut rows = old.clone();
            for row in &gone {
                let at = rows.iter().position(|other| other == row);
                rows.remove(
                    at.unwrap_or_else(|| panic!("{physical}: {row:?} is gone and was not there after run {seen}")),
                );
            }
            rows.extend(arrived.iter().cloned());
            rows.sort();
            assert_eq!(rows, now[physical], "{physical} since run {seen}: gone {gone:?}, arrived {arrived:?}");
        }
    }
    history.push((run, now));
}

/// Law 1, as the program itself sees it.
pub fn assert_verified(site: &Site) {
    let Ok(bench) = site.try_open() else { return };
    let options = crate::site::options(thalweg_run::Command::Build);
    match bench.verify(&options, &Silent) {
        Ok(outcomes) => {
            for outcome in outcomes {
                assert!(
                    outcome.equal != Some(false),
                    "{} is not what {} says: {} missing, {} unexpected {:?}",
                    outcome.table,
                    outcome.against,
                    outcome.missing,
                    outcome.unexpected,
                    outcome.first
                );
            }
        }
        Err(RunError::NotFound(_)) => {}
        Err(error) => panic!("verify: {error}"),
    }
}

/// Law 5 at its edge: the same once more does nothing. Afterwards everything is put back, so that the history goes on undisturbed.
fn assert_again(site: &Site, after: &Snapshot, options: &BuildOptions, first: &Result<RunOutcome, RunError>) {
    let saved = site.save();
    let once_more = BuildOptions { full_refresh: false, ..options.clone() };
    let result = site.build_with(&once_more, &Silent);
    let mut then = snapshot(site);
    let moved = ["thalweg.positions", "thalweg.landings"];
    let mut after = after.clone();
    if after != then && after.without(&moved) == then.without(&moved) {
        // Files that went to the archive are forgotten; the time after that nothing at all is left to do.
        after = then;
        _ = site.build_with(&once_more, &Silent);
        then = snapshot(site);
    }
    site.restore(&saved);
    match (first, &result) {
        (Ok(first), Ok(second)) if first.state == RunState::Failed => {
            assert_eq!(second.state, RunState::Failed, "what failed must fail again: {second:?}");
        }
        (Ok(_), Ok(second)) => {
            let moving: Vec<_> = second
                .steps
                .iter()
                .filter(|step| !matches!(step.strategy, Strategy::Unchanged | Strategy::Kept))
                .collect();
            // What reads the clock or tables of others is looked at each time; even then nothing is written.
            let excused = moving.iter().all(|step| step.reason.contains("reads "));
            assert!(excused, "the same build once more did something: {moving:?}");
            if moving.is_empty() {
                assert_eq!(second.state, RunState::Nothing, "the same build once more published: {second:?}");
            } else {
                return;
            }
        }
        (Err(_), Err(_)) => {}
        (first, second) => panic!("first {first:?}\nthen {second:?}"),
    }
    assert!(after == then, "the same build once more changed something:\n{}", after.difference(&then));
}

/// Law 1 without the program's own comparison: everything is built anew from landing, in a copy, and readers see the same.
fn assert_rebuilt(site: &Site, after: &Snapshot, options: &BuildOptions) {
    let copy = site.copy();
    let rebuild = BuildOptions { full_refresh: true, command: thalweg_run::Command::Build, ..options.clone() };
    let outcome = copy.build_with(&rebuild, &Silent).unwrap_or_else(|error| panic!("building anew: {error}"));
    if outcome.state == RunState::Failed {
        return;
    }
    let then = snapshot(&copy);
    let (before, after) = (after.published(), then.published());
    assert!(before == after, "built anew, readers see something else:\nbefore {before:?}\nafter  {after:?}");
}
