//! Seeds as streams: a seed is a file stream whose folder is the project's `seeds/`.

use std::collections::BTreeMap;
use std::time::Duration;

use thalweg_project::{
    AfterLoad, CsvOptions, FileFormat, FileMode, FileOptions, Location, Project, Ready, SchemaAction, SchemaContract,
    Seed, Source, SourceConnection, Stream, StreamColumn, WriteDisposition,
};

/// Name of the source that all seeds belong to.
pub const SEED_SOURCE: &str = "seeds";

/// The seeds of a project as one source with one stream each, in order; `None` when there are none.
pub fn source(project: &Project) -> Option<Source> {
    if project.seeds.is_empty() {
        return None;
    }
    Some(Source {
        name: SEED_SOURCE.to_owned(),
        connection: SourceConnection::Files { path: "seeds".to_owned(), country_database: None },
        streams: project.seeds.iter().map(stream).collect(),
        location: Location::file("seeds"),
    })
}

/// What a seed's table is made by.
pub fn fingerprint(seed: &Seed) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(seed.text.as_bytes());
    for (name, column_type) in &seed.column_types {
        hash.update(format!("\0{name} {column_type}").as_bytes());
    }
    hash.finalize().to_hex()[..32].to_owned()
}

fn stream(seed: &Seed) -> Stream {
    Stream {
        source: SEED_SOURCE.to_owned(),
        name: seed.table.name.clone(),
        table: seed.table.clone(),
        primary_key: Vec::new(),
        write_disposition: WriteDisposition::Replace,
        sequence_by: None,
        soft_delete: None,
        schema_contract: SchemaContract { columns: SchemaAction::Evolve, types: SchemaAction::Evolve },
        select: Vec::new(),
        max_rejects: Some(0),
        columns: seed
            .column_types
            .iter()
            .map(|(name, column_type)| StreamColumn {
                name: name.clone(),
                column_type: Some(column_type.clone()),
                description: None,
                personal: false,
                subject: None,
            })
            .collect(),
        tags: seed.tags.clone(),
        description: None,
        files: FileOptions {
            pattern: seed.file.strip_prefix("seeds/").unwrap_or(&seed.file).to_owned(),
            format: FileFormat::Csv(CsvOptions::default()),
            mode: FileMode::Whole,
            // A seed is part of the project: it is read as it stands.
            ready: Ready::StableFor(Duration::ZERO),
            after: AfterLoad::Keep,
            archive: "archive".to_owned(),
            lists: BTreeMap::new(),
        },
        database: None,
        location: Location::file(&seed.file),
    }
}
