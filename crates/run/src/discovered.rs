//! What databases said of their tables, kept beside the project.
//!
//! Wildcards, and keys and columns that a file does not give, come from the database. It is asked when a run that loads begins, and by
//! `conns discover`; everything else works with what it said last, so that a project can be checked without it. The files may be deleted: the
//! next build asks again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thalweg_project::{
    DatabaseConnection, DatabaseSettings, Diagnostic, Project, ProjectInput, Severity, SourceConnection, Table,
    TableName, TableRef,
};
use thalweg_source::database::DatabaseSource;
use thalweg_source::{Column, SourceError, SourceErrorKind};

use crate::error::RunError;

/// Where project reading gets what databases say of their tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AskSources {
    /// What they said last is good enough.
    #[default]
    Remembered,
    /// They are asked, because the project is to be loaded.
    Now,
}

/// The code of the warning that a database was not asked yet.
const UNDISCOVERED: &str = "undiscovered-source";

/// Sources that are databases of which nothing is known, since they could not be reached, with what was the matter.
pub type Unreached = BTreeMap<String, SourceError>;

/// What is known of a project that is read.
pub type Read = (Option<Project>, Vec<Diagnostic>, Unreached);

/// A file of what a database said.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    /// Which database; another one under the same name of a source is not meant.
    place: String,
    tables: Vec<Table>,
}

fn path(folder: &Path, source: &str) -> PathBuf {
    folder.join(".thalweg").join("discovered").join(format!("{source}.json"))
}

/// Which database, without secrets.
fn place(settings: &DatabaseSettings) -> String {
    format!("{} {}:{}/{}", settings.kind.word(), settings.host, settings.port, settings.database)
}

/// Keeps what a database said. A failure to do so is no failure of the command.
pub fn remember(folder: &Path, source: &str, settings: &DatabaseSettings, tables: &[Table]) {
    let path = path(folder, source);
    let write = || -> std::io::Result<()> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let unfinished = path.with_extension("unfinished");
        std::fs::write(
            &unfinished,
            serde_json::to_vec(&Remembered { place: place(settings), tables: tables.to_vec() })?,
        )?;
        std::fs::rename(&unfinished, &path)
    };
    if let Err(error) = write() {
        tracing::warn!(%error, path = %path.display(), "cannot remember the tables of a database");
    }
}

/// Databases of a project.
fn databases(project: &Project) -> impl Iterator<Item = (&thalweg_project::Source, &DatabaseConnection)> {
    project.sources.iter().filter_map(|source| match &source.connection {
        SourceConnection::Database(database) => Some((source, database.as_ref())),
        SourceConnection::Files { .. } => None,
    })
}

/// The columns that store tables will have by what databases said of the tables they are read from.
pub fn columns(
    project: &Project,
    discovered: &BTreeMap<String, Vec<Table>>,
    folder: &Path,
) -> Vec<(TableName, Vec<Column>)> {
    let mut known = Vec::new();
    for (source, database) in databases(project) {
        let reader = DatabaseSource::new(&source.name, &database.settings, folder);
        let tables = discovered.get(&source.name);
        for stream in &source.streams {
            let table = stream.database.as_ref().map(|options| &options.table);
            let table = tables.into_iter().flatten().find(|described| Some(&described.table) == table);
            // What cannot be read as it is declared is told when it is read.
            let columns = table.and_then(|table| reader.columns(table, stream).ok());
            known.extend(columns.map(|columns| (stream.table.clone(), columns)));
        }
    }
    known
}

