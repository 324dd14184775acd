//! What landed, to be read again.

use thalweg_project::{ColumnType, Stream};
use thalweg_source::landing::unify;
use thalweg_source::{Column, SourceErrorKind};

use crate::error::RunError;
use crate::extract::stream_name;
use crate::known::PublishedLanding;
use crate::publish::store::ExtractFiles;
use crate::publish::stream::{Rebuild, extract_files, in_place};
use crate::workbench::Workbench;

/// A rebuild, and why.
pub fn rebuild_because(reason: &str, extracts: Vec<(ExtractFiles, Vec<Column>)>) -> Rebuild {
    Rebuild { reason: format!("{reason}; rebuilt from landing"), extracts }
}

/// Whether a column that had another type has to become text.
pub fn becomes_text(known: &[Column], fresh: &[Column]) -> bool {
    let wanted = unify([known, fresh]);
    known.iter().filter(|column| !column.undecided).any(|column| {
        wanted
            .iter()
            .any(|other| other.name == column.name && other.column_type != column.column_type && is_textual(other))
    })
}

fn is_textual(column: &Column) -> bool {
    let mut inner = &column.column_type;
    while let ColumnType::List(item) = inner {
        inner = item;
    }
    *inner == ColumnType::Text
}

/// Everything that landed for a stream and was published, oldest first. What is gone or damaged is [`RunError::NotFound`]: it is the trouble of
/// this stream alone.
pub fn landed_extracts(
    bench: &Workbench,
    landings: &[PublishedLanding],
    stream: &Stream,
) -> Result<Vec<(ExtractFiles, Vec<Column>)>, RunError> {
    let mut extracts = Vec::new();
    for row in landings.iter().filter(|row| row.source == stream.source && row.stream == stream.name) {
        let extract = landed_extract(bench, row).map_err(|error| match error {
            RunError::Source(error) if error.kind == SourceErrorKind::Landing => RunError::NotFound(error.message),
            other => other,
        })?;
        let Some(extract) = extract else {
            return Err(RunError::NotFound(format!(
                "the landing of {} of run {} is gone, so {} cannot be rebuilt from it: put {} back, or change the definition back",
                stream_name(stream),
                row.run,
                stream.table,
                bench.landing().stream(&row.source, &row.folder).run(row.run).folder().display()
            )));
        };
        extracts.push(extract);
    }
    Ok(in_place(extracts))
}

/// One published landing; `None` when it is gone.
pub fn landed_extract(
    bench: &Workbench,
    row: &PublishedLanding,
) -> Result<Option<(ExtractFiles, Vec<Column>)>, RunError> {
    let place = bench.landing().stream(&row.source, &row.folder).run(row.run);
    let Some(manifest) = place.find()? else { return Ok(None) };
    place.check_content(&manifest)?;
    let mut files = extract_files(&manifest, place.folder(), row.origin_base);
    // Its rejects are in the warehouse since then.
    files.rejects = None;
    Ok(Some((files, manifest.columns)))
}
