//! The cases below `cases/`: what is delivered, and what lands.
//!
//! A case is one text file of sections, each begun by a line `=== …`:
//!
//! * `=== source`: the source's YAML (without `type` and `path`), with one stream.
//! * `=== file NAME`: delivers a file with this text. `=== bytes NAME`: the same, with `\r`, `\n`, `\t`, `\\` and `\xNN` in it, line
//!   ends of the case left out.
//! * `=== gzip NAME NEW [CUT]`: compresses a delivered file, keeping only CUT bytes. `=== append NAME`, `=== move A B`, `=== copy A B`,
//!   `=== remove NAME`, `=== folder NAME`, `=== truncate NAME`, `=== link NAME TARGET`.
//! * `=== run`: extracts. `=== confirm`: tells the source that the last run was published, then lists the folder.
//!   `=== replay`: reads the rejects of the last run again. What they answer follows, and is rewritten with `UPDATE_EXPECT=1`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use thalweg_project::{InputFile, ProjectInput};
use thalweg_source::landing::{Landing, Manifest, RunLanding, read_rejects, unify};
use thalweg_source::{Column, Context, Extract, FilesSource, NoteLevel, Position, Source, SourceError, StreamRequest};

#[test]
fn cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let only = std::env::var("CASE").ok();
    let mut wrong = Vec::new();
    let mut paths: Vec<PathBuf> =
        fs::read_dir(&folder).expect("the cases").map(|entry| entry.expect("a case").path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a case in UTF-8");
        let found = play(&text);
        if found == text {
            continue;
        }
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&path, found).expect("the case can be written");
        } else {
            wrong.push(format!("--- {name}\n{}", first_difference(&text, &found)));
        }
    }
    assert!(wrong.is_empty(), "{}\n(UPDATE_EXPECT=1 rewrites the cases)", wrong.join("\n"));
}

fn first_difference(expected: &str, found: &str) -> String {
    let differs = expected.lines().zip(found.lines()).position(|(a, b)| a != b);
    let from = differs.unwrap_or_else(|| expected.lines().count().min(found.lines().count()));
    let show = |text: &str| text.lines().skip(from).take(12).collect::<Vec<_>>().join("\n");
    format!("line {}: expected\n{}\nfound\n{}\n", from + 1, show(expected), show(found))
}

/// Plays a case and writes it anew, with what really happened.
fn play(text: &str) -> String {
    let mut written = String::new();
    let mut world = World::new();
    for section in sections(text) {
        let _ = writeln!(written, "{}", section.head);
        let words: Vec<&str> = section.head.trim_start_matches("=== ").split(' ').collect();
        match words.as_slice() {
            ["run"] => written.push_str(&world.run()),
            ["confirm"] => written.push_str(&world.confirm()),
            ["replay"] => written.push_str(&world.replay()),
            command => {
                world.prepare(command, section.body);
                written.push_str(section.body);
            }
        }
    }
    written
}

struct Section<'t> {
    head: &'t str,
    body: &'t str,
}

fn sections(text: &str) -> Vec<Section<'_>> {
    let mut starts: Vec<usize> = text.match_indices("\n=== ").map(|(place, _)| place + 1).collect();
    starts.insert(0, 0);
    starts.push(text.len());
    let section = |window: &[usize]| {
        let section = &text[window[0]..window[1]];
        section.split_once('\n').unwrap_or((section, ""))
    };
    starts.windows(2).map(section).map(|(head, body)| Section { head, body }).collect()
}

