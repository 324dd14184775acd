//! The landing's promises: what is unfinished does not count, what is finished is complete, what is newer is refused.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use thalweg_project::ColumnType;
use thalweg_source::landing::{FailedRun, Landing, RunLanding, arrow_schema, read_rejects};
use thalweg_source::{Column, Extract, ExtractFile, RejectedRecord, Sink, SourceErrorKind};

fn columns() -> Vec<Column> {
    vec![Column::new("name", "Name", ColumnType::Text)]
}

fn batch(names: &[&str]) -> RecordBatch {
    let count = i64::try_from(names.len()).expect("few");
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(names.to_vec())),
        Arc::new(Int32Array::from_value(0, names.len())),
        Arc::new((1..=count).collect::<Int64Array>()),
    ];
    RecordBatch::try_new(arrow_schema(&columns()), arrays).expect("a batch")
}

fn extract(read: u64, rejected: u64) -> Extract {
    let file = ExtractFile { name: "a.csv".to_owned(), read, rejected, ..ExtractFile::default() };
    Extract { files: vec![file], read, rejected, ..Extract::default() }
}

fn write_part(landing: &RunLanding, names: &[&str]) {
    let mut part = landing.part(&columns()).expect("a part");
    part.write(&batch(names)).expect("written");
    part.finish().expect("finished");
}

fn files(folder: &Path) -> Vec<String> {
    let name =
        |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name().to_string_lossy().into_owned();
    let mut names: Vec<String> = fs::read_dir(folder).expect("a folder").map(name).collect();
    names.sort();
    names
}

#[test]
fn a_finished_extract_is_found_again() {
    let root = tempfile::tempdir().expect("a folder");
    let stream = Landing::new(root.path().to_owned(), "dev").stream("web", "../odd name");
    let landing = stream.run(7);
    landing.begin().expect("begun");
    write_part(&landing, &["a", "b"]);
    let reject =
        RejectedRecord { file: 0, record: 3, byte_offset: Some(9), reason: "bad".to_owned(), raw: "x".to_owned() };
    landing.reject(std::slice::from_ref(&reject)).expect("kept");
    // A part that is dropped is none.
    drop(landing.part(&columns()).expect("a part"));
    let manifest = landing.finish(extract(3, 1), "fingerprint", 5).expect("finished");
    assert_eq!(files(landing.folder()), ["manifest.json", "part-00000.parquet", "rejects.parquet"]);
    assert!(landing.folder().starts_with(root.path()) && landing.folder().ends_with("dev/web/%2E.%2Fodd%20name/run=7"));
    let found = stream.run(7).find().expect("readable").expect("there");
    assert_eq!(found, manifest);
    assert_eq!((found.rows(), found.run, found.epoch, found.generation), (2, 7, 5, 1));
    assert_eq!(read_rejects(&landing.folder().join("rejects.parquet")).expect("rejects"), [reject]);
    assert_eq!(stream.list_runs().expect("runs"), [7]);
}

#[test]
fn an_unfinished_extract_does_not_count() {
    let root = tempfile::tempdir().expect("a folder");
    let stream = Landing::new(root.path().to_owned(), "dev").stream("web", "access");
    let landing = stream.run(1);
    landing.begin().expect("begun");
    write_part(&landing, &["a"]);
    assert!(stream.run(1).find().expect("readable").is_none());
    assert_eq!(stream.list_runs().expect("runs"), Vec::<i64>::new());
    let again = stream.run(1);
    again.begin().expect("begun anew");
    assert_eq!(files(again.folder()), Vec::<String>::new());
    write_part(&again, &["b"]);
    assert_eq!(again.finish(extract(1, 0), "f", 1).expect("finished").parts.len(), 1);
}

#[test]
fn rows_that_are_not_accounted_for_are_refused() {
    let root = tempfile::tempdir().expect("a folder");
    let landing = Landing::new(root.path().to_owned(), "dev").stream("web", "access").run(1);
    landing.begin().expect("begun");
    write_part(&landing, &["a"]);
    let error = landing.finish(extract(2, 0), "f", 1).expect_err("a row is missing");
    assert_eq!(error.kind, SourceErrorKind::Landing);
    assert!(error.message.contains("2 records were read, but 1 rows and 0 rejects"), "{error}");
}

