//! What must hold for any input.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use thalweg_project::{
    AfterLoad, CsvOptions, FileFormat, FileMode, FileOptions, Location, Ready, SchemaAction, SchemaContract, Stream,
    TableName, WriteDisposition,
};

use super::chunk::{Boundaries, ChunkReader, Lines};
use super::chunked::{Job, Surroundings};
use super::columns::KnownColumns;
use super::content::{Content, FileTrouble};
use super::csv::{CsvBoundaries, Dialect, Field, Tokenizer};
use super::discover::Stamp;
use super::output::SharedParts;
use super::read::Reading;
use super::rejects::RejectLimit;
use crate::landing::{Landing, Manifest};
use crate::values::{Cell, Shape};
use crate::{Context, Extract, ExtractFile};

const DIALECT: Dialect = Dialect { delimiter: b',', quote: b'"', terminator: b'\n' };

/// A record: line, byte offset, its fields as text, or why it is none.
type Read = (i64, usize, Result<Vec<(String, bool)>, &'static str>);

fn tokenize(bytes: &[u8], line: i64, offset: usize) -> Vec<Read> {
    let (mut tokenizer, mut fields, mut read) = (Tokenizer::new(bytes, DIALECT), Vec::new(), Vec::new());
    loop {
        fields.clear();
        let Some(token) = tokenizer.next(&mut fields) else { return read };
        let text = |field: &Field| {
            let text = String::from_utf8_lossy(&bytes[field.range()]).into_owned();
            let text = if field.has_doubled_quotes() { text.replace("\"\"", "\"") } else { text };
            (text, field.is_quoted())
        };
        let record = match token.malformed {
            Some(why) => Err(why),
            None => Ok(fields.iter().map(text).collect()),
        };
        read.push((line + token.line, offset + token.start, record));
    }
}

fn content(bytes: &[u8]) -> (tempfile::TempDir, Content) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.csv");
    std::fs::write(&path, bytes).expect("a file");
    let content = open(&path);
    (folder, content)
}

fn open(path: &Path) -> Content {
    let stamp = Stamp::of(&std::fs::metadata(path).expect("metadata"));
    match Content::open(path, "a.csv", stamp) {
        Ok(content) => content,
        Err(trouble) => panic!("{trouble:?}"),
    }
}

fn in_chunks(bytes: &[u8], chunk_bytes: usize) -> Vec<Read> {
    let (_folder, content) = content(bytes);
    let input = Box::new(Cursor::new(bytes.to_vec()));
    let mut reader = ChunkReader::new(&content, input, Box::new(CsvBoundaries::new(DIALECT)), chunk_bytes);
    let mut read = Vec::new();
    while let Some(chunk) = reader.next().expect("readable") {
        read.extend(tokenize(&chunk.bytes, chunk.record, usize::try_from(chunk.offset).expect("an offset")));
    }
    read
}

/// A value, and whether it is written in quotes although it need not be.
fn value() -> impl Strategy<Value = (String, bool)> {
    let text = prop_oneof![
        "[a-z]{0,6}",
        "-?[0-9]{1,20}",
        "-?[0-9]{1,12}\\.[0-9]{1,8}",
        "[0-9]\\.?[0-9]{0,3}e[0-9]",
        "20[0-9]{2}-[01][0-9]-[0-3][0-9]",
        "2024-0[1-9]-1[0-9] 1[0-9]:[0-5][0-9]:00",
        "(true|false)",
        "[a-z,\"\n\r é]{0,10}",
    ];
    (text, any::<bool>())
}

