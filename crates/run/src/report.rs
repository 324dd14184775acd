//! Answering reports after a run.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use thalweg_project::{Report, ReportFormat};
use thalweg_sql::Dialect;
use thalweg_warehouse::Connection;

use crate::error::RunError;
use crate::legible::legible;
use crate::outcome::ReportAnswer;
use crate::rows;
use crate::text::text_table;

/// Folder reports are written to, in the project.
const OUT: &str = "out";

/// Answers one report: reads it once, writes its files (each replaced as a whole) and cuts it for the terminal.
pub fn answer(
    connection: &mut dyn Connection,
    dialect: &dyn Dialect,
    folder: &Path,
    report: &Report,
    sql: &str,
    run: i64,
) -> Result<ReportAnswer, RunError> {
    let failed = |error| RunError::Table { table: format!("report {}", report.name), error };
    let shown = legible(connection, dialect, sql.to_owned()).map_err(failed)?;
    let answered = connection.query(&shown, &[]).map_err(failed)?;
    let unreadable = |error: arrow::error::ArrowError| {
        RunError::Output(format!(
            "report {}: the answer cannot be written: {error}; the run itself is published",
            report.name
        ))
    };
    let mut files = Vec::new();
    if !report.formats.is_empty() {
        fs::create_dir_all(folder.join(OUT)).map_err(|error| unwritable(&folder.join(OUT), &error))?;
    }
    for format in &report.formats {
        let name = format!("{OUT}/{}.{}", report.name, extension(*format));
        let path = folder.join(&name);
        let unfinished = folder.join(format!("{OUT}/.{}.{}.unfinished", report.name, extension(*format)));
        match format {
            ReportFormat::Csv => {
                let text = rows::csv(&answered).map_err(unreadable)?;
                write_file(&unfinished, |file| file.write_all(text.as_bytes()))?;
            }
            ReportFormat::Json => {
                let objects = rows::json_objects(&answered).map_err(unreadable)?;
                write_file(&unfinished, |file| write_json(file, report, run, &objects))?;
            }
            ReportFormat::Parquet => {
                let metadata =
                    [("thalweg.report".to_owned(), report.name.clone()), ("thalweg.run".to_owned(), run.to_string())];
                connection.export_parquet(sql, &unfinished, &metadata).map_err(failed)?;
            }
        }
        fail::fail_point!("report::before-file");
        fs::rename(&unfinished, &path).map_err(|error| unwritable(&path, &error))?;
        files.push(name);
    }
    if !report.formats.is_empty() {
        // A CSV file has no place for it, so the run it shows stands beside all of them.
        let stamp = serde_json::json!({
            "report": report.name, "run": run, "rows": answered.len(), "files": files, "definition": definition(report),
        });
        let path = folder.join(format!("{OUT}/{}.run.json", report.name));
        let unfinished = folder.join(format!("{OUT}/.{}.run.json.unfinished", report.name));
        write_file(&unfinished, |file| writeln!(file, "{stamp}"))?;
        fail::fail_point!("report::before-stamp");
        fs::rename(&unfinished, &path).map_err(|error| unwritable(&path, &error))?;
    }
    Ok(ReportAnswer {
        report: report.name.clone(),
        title: report.title.clone().unwrap_or_else(|| report.name.clone()),
        run,
        table: text_table(&answered, Some(report.limit)).map_err(failed)?,
        rows: answered.len() as u64,
        files,
    })
}

/// What a report's files are made by, besides the data.
fn definition(report: &Report) -> String {
    blake3::hash(format!("{}\0{:?}", report.sql, report.formats).as_bytes()).to_hex()[..32].to_owned()
}

/// Whether every file of a report is there, is made by its present query, and shows this run or a later one.
pub fn written(folder: &Path, report: &Report, run: i64) -> bool {
    let stamp = || -> Option<i64> {
        let text = fs::read(folder.join(format!("{OUT}/{}.run.json", report.name))).ok()?;
        let stamp = serde_json::from_slice::<serde_json::Value>(&text).ok()?;
        if stamp.get("definition")?.as_str()? != definition(report) {
            return None;
        }
        stamp.get("run")?.as_i64()
    };
    let there = |format: &ReportFormat| folder.join(format!("{OUT}/{}.{}", report.name, extension(*format))).is_file();
    report.formats.is_empty() || (report.formats.iter().all(there) && stamp().is_some_and(|shown| shown >= run))
}

fn extension(format: ReportFormat) -> &'static str {
    match format {
        ReportFormat::Csv => "csv",
        ReportFormat::Json => "json",
        ReportFormat::Parquet => "parquet",
    }
}

fn write_file(
    path: &PathBuf,
    write: impl FnOnce(&mut BufWriter<fs::File>) -> std::io::Result<()>,
) -> Result<(), RunError> {
    let act = || {
        let mut file = BufWriter::new(fs::File::create(path)?);
        write(&mut file)?;
        file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
    };
    act().map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> RunError {
    RunError::Output(format!("cannot write {}: {error}; the run itself is published", path.display()))
}

/// One object: the run it shows, and the rows as objects.
fn write_json(file: &mut impl Write, report: &Report, run: i64, rows: &[String]) -> std::io::Result<()> {
    let name = serde_json::Value::from(report.name.as_str());
    write!(file, "{{\n  \"report\": {name},\n  \"run\": {run},\n  \"rows\": [")?;
    for (index, row) in rows.iter().enumerate() {
        write!(file, "{}\n    {row}", if index > 0 { "," } else { "" })?;
    }
    writeln!(file, "{}]\n}}", if rows.is_empty() { "" } else { "\n  " })
}
