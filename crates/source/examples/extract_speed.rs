//! Seconds and peak memory of one extract: `extract_speed FILE csv|access_log|ndjson|json|parquet [COUNTRIES]`.
//!
//! FILE may be a pattern: `folder/*.csv`. A last line shows what it costs to find that nothing is new.
//!
//! COUNTRIES is a MaxMind database, or a CSV file of `start_ip,end_ip,country`, of which one is made.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use thalweg_enrich::mmdb_writer::CountryRange;
use thalweg_project::{
    AfterLoad, CsvOptions, FileFormat, FileMode, FileOptions, Location, Ready, SchemaAction, SchemaContract,
    SourceConnection, Stream, TableName, WriteDisposition,
};
use thalweg_source::landing::Landing;
use thalweg_source::{Context, FilesSource, Position, Source, StreamRequest};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(file), Some(format)) = (arguments.first(), arguments.get(1)) else {
        return Err("usage: extract_speed FILE csv|access_log|ndjson|json|parquet [COUNTRY_DATABASE]".into());
    };
    let format = match format.as_str() {
        "csv" => FileFormat::Csv(CsvOptions::default()),
        "access_log" => FileFormat::AccessLog,
        "ndjson" => FileFormat::Ndjson,
        "json" => FileFormat::Json,
        "parquet" => FileFormat::Parquet,
        other => return Err(format!("no such format: {other}").into()),
    };
    let countries = arguments.get(2).map(|path| country_database(path)).transpose()?;
    let file = Path::new(file);
    let folder =
        std::fs::canonicalize(file.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let source = thalweg_project::Source {
        name: "speed".to_owned(),
        connection: SourceConnection::Files {
            path: folder.to_string_lossy().into_owned(),
            country_database: countries,
        },
        streams: vec![stream(name, format)],
        location: Location::file("sources/speed.yml"),
    };
    let landing_folder = std::env::temp_dir().join(format!("extract-speed-{}", std::process::id()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let context = Context {
        project_folder: folder,
        target: "speed".to_owned(),
        threads,
        cancelled: Arc::new(AtomicBool::new(false)),
    };
    let files = FilesSource::new(&source, &PathBuf::from("/"));
    let mut position = Position::new();
    for _ in 0..3 {
        let started = Instant::now();
        let landing = Landing::new(landing_folder.clone(), "speed").stream("speed", "speed").run(1);
        landing.begin()?;
        let requests = [StreamRequest::changes(&source.streams[0], Position::new(), Vec::new())];
        let extract = files.open(&requests, &context)?.extract(0, &landing)?;
        let manifest = landing.finish(extract, "speed", 1)?;
        let bytes: u64 = manifest.parts.iter().map(|part| part.bytes).sum();
        println!(
            "{:.3} s, {} rows, {} rejects, {} parts of {} MB, peak {} MB",
            started.elapsed().as_secs_f64(),
            manifest.rows(),
            manifest.extract.rejected,
            manifest.parts.len(),
            bytes >> 20,
            peak_megabytes()
        );
        position = manifest.extract.position.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        for failed in &manifest.extract.failed {
            println!("failed: {}", failed.message);
        }
    }
    let started = Instant::now();
    let landing = Landing::new(landing_folder.clone(), "speed").stream("speed", "speed").run(2);
    let requests = [StreamRequest::changes(&source.streams[0], position, Vec::new())];
    let extract = files.open(&requests, &context)?.extract(0, &landing)?;
    println!("{:.3} s for nothing new ({})", started.elapsed().as_secs_f64(), extract.is_empty());
    std::fs::remove_dir_all(&landing_folder)?;
    Ok(())
}

fn country_database(path: &str) -> Result<String, Box<dyn std::error::Error>> {
    if !path.ends_with(".csv") {
        return Ok(path.to_owned());
    }
    let mut ranges = Vec::new();
    for line in std::fs::read_to_string(path)?.lines().skip(1) {
        if let [first, last, country] = line.split(',').collect::<Vec<_>>()[..] {
            ranges.push(CountryRange { first: first.parse()?, last: last.parse()?, country: country.to_owned() });
        }
    }
    let database = std::env::temp_dir().join("extract-speed.mmdb");
    std::fs::write(&database, thalweg_enrich::mmdb_writer::country_database(&ranges)?)?;
    Ok(database.to_string_lossy().into_owned())
}

fn stream(pattern: String, format: FileFormat) -> Stream {
    let evolve = SchemaContract { columns: SchemaAction::Evolve, types: SchemaAction::Evolve };
    Stream {
        source: "speed".to_owned(),
        name: "speed".to_owned(),
        table: TableName::new("store", "speed"),
        primary_key: Vec::new(),
        write_disposition: WriteDisposition::Append,
        sequence_by: None,
        soft_delete: None,
        schema_contract: evolve,
        select: Vec::new(),
        max_rejects: None,
        columns: Vec::new(),
        tags: Vec::new(),
        description: None,
        files: FileOptions {
            pattern,
            format,
            mode: FileMode::Whole,
            ready: Ready::Renamed,
            after: AfterLoad::Keep,
            archive: "archive".to_owned(),
            lists: std::collections::BTreeMap::new(),
        },
        database: None,
        location: Location::file("sources/speed.yml"),
    }
}

/// The most memory this process ever held (`VmHWM`), in MB.
fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or_default() >> 10
}