fn write_value((text, quoted): &(String, bool)) -> String {
    let must = text.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    if must || *quoted { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// What was written is read, whatever is quoted.
    #[test]
    fn csv_round_trip(records in prop::collection::vec(prop::collection::vec(value(), 2..5), 0..20), crlf in any::<bool>()) {
        let end = if crlf { "\r\n" } else { "\n" };
        let mut text = String::new();
        for record in &records {
            text.push_str(&record.iter().map(write_value).collect::<Vec<_>>().join(","));
            text.push_str(end);
        }
        let read = tokenize(text.as_bytes(), 1, 0);
        let found: Vec<Vec<String>> = read
            .into_iter()
            .map(|(_, _, record)| record.expect("well-formed").into_iter().map(|(text, _)| text).collect())
            .collect();
        let expected: Vec<Vec<String>> =
            records.iter().map(|record| record.iter().map(|(text, _)| text.clone()).collect()).collect();
        prop_assert_eq!(found, expected);
    }

    /// However a file is cut into chunks, the records are the same, at the same lines and places, malformed ones included.
    #[test]
    fn chunks_change_nothing(text in "[a,\"\n\r]{0,80}", chunk_bytes in 1usize..40) {
        prop_assert_eq!(in_chunks(text.as_bytes(), chunk_bytes), tokenize(text.as_bytes(), 1, 0));
    }

    /// No line is lost: each belongs to a record, a reject, or is blank.
    #[test]
    fn every_line_is_accounted_for(text in "[a,\"\n]{0,80}") {
        let read = tokenize(text.as_bytes(), 1, 0);
        let starts: Vec<usize> = read.iter().map(|(_, offset, _)| *offset).chain([text.len()]).collect();
        let before = starts.first().copied().unwrap_or_default();
        prop_assert!(text[..before].bytes().all(|byte| byte == b'\n'));
        prop_assert!(starts.windows(2).all(|pair| pair[0] < pair[1]));
    }
}

pub(super) fn stream(format: FileFormat) -> Stream {
    Stream {
        source: "test".to_owned(),
        name: "test".to_owned(),
        table: TableName::new("store", "test"),
        primary_key: Vec::new(),
        write_disposition: WriteDisposition::Append,
        sequence_by: None,
        soft_delete: None,
        schema_contract: SchemaContract { columns: SchemaAction::Evolve, types: SchemaAction::Evolve },
        select: Vec::new(),
        max_rejects: None,
        columns: Vec::new(),
        tags: Vec::new(),
        description: None,
        files: FileOptions {
            pattern: "*".to_owned(),
            format,
            mode: FileMode::Whole,
            ready: Ready::Renamed,
            after: AfterLoad::Keep,
            archive: "archive".to_owned(),
            lists: BTreeMap::new(),
        },
        database: None,
        location: Location::file("sources/test.yml"),
    }
}

/// Loads a file as the source does, with chunks of the given size. `None` when the file cannot be read at all.
pub(super) fn load(bytes: &[u8], format: FileFormat, chunk_bytes: usize) -> Option<Manifest> {
    load_as(bytes, &stream(format), chunk_bytes).map(|(_, manifest)| manifest)
}

/// The same for a stream of one's own, with the folder that the parts lie in.
pub(super) fn load_as(bytes: &[u8], stream: &Stream, chunk_bytes: usize) -> Option<(tempfile::TempDir, Manifest)> {
    let (folder, content) = content(bytes);
    let landing = Landing::new(folder.path().join("landing"), "dev").stream("test", "test").run(1);
    landing.begin().expect("a landing");
    let context = Context {
        project_folder: folder.path().to_owned(),
        target: "dev".to_owned(),
        threads: 2,
        cancelled: Arc::new(AtomicBool::new(false)),
    };
    let known = KnownColumns { columns: Vec::new(), contract: false, stream };
    let limit = RejectLimit { stream: "test".to_owned(), file: "a.csv".to_owned(), max: None, before: 0 };
    let surroundings = Surroundings { context: &context, sink: &landing };
    let mut reading = Reading::new(stream, None).with_chunk_bytes(chunk_bytes);
    let job = Job { surroundings: &surroundings, content: &content, index: 0, known: &known, limit: &limit };
    let loaded = match reading.file(job) {
        Ok((loaded, _)) => loaded,
        Err(FileTrouble::Failed(_)) => return None,
        Err(trouble) => panic!("{trouble:?}"),
    };
    let (read, rejected) = (loaded.read, loaded.rejected());
    let mut shared = SharedParts::new(&landing);
    loaded.commit(&landing, &mut shared).expect("landed");
    shared.finish().expect("landed");
    let file = ExtractFile { name: "a.csv".to_owned(), read, rejected, ..ExtractFile::default() };
    let extract = Extract { files: vec![file], read, rejected, ..Extract::default() };
    // `finish` itself checks that read = rows + rejects.
    let manifest = landing.finish(extract, "test", 1).expect("a manifest");
    Some((folder, manifest))
}

/// Mostly no JSON at all, or records as they come, whole and broken.
fn json() -> impl Strategy<Value = String> {
    let record = prop::sample::select(vec![
        "{}",
        "{}",
        "{\"a\":1}",
        "{\"a\":\"x\"}",
        "{\"1\":[],\"a\":null}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":",
        "[1]",
        "1",
        "x",
        "",
    ]);
    let end = prop::sample::select(vec!["\n", "\n", " \n", ",", ", "]);
    let records = prop::collection::vec((record, end), 0..8)
        .prop_map(|records| records.into_iter().flat_map(|(record, end)| [record, end]).collect::<String>());
    prop_oneof![
        "[\\[\\]{}\":, a1\n\\\\]{0,60}",
        records.clone(),
        records.prop_map(|records| format!("[{}]", records.trim_end_matches([',', ' ', '\n']))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Guessing from the head and reading again where the guess was wrong gives the types of the whole file.
    #[test]
    fn speculation_is_whole_file_inference(
        rows in prop::collection::vec((value(), value()), 1..40),
        chunk_bytes in 16usize..200,
    ) {
        let mut text = String::from("first,second\n");
        let mut shapes = [Shape::default(), Shape::default()];
        for (a, b) in &rows {
            // Both empty would be a record, too: only a line without anything is blank.
            text.push_str(&format!("{},{}\n", write_value(a), write_value(b)));
            for (shape, (value, quoted)) in shapes.iter_mut().zip([a, b]) {
                if !value.is_empty() || *quoted {
                    shape.add(Cell::Plain(value));
                }
            }
        }
        let options = CsvOptions { delimiter: Some(b','), header: Some(true), ..CsvOptions::default() };
        let manifest = load(text.as_bytes(), FileFormat::Csv(options), chunk_bytes).expect("loaded");
        let found: Vec<_> =
            manifest.columns.iter().map(|column| (!column.undecided).then(|| column.column_type.clone())).collect();
        let expected: Vec<_> = shapes.iter().map(Shape::column_type).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(manifest.rows(), rows.len() as u64);
    }

    /// No JSON, however broken, is lost or brings anything down.
    #[test]
    fn json_is_never_lost(text in json(), lines in any::<bool>(), chunk_bytes in 4usize..40) {
        let format = if lines { FileFormat::Ndjson } else { FileFormat::Json };
        let manifest = load(text.as_bytes(), format, chunk_bytes);
        if lines {
            let expected = text.lines().filter(|line| !line.trim().is_empty()).count();
            prop_assert_eq!(manifest.expect("lines can always be read").extract.read, expected as u64);
        }
    }

    /// An array gives the same records in chunks of any size.
    #[test]
    fn json_arrays_in_chunks(values in prop::collection::vec("[a-z\\[\\],{}\"\\\\]{0,8}", 0..20), chunk_bytes in 4usize..60) {
        let objects: Vec<String> = values.iter().map(|value| serde_json::json!({ "v": value }).to_string()).collect();
        let text = format!("[{}]", objects.join(" , "));
        let manifest = load(text.as_bytes(), FileFormat::Json, chunk_bytes).expect("a sound array");
        prop_assert_eq!(manifest.rows(), values.len() as u64);
    }
}

#[test]
fn a_record_that_is_too_long_is_skipped() {
    let text = format!("short\n{}\nnext\n", "x".repeat(500));
    let (_folder, content) = content(text.as_bytes());
    let input = Box::new(Cursor::new(text.into_bytes()));
    let mut reader = ChunkReader::new(&content, input, Box::new(Lines), 16).with_max_record(64);
    let mut seen = Vec::new();
    while let Some(chunk) = reader.next().expect("readable") {
        seen.push((chunk.offset, chunk.record, chunk.oversize, chunk.bytes.len()));
    }
    assert_eq!(seen, [(0, 1, false, 6), (6, 2, true, 64), (507, 3, false, 5)]);
}

#[test]
fn boundaries_wait_for_what_follows_a_quote() {
    let mut boundaries = CsvBoundaries::new(DIALECT);
    assert_eq!(boundaries.whole_records(b"a,\"b\""), 0);
    assert_eq!(boundaries.whole_records(b"a,\"b\"\r"), 0);
    assert_eq!(boundaries.whole_records(b"a,\"b\"\r\nc"), 7);
    assert_eq!(boundaries.whole_records(b"a,\"b\"x\nc,\"d"), 7);
}
