//! Chores of the workspace: `cargo xtask`.

#![forbid(unsafe_code)]

use std::path::Path;

use anyhow::{Context, bail};
use thalweg_example::Settings;
use thalweg_example::database::{self, Change, Server};
use thalweg_xtask::{schemas, workspace_root};

const HELP: &str = "\
Chores of the workspace.

cargo xtask schemas                                  write schemas/*.json from the types of the YAML files
cargo xtask example NAME FOLDER [SCALE [DELIVERY]]   write an example project with its first delivery,
                                                     or a later delivery into a project written before
cargo xtask orders-database fill [--scale N] [--seed N] [--server mariadb|postgres]
                                                     a script that makes and fills the tables of the orders example; 1 is 100,000 order
                                                     lines: cargo xtask orders-database fill --scale 10 | mariadb shop
cargo xtask orders-database change [--percent P] [--step N] [--server mariadb|postgres]
                                                     a script that inserts, updates, marks and deletes rows of each table
cargo xtask bench ...                                benchmarks; see `cargo xtask bench`
cargo xtask fuzz-refresh --minutes N [--warehouse postgres] [--against unoptimized]
                                                     random queries and histories, each refresh beside the full answer
";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["schemas"] => {
            for file in schemas::write(&workspace_root())? {
                eprintln!("written: {file}");
            }
            Ok(())
        }
        ["example", name, folder] => example(name, folder, "0.1", "1"),
        ["example", name, folder, scale] => example(name, folder, scale, "1"),
        ["example", name, folder, scale, delivery] => example(name, folder, scale, delivery),
        ["orders-database", what, rest @ ..] => orders_database(what, rest),
        ["bench", rest @ ..] => program(&["--release", "-p", "thalweg-bench"], rest),
        ["fuzz-refresh", rest @ ..] => program(&["--release", "-p", "thalweg-refresh-fuzz"], rest),
        ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => bail!("what shall be done?\n\n{HELP}"),
    }
}

fn example(name: &str, folder: &str, scale: &str, delivery: &str) -> anyhow::Result<()> {
    let example = name.parse()?;
    let folder = Path::new(folder);
    let number: u32 = delivery.parse().context("the delivery is a number from 1")?;
    let settings = Settings {
        scale: scale.parse().context("the scale is a number such as 0.1")?,
        seed: 1,
        last_day: jiff::civil::date(2026, 6, 30),
    };
    if number == 1 {
        thalweg_example::write(example, folder)?;
    }
    for file in thalweg_example::deliver(example, folder, &settings, number)?.files {
        println!(
            "{}: {} new, {} changed, {} deleted, {} malformed",
            file.path.display(),
            file.inserted,
            file.updated,
            file.deleted,
            file.malformed
        );
    }
    Ok(())
}

/// Writes a script for a database to stdout.
fn orders_database(what: &str, options: &[&str]) -> anyhow::Result<()> {
    let mut settings = Settings { scale: 1.0, seed: 1, last_day: jiff::Zoned::now().date().yesterday()? };
    let mut change = Change { percent: 1.0, step: 1 };
    let mut server = Server::Mariadb;
    for option in options.chunks(2) {
        let [name, value] = option else { bail!("{} needs a value", option[0]) };
        let number = || value.parse::<f64>().ok().filter(|number| *number > 0.0).context("expected a number above 0");
        match (what, *name) {
            ("fill", "--scale") => settings.scale = number()?,
            ("fill", "--seed") => settings.seed = value.parse().context("the seed is a whole number")?,
            ("change", "--percent") => change.percent = number()?,
            ("change", "--step") => change.step = value.parse().context("the step is a whole number")?,
            (_, "--server") => server = value.parse()?,
            _ => bail!("{what} has no option {name}\n\n{HELP}"),
        }
    }
    let mut out = std::io::BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    match what {
        "fill" => {
            for (table, rows) in database::fill(&settings, server, &mut out)? {
                eprintln!("{table}: {rows} rows");
            }
        }
        "change" => database::change(change, server, &mut out)?,
        _ => bail!("`fill` or `change`?\n\n{HELP}"),
    }
    Ok(std::io::Write::flush(&mut out)?)
}

/// What needs DuckDB is a program of its own: this crate shall not pay for it.
fn program(which: &[&str], arguments: &[&str]) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = std::process::Command::new(cargo)
        .current_dir(workspace_root())
        .args(["run", "--quiet"])
        .args(which)
        .arg("--")
        .args(arguments)
        .status()
        .context("cargo could not be started")?;
    std::process::exit(status.code().unwrap_or(2));
}