struct World {
    home: tempfile::TempDir,
    yaml: String,
    run: i64,
    deliveries: u64,
    position: Position,
    known: Vec<Column>,
    last: Option<Manifest>,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(home.path().join("incoming")).expect("a folder");
        let yaml = "streams: {}\n".to_owned();
        Self { home, yaml, run: 0, deliveries: 0, position: Position::new(), known: Vec::new(), last: None }
    }

    fn incoming(&self, name: &str) -> PathBuf {
        self.home.path().join("incoming").join(name)
    }

    fn prepare(&mut self, command: &[&str], body: &str) {
        match command {
            ["source"] => body.clone_into(&mut self.yaml),
            ["file", name] => self.deliver(name, body.as_bytes()),
            ["bytes", name] => self.deliver(name, &unescape(body)),
            ["append", name] => {
                // Written in place, as a log is.
                let mut file = File::options().append(true).open(self.incoming(name)).expect("a file");
                file.write_all(body.as_bytes()).expect("written");
                self.age(name);
            }
            ["truncate", name] => {
                File::options().write(true).truncate(true).open(self.incoming(name)).expect("a file");
                self.age(name);
            }
            ["gzip", from, to, cut @ ..] => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(&fs::read(self.incoming(from)).expect("a file")).expect("compressed");
                let mut bytes = encoder.finish().expect("compressed");
                if let [cut] = cut {
                    bytes.truncate(cut.parse().expect("a number of bytes"));
                }
                fs::remove_file(self.incoming(from)).expect("removed");
                self.deliver(to, &bytes);
            }
            ["move", from, to] => fs::rename(self.incoming(from), self.incoming(to)).expect("moved"),
            ["copy", from, to] => {
                let bytes = fs::read(self.incoming(from)).expect("a file");
                self.deliver(to, &bytes);
            }
            ["remove", name] => fs::remove_file(self.incoming(name)).expect("removed"),
            ["folder", name] => fs::create_dir_all(self.incoming(name)).expect("a folder"),
            ["link", name, target] => {
                std::os::unix::fs::symlink(target, self.incoming(name)).expect("a link");
            }
            other => panic!("no such section: {other:?}"),
        }
    }

    fn deliver(&mut self, name: &str, bytes: &[u8]) {
        let path = self.incoming(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, bytes).expect("delivered");
        self.age(name);
    }

    /// Deliveries are a minute apart, the first long ago.
    fn age(&mut self, name: &str) {
        self.deliveries += 1;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + 60 * self.deliveries);
        let file = File::options().append(true).open(self.incoming(name)).expect("a file");
        file.set_modified(time).expect("a time");
    }

    fn source(&self) -> thalweg_project::Source {
        let yaml = format!("type: files\npath: incoming\n{}", self.yaml);
        let project = "name: case\ntargets: { dev: { type: duckdb, path: w.duckdb } }\ndefault_target: dev\n";
        let input = ProjectInput {
            files: vec![InputFile::new("thalweg.yml", project), InputFile::new("sources/in.yml", yaml)],
            ..ProjectInput::default()
        };
        let (project, diagnostics) = thalweg_project::read(&input);
        let mistakes: Vec<_> =
            diagnostics.iter().filter(|found| found.severity == thalweg_project::Severity::Error).collect();
        assert!(mistakes.is_empty(), "{mistakes:?}");
        project.expect("a project").sources.remove(0)
    }

    fn context(&self) -> Context {
        Context {
            project_folder: self.home.path().to_owned(),
            target: "dev".to_owned(),
            threads: 2,
            cancelled: Arc::new(AtomicBool::new(false)),
        }
    }

    fn landing(&mut self) -> RunLanding {
        self.run += 1;
        let landing = Landing::new(self.home.path().join("landing"), "dev").stream("in", "case").run(self.run);
        landing.begin().expect("a landing");
        landing
    }

    fn run(&mut self) -> String {
        let (source, context, landing) = (self.source(), self.context(), self.landing());
        let files = FilesSource::new(&source, self.home.path());
        let stored = self.known.iter().map(|column| Column { undecided: false, ..column.clone() }).collect();
        let position = self.position.clone();
        let requests = [StreamRequest::changes(&source.streams[0], position, stored)];
        let extracted = files.open(&requests, &context).and_then(|snapshot| snapshot.extract(0, &landing));
        match extracted {
            Ok(extract) => {
                for (key, value) in &extract.position {
                    match value {
                        Some(value) => self.position.insert(key.clone(), value.clone()),
                        None => self.position.remove(key),
                    };
                }
                self.show(&landing, extract)
            }
            Err(error) => self.failed(&error),
        }
    }

    fn replay(&mut self) -> String {
        let (source, context, landing) = (self.source(), self.context(), self.landing());
        let files = FilesSource::new(&source, self.home.path());
        let last = self.last.clone().expect("a run before");
        let before = Landing::new(self.home.path().join("landing"), "dev").stream("in", "case").run(last.run);
        let rejects = last.rejects.as_ref().expect("rejects");
        let records = read_rejects(&before.folder().join(&rejects.file)).expect("rejects");
        let (position, known_columns) = (self.position.clone(), self.known.clone());
        let request = StreamRequest::changes(&source.streams[0], position, known_columns);
        match files.replay(&request, &last.extract.files, &records, &context, &landing) {
            Ok(extract) => {
                assert_eq!(extract.read, records.len() as u64, "every reject is answered");
                self.show(&landing, extract)
            }
            Err(error) => self.failed(&error),
        }
    }

    fn confirm(&mut self) -> String {
        let source = self.source();
        let files = FilesSource::new(&source, self.home.path());
        let confirmations = self.last.as_ref().expect("a run before").extract.confirmations.clone();
        let mut shown = String::new();
        // Twice, as after a crash.
        for _ in 0..2 {
            let confirmed = files.confirm(&source.streams[0], &confirmations).expect("confirmed");
            for note in &confirmed.notes {
                let _ = writeln!(shown, "note: {}", self.hide(&note.message));
            }
            if confirmed.again {
                let _ = writeln!(shown, "to be told again");
            }
        }
        let root = self.home.path().join("incoming");
        let mut names = Vec::new();
        list(&root, &root, &mut names);
        names.sort();
        let _ = writeln!(shown, "folder: {}", names.join(", "));
        shown
    }

    fn failed(&self, error: &SourceError) -> String {
        format!("error {:?}: {}\n", error.kind, self.hide(&error.message))
    }

    fn show(&mut self, landing: &RunLanding, extract: Extract) -> String {
        let manifest = landing.finish(extract, "case", 1).expect("a manifest: law 3 holds");
        assert_eq!(landing.find().expect("readable").as_ref(), Some(&manifest));
        let extract = &manifest.extract;
        let mut shown = String::new();
        if !manifest.columns.is_empty() {
            let column = |column: &Column| {
                let undecided = if column.undecided { "?" } else { "" };
                format!("{} {}{undecided}", column.name, column.column_type)
            };
            let _ = writeln!(shown, "{}", manifest.columns.iter().map(column).collect::<Vec<_>>().join(", "));
        }
        let file = |index: i32| extract.files[usize::try_from(index).expect("an index")].name.as_str();
        let mut rows = Vec::new();
        for part in &manifest.parts {
            read_part(&landing.folder().join(&part.file), &manifest.columns, &mut rows);
        }
        rows.sort();
        for (index, record, row) in &rows {
            let _ = writeln!(shown, "{}:{record} | {row}", file(*index));
        }
        if let Some(rejects) = &manifest.rejects {
            for reject in read_rejects(&landing.folder().join(&rejects.file)).expect("rejects") {
                let at = reject.byte_offset.map(|offset| format!("@{offset}")).unwrap_or_default();
                let (name, raw) = (file(reject.file), reject.raw.escape_debug().to_string());
                let _ = writeln!(shown, "reject {name}:{}{at}: {} <- {raw}", reject.record, reject.reason);
            }
        }
        for note in &extract.notes {
            let level = if note.level == NoteLevel::Warning { "warning" } else { "note" };
            let _ = writeln!(shown, "{level}: {}", self.hide(&note.message));
        }
        for failed in &extract.failed {
            let _ = writeln!(shown, "failed: {}", self.hide(&failed.message));
        }
        let complete = if extract.complete { ", complete" } else { "" };
        let _ = writeln!(shown, "read {} = {} rows + {} rejects{complete}", extract.read, rows.len(), extract.rejected);
        self.known = unify([self.known.as_slice(), manifest.columns.as_slice()]);
        self.last = Some(manifest);
        shown
    }

    /// Temporary paths differ from run to run.
    fn hide(&self, message: &str) -> String {
        let home = self.home.path().canonicalize().expect("a path");
        message.replace(&*home.to_string_lossy(), "HOME").replace(&*self.home.path().to_string_lossy(), "HOME")
    }
}

