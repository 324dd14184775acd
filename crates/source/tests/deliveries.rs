//! When files are ready, what is not looked at again, and what stops an extract.

use std::fs;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use thalweg_project::{InputFile, ProjectInput, Source as Definition};
use thalweg_source::landing::{Landing, Manifest};
use thalweg_source::{Context, FilesSource, Position, Source, SourceError, SourceErrorKind, StreamRequest};

struct Project {
    home: tempfile::TempDir,
    definition: Definition,
    position: Position,
    run: i64,
    cancelled: Arc<AtomicBool>,
}

impl Project {
    fn new(stream: &str) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        fs::create_dir(home.path().join("incoming")).expect("a folder");
        let yaml = format!("type: files\npath: incoming\nstreams:\n  case: {stream}\n");
        let input = ProjectInput {
            files: vec![
                InputFile::new("thalweg.yml", "name: case\ntargets: { dev: { type: duckdb, path: w.duckdb } }\n"),
                InputFile::new("sources/in.yml", yaml),
            ],
            ..ProjectInput::default()
        };
        let (project, diagnostics) = thalweg_project::read(&input);
        let definition = project.unwrap_or_else(|| panic!("{diagnostics:?}")).sources.remove(0);
        let cancelled = Arc::new(AtomicBool::new(false));
        Self { home, definition, position: Position::new(), run: 0, cancelled }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.home.path().join("incoming").join(name), text).expect("delivered");
    }

    fn extract(&mut self) -> Result<Manifest, SourceError> {
        self.run += 1;
        let context = Context {
            project_folder: self.home.path().to_owned(),
            target: "dev".to_owned(),
            threads: 2,
            cancelled: Arc::clone(&self.cancelled),
        };
        let landing = Landing::new(self.home.path().join("landing"), "dev").stream("in", "case").run(self.run);
        landing.begin()?;
        let source = FilesSource::new(&self.definition, self.home.path());
        let requests = [StreamRequest::changes(&self.definition.streams[0], self.position.clone(), Vec::new())];
        let extract = source.open(&requests, &context)?.extract(0, &landing)?;
        for (key, value) in &extract.position {
            match value {
                Some(value) => self.position.insert(key.clone(), value.clone()),
                None => self.position.remove(key),
            };
        }
        landing.finish(extract, "case", 1)
    }
}

#[test]
fn young_files_are_waited_for_once() {
    let mut project = Project::new("{ files: '*.csv', format: csv, ready: { stable_for: 1s } }");
    project.write("a.csv", "id\n1\n");
    let started = Instant::now();
    assert_eq!(project.extract().expect("extracted").rows(), 1);
    assert!(started.elapsed() >= Duration::from_millis(900));
    // Nothing is young any more: nothing is waited for.
    let started = Instant::now();
    assert!(project.extract().expect("extracted").extract.is_empty());
    assert!(started.elapsed() < Duration::from_millis(500));
}

#[test]
fn a_file_that_goes_on_changing_is_left_for_the_next_run() {
    let mut project = Project::new("{ files: '*.csv', format: csv, ready: { stable_for: 1s } }");
    project.write("a.csv", "id\n1\n");
    let path = project.home.path().join("incoming/a.csv");
    let writer = std::thread::spawn(move || {
        for number in 0..15 {
            std::thread::sleep(Duration::from_millis(100));
            let mut text = fs::read_to_string(&path).expect("a file");
            text.push_str(&format!("{number}\n"));
            fs::write(&path, text).expect("written");
        }
    });
    let manifest = project.extract().expect("extracted");
    writer.join().expect("written");
    assert_eq!(manifest.rows(), 0);
    assert_eq!(manifest.extract.notes[0].message, "a.csv: left for later, it is still changing");
    assert_eq!(project.extract().expect("extracted").rows(), 16);
}

#[test]
fn a_change_in_the_future_is_waited_for_as_well() {
    let mut project = Project::new("{ files: '*.csv', format: csv, ready: { stable_for: 1s } }");
    let path = project.home.path().join("incoming/a.csv");
    let future = SystemTime::now() + Duration::from_secs(3600);
    let write = move |text: &str| {
        let mut file = fs::File::options().append(true).create(true).open(&path).expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        file.set_modified(future).expect("a time");
    };
    write("id\n");
    let writer = std::thread::spawn(move || {
        for number in 0..15 {
            std::thread::sleep(Duration::from_millis(100));
            write(&format!("{number}\n"));
        }
    });
    let manifest = project.extract().expect("extracted");
    writer.join().expect("written");
    assert_eq!(manifest.rows(), 0);
    assert_eq!(manifest.extract.notes[0].message, "a.csv: left for later, it is still changing");
    let started = Instant::now();
    assert_eq!(project.extract().expect("extracted").rows(), 15);
    assert!(started.elapsed() >= Duration::from_millis(900));
}

#[test]
fn waiting_can_be_stopped() {
    let mut project = Project::new("{ files: '*.csv', format: csv, ready: { stable_for: 1h } }");
    project.write("a.csv", "id\n1\n");
    let cancelled = Arc::clone(&project.cancelled);
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        cancelled.store(true, Ordering::Relaxed);
    });
    assert_eq!(project.extract().expect_err("stopped").kind, SourceErrorKind::Cancelled);
}

#[test]
fn a_missing_folder_is_told() {
    let mut project = Project::new("{ files: '*.csv', format: csv }");
    fs::remove_dir(project.home.path().join("incoming")).expect("removed");
    let error = project.extract().expect_err("no folder");
    assert_eq!(error.kind, SourceErrorKind::Denied);
    assert!(error.message.ends_with("incoming does not exist: create it, or correct `path:` of the source"), "{error}");
    let source = FilesSource::new(&project.definition, project.home.path());
    assert!(source.check().expect_err("no folder").message.starts_with("source in: the folder "));
}

#[test]
fn many_kept_files_cost_little() {
    let mut project = Project::new("{ files: '*.csv', format: csv, ready: renamed }");
    for number in 0..2000 {
        project.write(&format!("{number:05}.csv"), &format!("id\n{number}\n"));
    }
    let first = project.extract().expect("extracted");
    assert_eq!((first.rows(), first.parts.len()), (2000, 1));
    let started = Instant::now();
    assert!(project.extract().expect("extracted").extract.is_empty());
    // 10,000 files in 100 ms in a release build; this one is not, and shares its machine.
    assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
}

#[test]
fn a_large_file_is_read_in_chunks_and_whole() {
    let mut project = Project::new("{ files: '*.csv', format: csv, ready: renamed }");
    let mut text = String::from("id,name,late\n");
    for number in 0..400_000 {
        text.push_str(&format!("{number},name of {number},\n"));
    }
    text.push_str("400000,\"two\nlines\",2024-01-01\n400001,x\n400002,last,2024-01-02\n");
    project.write("a.csv", &text);
    let manifest = project.extract().expect("extracted");
    let types: Vec<String> = manifest.columns.iter().map(|column| column.column_type.to_string()).collect();
    // The only values of the last column stand at the very end.
    assert_eq!(types, ["bigint", "text", "date"]);
    assert_eq!((manifest.rows(), manifest.extract.rejected, manifest.parts.len()), (400_002, 1, 2));
    assert_eq!(project.extract().expect("extracted").extract.files.len(), 0);
}
