//! Answering reports after a run.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use thalweg_project::{Report, ReportFormat};
use thalweg_warehouse::Connection;

use crate::error::RunError;
use crate::outcome::{ReportAnswer, TextTable};
use crate::text::text_table;

/// Folder reports are written to, in the project.
const OUT: &str = "out";

/// Answers one report: reads it once, writes its files (each replaced as a whole) and cuts it for the terminal.
pub fn answer(
    connection: &mut dyn Connection,
    folder: &Path,
    report: &Report,
    sql: &str,
    run: i64,
) -> Result<ReportAnswer, RunError> {
    let failed = |error| RunError::Table { table: format!("report {}", report.name), error };
    let rows = connection.query(sql, &[]).map_err(failed)?;
    let everything = text_table(&rows, None).map_err(failed)?;
    let mut files = Vec::new();
    if !report.formats.is_empty() {
        fs::create_dir_all(folder.join(OUT)).map_err(|error| unwritable(&folder.join(OUT), &error))?;
    }
    for format in &report.formats {
        let name = format!("{OUT}/{}.{}", report.name, extension(*format));
        let path = folder.join(&name);
        let unfinished = folder.join(format!("{OUT}/.{}.{}.unfinished", report.name, extension(*format)));
        match format {
            ReportFormat::Csv => write_file(&unfinished, |file| write_csv(file, &everything))?,
            ReportFormat::Json => write_file(&unfinished, |file| write_json(file, report, run, &everything))?,
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
            "report": report.name, "run": run, "rows": everything.rows.len(), "files": files, "definition": definition(report),
        });
        let path = folder.join(format!("{OUT}/{}.run.json", report.name));
        let unfinished = folder.join(format!("{OUT}/.{}.run.json.unfinished", report.name));
        write_file(&unfinished, |file| writeln!(file, "{stamp}"))?;
        fail::fail_point!("report::before-stamp");
        fs::rename(&unfinished, &path).map_err(|error| unwritable(&path, &error))?;
    }
    let total = everything.rows.len() as u64;
    let mut table = everything;
    table.rows.truncate(report.limit);
    Ok(ReportAnswer {
        report: report.name.clone(),
        title: report.title.clone().unwrap_or_else(|| report.name.clone()),
        run,
        table,
        rows: total,
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

/// RFC 4180: NULL is the empty field, the empty text is `""`.
fn write_csv(file: &mut impl Write, table: &TextTable) -> std::io::Result<()> {
    let quoted = |text: &str| {
        let needs =
            text.is_empty() || text.contains(['"', ',', '\n', '\r']) || text.starts_with(' ') || text.ends_with(' ');
        if needs { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
    };
    let line = |values: Vec<String>| values.join(",");
    writeln!(file, "{}", line(table.columns.iter().map(|name| quoted(name)).collect()))?;
    for row in &table.rows {
        writeln!(file, "{}", line(row.iter().map(|value| value.as_deref().map_or(String::new(), quoted)).collect()))?;
    }
    Ok(())
}

/// One object: the run it shows, and the rows as objects. Numbers that JSON holds exactly are numbers, everything else texts.
fn write_json(file: &mut impl Write, report: &Report, run: i64, table: &TextTable) -> std::io::Result<()> {
    let rows: Vec<serde_json::Value> = table
        .rows
        .iter()
        .map(|row| {
            let fields = table.columns.iter().zip(&table.numeric).zip(row).map(|((name, numeric), value)| {
                let value = match value {
                    None => serde_json::Value::Null,
                    Some(text) if *numeric => exact_number(text),
                    Some(text) => serde_json::Value::String(text.clone()),
                };
                (name.clone(), value)
            });
            serde_json::Value::Object(fields.collect())
        })
        .collect();
    let answer = serde_json::json!({ "report": report.name, "run": run, "rows": rows });
    serde_json::to_writer_pretty(&mut *file, &answer)?;
    writeln!(file)
}

/// A number when it survives being one, otherwise its text.
fn exact_number(text: &str) -> serde_json::Value {
    match serde_json::from_str::<serde_json::Number>(text) {
        Ok(number) if number.to_string() == text => serde_json::Value::Number(number),
        _ => serde_json::Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_tells_null_from_empty() {
        let table = TextTable {
            columns: vec!["a".into(), "b c".into()],
            numeric: vec![false, false],
            rows: vec![vec![None, Some(String::new())], vec![Some("x, \"y\"".into()), Some("z".into())]],
        };
        let mut text = Vec::new();
        write_csv(&mut text, &table).expect("writes");
        assert_eq!(String::from_utf8(text).expect("text"), "a,b c\n,\"\"\n\"x, \"\"y\"\"\",z\n");
    }

    #[test]
    fn numbers_that_json_would_bend_are_texts() {
        assert_eq!(exact_number("12"), serde_json::json!(12));
        assert_eq!(exact_number("12.50"), serde_json::json!("12.50"));
        assert_eq!(exact_number("1.5"), serde_json::json!(1.5));
        assert_eq!(exact_number("123456789012345678901234567890"), serde_json::json!("123456789012345678901234567890"));
    }
}