#[test]
fn damage_and_newer_versions_are_told() {
    let root = tempfile::tempdir().expect("a folder");
    let landing = Landing::new(root.path().to_owned(), "dev").stream("web", "access").run(1);
    landing.begin().expect("begun");
    write_part(&landing, &["a"]);
    landing.finish(extract(1, 0), "f", 1).expect("finished");
    let part = landing.folder().join("part-00000.parquet");
    let whole = fs::read(&part).expect("a part");
    fs::write(&part, &whole[1..]).expect("cut");
    let error = landing.find().expect_err("it is cut").message;
    assert!(error.contains("part-00000.parquet has ") && error.contains("remove the folder of this run"), "{error}");
    fs::remove_file(&part).expect("removed");
    assert!(landing.find().expect_err("it is gone").message.contains("part-00000.parquet is missing"));
    fs::write(landing.folder().join("manifest.json"), r#"{"format_version": 99, "shape": "unknown"}"#)
        .expect("written");
    let error = landing.find().expect_err("it is newer").message;
    assert!(error.contains("was written by a newer version of thalweg (format 99"), "{error}");
}

#[test]
fn damage_that_leaves_the_size_as_it_was_is_told() {
    let root = tempfile::tempdir().expect("a folder");
    let landing = Landing::new(root.path().to_owned(), "dev").stream("orders", "lines").run(1);
    landing.begin().expect("begun");
    write_part(&landing, &["a"]);
    let manifest = landing.finish(extract(1, 0), "f", 1).expect("finished");
    landing.check_content(&manifest).expect("as it was landed");
    let part = landing.folder().join("part-00000.parquet");
    let mut bytes = fs::read(&part).expect("a part");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&part, bytes).expect("written");
    landing.find().expect("its size says nothing");
    let error = landing.check_content(&manifest).expect_err("it is damaged").message;
    assert!(error.contains("part-00000.parquet: it does not hold what was landed any more"), "{error}");
}

#[test]
fn a_place_that_cannot_be_written_is_told() {
    let root = tempfile::tempdir().expect("a folder");
    fs::write(root.path().join("file"), "").expect("a file");
    let landing = Landing::new(root.path().join("file"), "dev").stream("web", "access").run(1);
    let error = landing.begin().expect_err("no folder can be there");
    assert_eq!(error.kind, SourceErrorKind::Landing);
    assert!(error.message.starts_with("landing: cannot "), "{error}");
}

#[test]
fn what_failed_runs_left_is_swept() {
    let root = tempfile::tempdir().expect("a folder");
    let landing = Landing::new(root.path().to_owned(), "dev");
    let land = |stream: &str, run: i64| {
        let landing = landing.stream("web", stream).run(run);
        landing.begin().expect("begun");
        write_part(&landing, &["a"]);
        landing.finish(extract(1, 0), "f", 1).expect("finished");
    };
    // An older warehouse had a run 2 as well; the landing is all that is left of it.
    land("older", 2);
    let began = jiff::Timestamp::now();
    land("access", 1);
    land("access", 2);
    land("gone", 2);
    landing.stream("web", "unfinished").run(2).begin().expect("begun");
    let removed = landing.sweep(&[FailedRun { run: 2, began }, FailedRun { run: 3, began }]).expect("swept");
    let folder = root.path().join("dev/web");
    assert_eq!(removed, ["access", "gone", "unfinished"].map(|stream| folder.join(stream).join("run=2")));
    assert_eq!(landing.stream("web", "access").list_runs().expect("runs"), [1]);
    assert_eq!(landing.stream("web", "older").list_runs().expect("runs"), [2]);
    assert_eq!(landing.sweep(&[FailedRun { run: 2, began }]).expect("swept"), Vec::<std::path::PathBuf>::new());
}
