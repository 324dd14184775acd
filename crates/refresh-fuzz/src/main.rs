//! Long runs of the proof: `cargo xtask fuzz-refresh`.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use thalweg_refresh_fuzz::database::Database;
use thalweg_refresh_fuzz::fuzz::{fuzz, random_case};
use thalweg_sql::dialect::Grammar;
use thalweg_sql::refresh::{Rule, Shape, SwitchedOff};
use thalweg_testkit::PostgresServer;

const HELP: &str = "\
Random queries and histories: each refresh beside the full answer.

--warehouse W   duckdb (as it is without), or postgres: a server of its own, from the packages of this machine
--minutes N     how long (1)
--cases N       or how many cases
--seed N        the first seed (the time otherwise); failures name theirs
--from N        the first case of the seed (0)
--failures N    stop after so many (10)
--attempts N    how long a failing case is made smaller (400)
--save FOLDER   where failing cases are written
--against W     each full answer also of an engine that stands beside: `unoptimized`, one that carries plans out as they are written
--without RULE  with a rule switched off, which must be noticed; `--without ?` names the rules
--show N        print the query of one case and stop
";

/// How often a run says how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (mut minutes, mut cases, mut most, mut attempts) = (1.0_f64, usize::MAX, 10_usize, 400_usize);
    let (mut seed, mut from, mut save, mut shown) = (None, 0, None::<PathBuf>, None);
    let (mut off, mut grammar, mut against) = (None, Grammar::DuckDb, false);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(HELP)?;
        match name.as_str() {
            "--warehouse" => {
                grammar = match value.as_str() {
                    "duckdb" => Grammar::DuckDb,
                    "postgres" => Grammar::Postgres,
                    _ => return Err(HELP.into()),
                }
            }
            "--minutes" => minutes = value.parse()?,
            "--cases" => (cases, minutes) = (value.parse()?, 1e6),
            "--seed" => seed = Some(value.parse()?),
            "--from" => from = value.parse()?,
            "--failures" => most = value.parse()?,
            "--attempts" => attempts = value.parse()?,
            "--against" if value == "unoptimized" => against = true,
            "--save" => save = Some(value.into()),
            "--without" => {
                let rule = Rule::ALL.into_iter().find(|rule| format!("{rule:?}") == value);
                off = Some(rule.ok_or_else(|| format!("the rules are {:?}", Rule::ALL))?);
            }
            "--show" => shown = Some(value.parse::<u64>()?),
            _ => return Err(HELP.into()),
        }
    }
    let seed = match seed {
        Some(seed) => seed,
        None => std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs(),
    };
    if let Some(number) = shown {
        print!("{}", random_case(seed, number, grammar).0.print());
        return Ok(true);
    }
    let change = |shape: Shape| match off {
        Some(rule) => shape.without(SwitchedOff::rules([rule])),
        None => shape,
    };
    // Ends when this ends.
    let server = match grammar {
        Grammar::DuckDb => None,
        Grammar::Postgres => Some(PostgresServer::start(&["autovacuum_naptime=10s"])),
    };
    let mut database = match &server {
        None => Database::duckdb()?,
        Some(server) => Database::postgres(server.port(), server.database().name())?,
    };
    if against {
        database.put_beside()?;
    }
    let (start, limit) = (Instant::now(), Duration::from_secs_f64(minutes * 60.0));
    let mut told = start;
    let (tally, failures) = fuzz(&mut database, (seed, from), attempts, &change, |tally, failed| {
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            eprintln!(
                "seed {seed}, {:.0} s: {} refreshes of {} cases, {failed} failures",
                start.elapsed().as_secs_f64(),
                tally.refreshes(),
                tally.cases
            );
        }
        tally.cases < cases && failed < most && start.elapsed() < limit
    })?;
    println!("seed {seed}, {:.1} s", start.elapsed().as_secs_f64());
    print!("{tally}");
    if against {
        let beside = database.beside();
        println!(
            "{} answers beside those of an engine that does not rewrite plans, which refused {}",
            beside.answered, beside.refused
        );
    }
    for failure in &failures {
        println!(
            "\n== seed {seed} case {}: {}{} in refresh {}: {}",
            failure.number,
            if failure.of_engine { "right without the engine's optimizer; with it " } else { "" },
            failure.fault.kind,
            failure.fault.refresh,
            failure.fault.message
        );
        print!("{}", failure.case.print());
        failure.fault.statements.iter().for_each(|statement| println!("    {statement}"));
        if let Some(folder) = &save {
            std::fs::create_dir_all(folder)?;
            let mut case = failure.case.clone();
            case.about.push(format!("{} (seed {seed}, case {})", failure.fault.kind, failure.number));
            std::fs::write(folder.join(format!("seed-{seed}-{}.case", failure.number)), case.print())?;
        }
    }
    let of_engine = failures.iter().filter(|failure| failure.of_engine).count();
    let failed = failures.len() - of_engine;
    println!("{} refreshes compared, {failed} failures, {of_engine} contradictions of the engine", tally.refreshes());
    // A contradiction of the engine is an answer against which the program takes no precaution.
    Ok(failures.is_empty())
}
