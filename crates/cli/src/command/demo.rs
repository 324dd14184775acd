//! `thalweg demo`

use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{fs, io};

use clap::Args;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use thalweg_example::{Delivery, Example, Settings};
use thalweg_run::{BuildOptions, Command, OpenOptions, RunOutcome, Workbench};

use super::init::yesterday;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::progress::{self, Progress};
use crate::render::human::number::{counted, grouped, seconds};
use crate::render::human::{Page, report, summary, verification};

/// Arguments of `thalweg demo`.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// The folder of the demo. A demo of before is made anew, anything else is refused.
    #[arg(value_name = "DIR", default_value = "thalweg-demo")]
    pub folder: PathBuf,
    /// Go on with the demo of before: one more day arrives.
    #[arg(long)]
    pub keep: bool,
    /// How much data: 1 is 100,000 order lines and as many lines of log.
    #[arg(long, value_name = "NUMBER", default_value_t = 1.0, value_parser = scale)]
    pub scale: f64,
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale > 0.0 && scale <= 1000.0 => Ok(scale),
        _ => Err("expected a number above 0 and up to 1000".into()),
    }
}

/// The file that makes a folder a demo: what its data was made from.
const MARK: &str = ".thalweg-demo.json";

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Mark {
    scale: f64,
    seed: u64,
    last_day: Date,
    deliveries: u32,
}

impl Mark {
    fn settings(self) -> Settings {
        Settings { scale: self.scale, seed: self.seed, last_day: self.last_day }
    }
}

/// Does it.
pub fn run(arguments: &Arguments, invocation: &Invocation) -> Result<u8, Failure> {
    let folder = &arguments.folder;
    let known = read_mark(folder)?;
    let demo = Demo { folder, invocation, page: Page::stdout(invocation.stdout) };
    let (code, mark) = match known {
        Some(mark) if arguments.keep => (0, mark),
        known => {
            if known.is_some() {
                remove(folder)?;
            }
            let mark = Mark { scale: arguments.scale, seed: 1, last_day: yesterday(), deliveries: 0 };
            demo.first_day(mark)?
        }
    };
    if code != 0 {
        return Ok(code);
    }
    let code = demo.next_day(mark)?;
    if code == 0 {
        demo.verify()?;
        demo.farewell();
    }
    Ok(code)
}

struct Demo<'a> {
    folder: &'a Path,
    invocation: &'a Invocation,
    page: Page,
}