fn read_part(path: &Path, columns: &[Column], rows: &mut Vec<(i32, i64, String)>) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).expect("a part")).expect("Parquet");
    let options = FormatOptions::new().with_null("NULL");
    for batch in reader.build().expect("a reader") {
        let batch = batch.expect("a batch");
        let files = batch.column_by_name("_file").expect("_file").as_primitive::<Int32Type>().clone();
        let records = batch.column_by_name("_record").expect("_record").as_primitive::<Int64Type>().clone();
        for row in 0..batch.num_rows() {
            let value = |column: &Column| match batch.column_by_name(&column.name) {
                None => "(none)".to_owned(),
                Some(array) => {
                    let shown = ArrayFormatter::try_new(array, &options).expect("a format").value(row).to_string();
                    // An empty text is not NULL, and line ends stay on one line.
                    if shown.is_empty() { "''".to_owned() } else { shown.replace('\n', "⏎").replace('\r', "␍") }
                }
            };
            rows.push((
                files.value(row),
                records.value(row),
                columns.iter().map(value).collect::<Vec<_>>().join(" | "),
            ));
        }
    }
}

fn list(root: &Path, folder: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            list(root, &path, names);
        } else {
            names.push(path.strip_prefix(root).expect("inside").to_string_lossy().into_owned());
        }
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes().filter(|byte| *byte != b'\n'));
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'n') => bytes.push(b'\n'),
            Some(b'r') => bytes.push(b'\r'),
            Some(b't') => bytes.push(b'\t'),
            Some(b'x') => {
                let digit = |byte: Option<u8>| char::from(byte.expect("a digit")).to_digit(16).expect("a digit");
                bytes.push(u8::try_from(digit(rest.next()) * 16 + digit(rest.next())).expect("a byte"));
            }
            Some(other) => bytes.push(other),
            None => {}
        }
    }
    bytes
}
