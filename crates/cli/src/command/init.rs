//! `thalweg init`

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;
use thalweg_example::{Example, Settings};

use crate::arguments::OutputOptions;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::render::json;

/// Arguments of `thalweg init`.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// The folder of the new project. It is made when it is missing, and must be empty. Without it, the current folder.
    #[arg(value_name = "DIR", default_value = ".", hide_default_value = true)]
    pub folder: PathBuf,
    /// Start from an example: `orders` (a shop's tables as files that keep arriving, and an access log), `orders_database` (the same from the
    /// tables of a MariaDB; its README says how they are filled), `titles` (job titles with a
    /// list in numbered columns), `weblog` (an access log through bronze, silver and gold).
    #[arg(long, value_name = "EXAMPLE", value_parser = PossibleValuesParser::new(Example::ALL.map(Example::name)))]
    pub example: Option<String>,
    /// How is printed.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// How much data an example is given: a tenth is 10,000 order lines, log lines or 500 titles.
const EXAMPLE_SCALE: f64 = 0.1;

/// The files of a project without an example. `{name}` stands for its name.
const FILES: &[(&str, &str)] = &[
    ("thalweg.yml", include_str!("init/thalweg.yml")),
    (".gitignore", include_str!("init/gitignore")),
    ("sources/incoming.yml", include_str!("init/incoming.yml")),
    ("incoming/orders_1.csv", include_str!("init/orders_1.csv")),
    ("models/pres/customer_totals.sql", include_str!("init/customer_totals.sql")),
    ("models/pres/pres.yml", include_str!("init/pres.yml")),
    ("reports/best_customers.sql", include_str!("init/best_customers.sql")),
];

/// Does it.
pub fn run(arguments: &Arguments, invocation: &Invocation) -> Result<u8, Failure> {
    let folder = &arguments.folder;
    refuse_if_used(folder)?;
    let (files, table) = match &arguments.example {
        None => (write_minimal(folder), "pres.customer_totals"),
        Some(name) => {
            let example: Example = name.parse().map_err(|error| Failure::message(format!("{error}")))?;
            (write_example(example, folder), shown_first(example))
        }
    };
    let files = files.map_err(|error| {
        Failure::message(format!("the project could not be written to {}: {error}", folder.display()))
            .with_help("look whether the folder can be written to and the disk has room")
    })?;
    if invocation.json() {
        output::answer(&json::tagged("created", &json!({ "folder": folder.display().to_string(), "files": files })));
    } else {
        let place = if is_here(folder) { "this folder".to_owned() } else { folder.display().to_string() };
        invocation.say(&format!("made a project in {place}:"));
        for file in &files {
            invocation.say(&format!("  {file}"));
        }
        invocation.say("\nnext:");
        if !is_here(folder) {
            invocation.say(&format!("  cd {}", folder.display()));
        }
        if arguments.example.as_deref() == Some(Example::OrdersDatabase.name()) {
            invocation.say("  mariadb --execute \"create database shop\"");
            invocation.say("  mariadb shop < database/fill.sql");
            invocation.say("  thalweg conns test shop      # where it is stands in .env");
        }
        invocation.say("  thalweg validate             # are there mistakes?");
        invocation.say("  thalweg build                # load, refresh, test, publish");
        invocation.say(&format!("  thalweg show {table}"));
    }
    Ok(0)
}

fn is_here(folder: &Path) -> bool {
    folder == Path::new(".")
}

fn shown_first(example: Example) -> &'static str {
    match example {
        Example::Orders | Example::OrdersDatabase => "pres.monthly_sales_by_company",
        Example::Titles => "pres.title",
        Example::Weblog => "gold.devices_by_day",
    }
}

/// A folder with anything in it is refused, except what version control and systems put there.
fn refuse_if_used(folder: &Path) -> Result<(), Failure> {
    const IGNORED: [&str; 4] = [".git", ".gitignore", ".DS_Store", "README.md"];
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::message(format!("{} cannot be read: {error}", folder.display()))),
    };
    let found = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !IGNORED.contains(&name.as_str()))
        .min();
    match found {
        None => Ok(()),
        Some(name) => Err(Failure::message(format!("{} is not empty: it holds {name}", folder.display()))
            .with_help("give a folder that is new or empty: `thalweg init DIR`")),
    }
}

fn write_minimal(folder: &Path) -> io::Result<Vec<String>> {
    let name = project_name(folder);
    for (path, text) in FILES {
        let path = folder.join(path);
        if path.exists() {
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text.replace("{name}", &name))?;
    }
    Ok(FILES.iter().map(|(path, _)| (*path).to_owned()).collect())
}

fn write_example(example: Example, folder: &Path) -> io::Result<Vec<String>> {
    thalweg_example::write(example, folder)?;
    let mut files: Vec<_> = example.files().iter().map(|(path, _)| (*path).to_owned()).collect();
    let settings = Settings { scale: EXAMPLE_SCALE, seed: 1, last_day: yesterday() };
    let delivery = thalweg_example::deliver(example, folder, &settings, 1)?;
    for file in delivery.files {
        files.push(file.path.strip_prefix(folder).unwrap_or(&file.path).display().to_string());
    }
    Ok(files)
}

/// The last day of generated data.
pub(super) fn yesterday() -> jiff::civil::Date {
    let today = jiff::Zoned::now().date();
    today.yesterday().unwrap_or(today)
}

/// The folder's name as the name of a project: lower case, with `_` for everything that is no letter or digit.
fn project_name(folder: &Path) -> String {
    let whole = fs::canonicalize(folder).or_else(|_| std::path::absolute(folder)).unwrap_or_else(|_| folder.to_owned());
    let name = whole.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name: String = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    let name = name.trim_matches('_');
    match name.chars().next() {
        None => "warehouse".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("project_{name}"),
        Some(_) => name.to_owned(),
    }
}
