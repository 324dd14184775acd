//! Reading rejected records again, under the present definition of the stream.

use std::sync::atomic::Ordering;

use serde_json::Value;
use thalweg_project::FileFormat;

use super::chunk::Chunk;
use super::chunked::{ChunkedFormat, Shapes, Surroundings, Work};
use super::columns::{KnownColumns, Looked, plan};
use super::content::{FileTrouble, data_error};
use super::csv::{CsvFormat, CsvLayout};
use super::json::{JsonFormat, Writing};
use super::output::SharedParts;
use super::read::Reading;
use super::rejects::{RejectLimit, Rejects};
use super::rows::Counts;
use crate::landing::unify;
use crate::{Extract, ExtractFile, Note, RejectedRecord, SourceError};

/// Every record becomes a row or a reject again, under its old place. `max_rejects` does not apply: nothing new came in.
pub(super) fn replay<'s>(
    reading: &mut Reading<'_>,
    mut known: KnownColumns<'_>,
    files: &[ExtractFile],
    records: &[RejectedRecord],
    surroundings: &Surroundings<'s>,
) -> Result<Extract, SourceError> {
    let mut extract = Extract {
        files: files.iter().map(|file| ExtractFile { read: 0, rejected: 0, ..file.clone() }).collect(),
        ..Extract::default()
    };
    let mut shared = SharedParts::new(surroundings.sink);
    for (index, file) in extract.files.iter_mut().enumerate() {
        surroundings.context.check_cancelled()?;
        let own: Vec<&RejectedRecord> =
            records.iter().filter(|record| usize::try_from(record.file) == Ok(index)).collect();
        if own.is_empty() {
            continue;
        }
        let limit = RejectLimit { stream: known.stream.name.clone(), file: file.name.clone(), max: None, before: 0 };
        let rejects = Rejects::new(&limit);
        let (mut read, count) =
            replay_file(reading, &mut known, file, &own, &rejects, &mut shared, &mut extract.notes)?;
        read.sort_unstable();
        // What was neither taken nor refused anew is refused as before: nothing gets lost.
        let missing = own.iter().filter(|record| read.binary_search(&record.record).is_err());
        let missing: Vec<RejectedRecord> = missing.map(|record| (*record).clone()).collect();
        file.read = count + missing.len() as u64;
        rejects.push(missing)?;
        file.rejected = rejects.count();
        rejects.commit(surroundings.sink)?;
        extract.read += file.read;
        extract.rejected += file.rejected;
    }
    shared.finish()?;
    Ok(extract)
}

/// Reads the records of one file; the numbers of those that became rows or were refused anew, and how many records that made.
fn replay_file(
    reading: &mut Reading<'_>,
    known: &mut KnownColumns<'_>,
    file: &ExtractFile,
    records: &[&RejectedRecord],
    rejects: &Rejects<'_>,
    shared: &mut SharedParts<'_>,
    notes: &mut Vec<Note>,
) -> Result<(Vec<i64>, u64), SourceError> {
    let stream = known.stream;
    let (csv, json);
    let (format, columns): (&dyn ChunkedFormat, Vec<String>) = match &stream.files.format {
        FileFormat::Csv(options) => {
            let Some(layout) =
                file.layout.clone().and_then(|layout: Value| serde_json::from_value::<CsvLayout>(layout).ok())
            else {
                return Ok((Vec::new(), 0));
            };
            let columns = layout.columns.clone();
            csv = CsvFormat::new(layout, options.null_values.as_ref());
            (&csv, columns)
        }
        FileFormat::AccessLog => (reading.access_log(), Vec::new()),
        FileFormat::Ndjson => {
            json = JsonFormat { writing: Writing::Lines, file: file.name.clone() };
            (&json, Vec::new())
        }
        FileFormat::Json => {
            json = JsonFormat { writing: Writing::Array, file: file.name.clone() };
            (&json, Vec::new())
        }
        FileFormat::Parquet => {
            notes.push(Note::warning(format!(
                "{}: rejects of Parquet files are not read again: deliver the file again",
                file.name
            )));
            return Ok((Vec::new(), 0));
        }
    };
    // An element of an array is read as an array of one, because it may hold line ends.
    let closing: &[u8] = if matches!(stream.files.format, FileFormat::Json) { b"]" } else { b"" };
    // Bytes that were no UTF-8 and what was cut off are not in the raw text any more; and what fills several lines is no line.
    let is_line = matches!(stream.files.format, FileFormat::Ndjson);
    let is_whole = |record: &&&RejectedRecord| {
        let cut = record.reason.contains("UTF-8") || record.raw.contains("… (cut: the record has ");
        !(cut || is_line && record.raw.contains('\n'))
    };
    let chunks: Vec<Chunk> = records
        .iter()
        .filter(is_whole)
        .map(|record| Chunk {
            bytes: [record.raw.as_bytes(), closing].concat(),
            offset: record.byte_offset.unwrap_or_default(),
            record: record.record,
            oversize: false,
            last: true,
        })
        .collect();
    let plan = match format.fixed_plan(known) {
        Some(plan) => plan,
        None => {
            let mut shapes = Shapes::of(&columns);
            chunks.iter().for_each(|chunk| format.infer(chunk, &mut shapes));
            let (names, shapes) = shapes.in_order();
            let planned = plan(&file.name, &names, &Looked::whole(&shapes), known).map_err(stop)?;
            return convert_all(format, &chunks, &names, planned, known, rejects, shared, records);
        }
    };
    convert_all(format, &chunks, &columns, plan, known, rejects, shared, records)
}

#[expect(clippy::too_many_arguments, reason = "the second half of `replay_file`, for two kinds of plan")]
fn convert_all(
    format: &dyn ChunkedFormat,
    chunks: &[Chunk],
    columns: &[String],
    plan: super::columns::Plan,
    known: &mut KnownColumns<'_>,
    rejects: &Rejects<'_>,
    shared: &mut SharedParts<'_>,
    records: &[&RejectedRecord],
) -> Result<(Vec<i64>, u64), SourceError> {
    let counts = Counts::default();
    let file = records.first().map_or(0, |record| record.file);
    let work = Work { plan: &plan, columns, file, rejects, counts: &counts };
    let (mut read, mut batches) = (Vec::new(), Vec::new());
    for chunk in chunks {
        let before = counts.read.load(Ordering::Relaxed);
        let converted = format.convert(chunk, &work, &mut |batch| {
            batches.push(batch);
            Ok(())
        });
        match converted {
            // One record in, one row or reject out; anything else is left as it was.
            Ok(true) if counts.read.load(Ordering::Relaxed) > before => read.push(chunk.record),
            Ok(_) | Err(FileTrouble::Failed(_) | FileTrouble::Changed) => {}
            Err(FileTrouble::Stop(error)) => return Err(error),
        }
    }
    let landing_columns = plan.landing_columns();
    batches.retain(|batch| batch.num_rows() > 0);
    if !batches.is_empty() {
        shared.write(&landing_columns, &batches)?;
        known.columns = unify([known.columns.as_slice(), landing_columns.as_slice()]);
    }
    Ok((read, counts.read.into_inner()))
}

fn stop(trouble: FileTrouble) -> SourceError {
    match trouble {
        FileTrouble::Stop(error) => error,
        FileTrouble::Failed(message) => data_error(message),
        FileTrouble::Changed => data_error("the definition of the stream does not fit its rejects"),
    }
}