/// Reads a project with what its databases said last, or say now.
pub fn read_project(folder: &Path, input: &mut ProjectInput, ask: AskSources) -> Result<Read, RunError> {
    let (project, diagnostics) = thalweg_project::read(input);
    // What is wrong elsewhere may be so only because tables are not known yet.
    let wrong = |file: &str| {
        let mut errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
        errors.any(|diagnostic| diagnostic.location.file == file)
    };
    let Some(known) = project.as_ref().filter(|project| databases(project).next().is_some()) else {
        return Ok((project, diagnostics, Unreached::new()));
    };
    let (mut discovered, mut unreached) = (BTreeMap::new(), Unreached::new());
    for (source, database) in databases(known) {
        let text = std::fs::read(path(folder, &source.name)).ok();
        let remembered = text.and_then(|text| serde_json::from_slice::<Remembered>(&text).ok());
        let is_of_place = |remembered: &Remembered| remembered.place == place(&database.settings);
        let (of_place, elsewhere) = match remembered {
            Some(remembered) if is_of_place(&remembered) => (Some(remembered.tables), None),
            other => (None, other.map(|remembered| remembered.tables)),
        };
        let mut tables = of_place;
        if ask == AskSources::Now && !wrong(&source.location.file) {
            tables = match ask_source(folder, source, database, tables) {
                Ok(tables) => Some(tables),
                Err(error) if error.kind == SourceErrorKind::Cancelled => return Err(RunError::Source(error)),
                // It has another address than before: until it is reached there, its tables are those that it had.
                Err(_) if elsewhere.is_some() => elsewhere,
                // Which tables a wildcard stands for decides what else there is.
                Err(error) if !database.wildcards.is_empty() => {
                    return Err(RunError::Source(SourceError::new(
                        error.kind,
                        format!(
                            "{}; it was never reached, so it is not known which tables its wildcards stand for, and nothing can be done before",
                            error.message
                        ),
                    )));
                }
                Err(error) => {
                    unreached.insert(source.name.clone(), error);
                    None
                }
            };
        }
        discovered.extend(tables.map(|tables| (source.name.clone(), tables)));
    }
    input.discovered = discovered;
    let (project, mut diagnostics) = thalweg_project::read(input);
    // That they were not asked is what the run says of them.
    let file_of = |name: &String| input_file(project.as_ref()?, name);
    let files: Vec<String> = unreached.keys().filter_map(file_of).collect();
    diagnostics.retain(|one| one.code != UNDISCOVERED || !files.contains(&one.location.file));
    Ok((project, diagnostics, unreached))
}

fn input_file(project: &Project, source: &str) -> Option<String> {
    let source = project.sources.iter().find(|one| one.name == source)?;
    Some(source.location.file.clone())
}

/// Asks a database. When it cannot be reached, what it said last is good enough to go on with everything else.
fn ask_source(
    folder: &Path,
    source: &thalweg_project::Source,
    database: &DatabaseConnection,
    remembered: Option<Vec<Table>>,
) -> Result<Vec<Table>, SourceError> {
    let reader = DatabaseSource::new(&source.name, &database.settings, folder);
    // All tables are asked for only where a wildcard may stand for any of them.
    let mut named: Vec<TableRef> =
        source.streams.iter().filter_map(|stream| Some(stream.database.as_ref()?.table.clone())).collect();
    named.sort();
    named.dedup();
    let only = (database.wildcards.is_empty() && remembered.is_some()).then_some(named.as_slice());
    match (reader.describe(only), remembered) {
        (Ok(mut tables), before) => {
            // Others were not asked for; and of a named table that is gone, key and columns stay known.
            let kept = before.iter().flatten().filter(|table| {
                let is_named = named.contains(&table.table);
                (only.is_some() || is_named) && !tables.iter().any(|other| other.table == table.table)
            });
            let kept: Vec<Table> = kept.cloned().collect();
            tables.extend(kept);
            tables.sort_by(|a, b| a.table.cmp(&b.table));
            if before.as_ref() != Some(&tables) {
                remember(folder, &source.name, &database.settings, &tables);
            }
            Ok(tables)
        }
        (Err(error), Some(before)) if error.kind != SourceErrorKind::Cancelled => Ok(before),
        (Err(error), _) => Err(error),
    }
}