impl Demo<'_> {
    fn say(&self, text: &str) {
        output::talk(text);
    }

    /// Shows a command as if it were typed.
    fn type_in(&self, command: &str) {
        let paint = self.invocation.stderr;
        self.say(&format!("\n{} {}\n", paint.faint("$"), paint.bold(command)));
    }

    fn first_day(&self, mark: Mark) -> Result<(u8, Mark), Failure> {
        self.say(&format!(
            "A marketplace: a shop's tables arrive as files, a web server writes its log. All of it in {}.",
            self.folder.display()
        ));
        thalweg_example::write(Example::Orders, self.folder).map_err(|error| unwritable(self.folder, &error))?;
        let (mark, delivery) = self.deliver(mark)?;
        let records: usize = delivery.files.iter().map(|file| file.inserted + file.malformed).sum();
        self.say(&format!(
            "The first day: {} with {}.",
            counted(delivery.files.len() as u64, "file"),
            counted(records as u64, "record")
        ));
        self.type_in("thalweg build");
        let outcome = self.build()?;
        for answer in &outcome.reports {
            output::answer(&format!("{}\n", report::draw(&self.page, answer)));
        }
        self.summary(&outcome);
        Ok((outcome.exit_code(), mark))
    }

    fn next_day(&self, mark: Mark) -> Result<u8, Failure> {
        let (_, delivery) = self.deliver(mark)?;
        let sum = |part: fn(&thalweg_example::DeliveredFile) -> usize| {
            grouped(delivery.files.iter().map(part).sum::<usize>() as u64)
        };
        self.say(&format!(
            "\nThe next day a little changes: {} new records, {} changed, {} deleted, {} that nobody can read.",
            sum(|file| file.inserted),
            sum(|file| file.updated),
            sum(|file| file.deleted),
            sum(|file| file.malformed)
        ));
        self.type_in("thalweg build");
        let outcome = self.build()?;
        self.summary(&outcome);
        let counts = outcome.steps.iter().filter(|step| step.kind == "store").fold((0, 0), |(moved, rows), step| {
            let counts = &step.counts;
            let changed = counts.inserted + counts.updated + counts.deleted_by_mark + counts.deleted_missing;
            (moved + changed, rows + step.rows_after)
        });
        if counts.0 > 0 {
            self.say(&format!("\nOf {} rows in the store, {} moved.", grouped(counts.1), grouped(counts.0)));
        }
        Ok(outcome.exit_code())
    }

    fn verify(&self) -> Result<(), Failure> {
        self.say("\nIs every table what it ought to be? Each is computed anew and compared, row by row.");
        self.type_in("thalweg verify");
        let start = Instant::now();
        let outcomes =
            self.with_progress(|workbench, progress| workbench.verify(&BuildOptions::new(Command::Build), progress))?;
        if outcomes.iter().all(|outcome| outcome.equal == Some(true)) {
            let rows: u64 = outcomes.iter().map(|outcome| outcome.rows).sum();
            output::answer(&self.page.paint.green(format!(
                "{} with {} are as they ought to be ({})",
                counted(outcomes.len() as u64, "table"),
                counted(rows, "row"),
                seconds(start.elapsed().as_secs_f64())
            )));
        } else {
            output::answer(&verification::draw(&self.page, &outcomes));
        }
        Ok(())
    }

    fn farewell(&self) {
        self.say(&format!(
            "\nNow try:\n  cd {}\n  thalweg status\n  thalweg show pres.monthly_sales_by_company\n  thalweg rejects                  # \
             lines of the log that nobody can read\n  thalweg ls --output tree         # what depends on what\n  thalweg compile \
             pres.report_order_lines\nChange models/pres/*.sql and `thalweg build` again; or let another day arrive with `thalweg demo {} \
             --keep`.",
            self.folder.display(),
            std::path::absolute(self.folder).as_deref().unwrap_or(self.folder).display(),
        ));
    }

    fn summary(&self, outcome: &RunOutcome) {
        output::answer(&summary::draw(&self.page, outcome));
    }

    fn build(&self) -> Result<RunOutcome, Failure> {
        self.with_progress(|workbench, progress| workbench.build(&BuildOptions::new(Command::Build), progress))
    }

    fn with_progress<T>(
        &self,
        work: impl FnOnce(&Workbench, &dyn Progress) -> Result<T, thalweg_run::RunError>,
    ) -> Result<T, Failure> {
        let workbench = self.invocation.open_folder(self.folder, &OpenOptions::default())?.0;
        let progress = progress::only_bars(self.invocation.stderr);
        let answer = work(&workbench, progress.as_ref());
        progress.finish();
        Ok(answer?)
    }

    fn deliver(&self, mark: Mark) -> Result<(Mark, Delivery), Failure> {
        let mark = Mark { deliveries: mark.deliveries + 1, ..mark };
        let delivered = thalweg_example::deliver(Example::Orders, self.folder, &mark.settings(), mark.deliveries)
            .and_then(|delivery| {
                let text = serde_json::to_string(&mark).map_err(io::Error::other)?;
                fs::write(self.folder.join(MARK), text)?;
                Ok(delivery)
            })
            .map_err(|error| unwritable(self.folder, &error))?;
        Ok((mark, delivered))
    }
}

fn unwritable(folder: &Path, error: &io::Error) -> Failure {
    Failure::message(format!("the demo could not be written to {}: {error}", folder.display()))
        .with_help("give another folder: `thalweg demo DIR`")
}

/// What an earlier demo left in the folder; a folder with anything else is refused.
fn read_mark(folder: &Path) -> Result<Option<Mark>, Failure> {
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unwritable(folder, &error)),
        Ok(false) => {}
    }
    let mark = fs::read_to_string(folder.join(MARK)).ok().and_then(|text| serde_json::from_str(&text).ok());
    match mark {
        Some(mark) => Ok(Some(mark)),
        None => Err(Failure::message(format!("{} is not empty and is no demo", folder.display()))
            .with_help("give another folder: `thalweg demo DIR`")),
    }
}

/// Removes a demo, unless somebody worked in it.
fn remove(folder: &Path) -> Result<(), Failure> {
    if let Some(changed) = first_change(folder) {
        return Err(Failure::message(format!("{changed} in {} is not as the demo left it", folder.display()))
            .with_help("go on with it with `thalweg demo DIR --keep`, or give another folder: `thalweg demo DIR`"));
    }
    fs::remove_dir_all(folder).map_err(|error| unwritable(folder, &error))
}

/// The first file that the demo did not write, or not so. What it makes by running is not looked at.
fn first_change(folder: &Path) -> Option<String> {
    let expected = Example::Orders.files();
    if let Some((path, _)) =
        expected.iter().find(|(path, text)| fs::read_to_string(folder.join(path)).ok().as_deref() != Some(*text))
    {
        return Some((*path).to_owned());
    }
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let Ok(entries) = fs::read_dir(folder.join(&below)) else { continue };
        for entry in entries.flatten() {
            let path = below.join(entry.file_name());
            let name = path.to_string_lossy().replace('\\', "/");
            let made_by_running = below.as_os_str().is_empty()
                && (matches!(name.as_str(), "incoming" | "landing" | "out" | ".thalweg" | "countries.mmdb" | MARK)
                    || name.starts_with("warehouse.duckdb"));
            if made_by_running {
                continue;
            }
            if entry.path().is_dir() {
                open.push(path);
            } else if !expected.iter().any(|(known, _)| *known == name) {
                return Some(name);
            }
        }
    }
    None
}
