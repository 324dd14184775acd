//! Access logs: fixed columns, device and browser of the user agent, country of the address.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, Int32Array, Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow::record_batch::RecordBatch;
use thalweg_enrich::{Countries, Devices, parse_access_line};
use thalweg_project::{ColumnType, Stream, is_selected};

use super::chunk::{Boundaries, Chunk, Lines};
use super::chunked::{ChunkedFormat, Output, Shapes, Work};
use super::columns::{Cells, KnownColumns, OnMisfit, Plan, PlannedColumn};
use super::content::{FileTrouble, data_error};
use super::rejects::raw_text;
use super::rows::BATCH_ROWS;
use crate::landing::arrow_schema;
use crate::values::Strictness;
use crate::{Column, Note, RejectedRecord, SourceError};

/// A column of every access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LogColumn {
    Ip,
    UserName,
    RequestedAt,
    Method,
    Path,
    Protocol,
    Status,
    Bytes,
    Referrer,
    UserAgent,
    Device,
    Browser,
    Country,
}

const COLUMNS: [(LogColumn, &str, ColumnType); 13] = [
    (LogColumn::Ip, "ip", ColumnType::Text),
    (LogColumn::UserName, "user_name", ColumnType::Text),
    (LogColumn::RequestedAt, "requested_at", ColumnType::Timestamp),
    (LogColumn::Method, "method", ColumnType::Text),
    (LogColumn::Path, "path", ColumnType::Text),
    (LogColumn::Protocol, "protocol", ColumnType::Text),
    (LogColumn::Status, "status", ColumnType::Integer),
    (LogColumn::Bytes, "bytes", ColumnType::BigInt),
    (LogColumn::Referrer, "referrer", ColumnType::Text),
    (LogColumn::UserAgent, "user_agent", ColumnType::Text),
    (LogColumn::Device, "device", ColumnType::Text),
    (LogColumn::Browser, "browser", ColumnType::Text),
    (LogColumn::Country, "country", ColumnType::Text),
];

/// Reads the chunks of access logs.
pub(super) struct AccessLogFormat {
    columns: Vec<(LogColumn, Column)>,
    countries: Option<Countries>,
    /// Memories that no worker is using. Each worker takes one for a chunk, so that all chunks profit and nobody waits.
    idle: Mutex<Vec<Memory>>,
    notes: Vec<Note>,
}

/// What one worker remembers of agents and addresses.
struct Memory {
    devices: Devices,
    countries: Option<Countries>,
}

impl AccessLogFormat {
    pub(super) fn new(stream: &Stream, country_database: Option<&Path>) -> Self {
        let columns: Vec<_> = COLUMNS
            .iter()
            .filter(|(_, name, _)| is_selected(&stream.select, name, name))
            .map(|(kind, name, column_type)| (*kind, Column::new(*name, *name, column_type.clone())))
            .collect();
        let (mut countries, mut notes) = (None, Vec::new());
        if columns.iter().any(|(kind, _)| *kind == LogColumn::Country) {
            match country_database.map(Countries::open) {
                Some(Ok(opened)) => countries = Some(opened),
                Some(Err(error)) => notes.push(Note::warning(format!("country is NULL: {error}"))),
                None => notes.push(Note::warning(
                    "country is NULL: the source names no `country_database` (a MaxMind file such as GeoLite2-Country.mmdb)",
                )),
            }
        }
        Self { columns, countries, idle: Mutex::new(Vec::new()), notes }
    }

    pub(super) fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Memory>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(
        &self,
        chunk: &Chunk,
        work: &Work<'_>,
        memory: &mut Memory,
        output: &mut Output<'_>,
    ) -> Result<(), SourceError> {
        let (mut start, mut record) = (0, chunk.record);
        let mut builders: Vec<Builder> = self.columns.iter().map(|(kind, _)| Builder::new(*kind)).collect();
        let mut records: Vec<i64> = Vec::with_capacity(BATCH_ROWS);
        let mut rejected = Vec::new();
        while start < chunk.bytes.len() {
            let rest = &chunk.bytes[start..];
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = &rest[..end];
            let parsed = parse_access_line(line).map_err(thalweg_enrich::access_log::AccessLineError::text);
            match parsed {
                Ok(line) if line.bytes.is_none_or(|bytes| i64::try_from(bytes).is_ok()) => {
                    builders.iter_mut().for_each(|builder| builder.append(&line, memory));
                    records.push(record);
                }
                Err(_) if line.trim_ascii().is_empty() => {}
                refused => rejected.push(RejectedRecord {
                    file: work.file,
                    record,
                    byte_offset: Some(chunk.offset + start as i64),
                    reason: refused.err().unwrap_or("the size is beyond 64 bits").to_owned(),
                    raw: raw_text(line.strip_suffix(b"\r").unwrap_or(line)),
                }),
            }
            start += end + 1;
            record += 1;
            if records.len() == BATCH_ROWS {
                output(batch(&mut builders, &mut records, work)?)?;
            }
            if rejected.len() == BATCH_ROWS {
                work.reject(std::mem::take(&mut rejected))?;
            }
        }
        if !records.is_empty() {
            output(batch(&mut builders, &mut records, work)?)?;
        }
        work.reject(rejected)
    }
}

fn batch(builders: &mut [Builder], records: &mut Vec<i64>, work: &Work<'_>) -> Result<RecordBatch, SourceError> {
    let rows = records.len();
    let mut arrays: Vec<ArrayRef> = builders.iter_mut().map(Builder::finish).collect();
    arrays.push(Arc::new(Int32Array::from_value(work.file, rows)));
    arrays.push(Arc::new(arrow::array::Int64Array::from(std::mem::replace(records, Vec::with_capacity(BATCH_ROWS)))));
    work.counts.read.fetch_add(rows as u64, std::sync::atomic::Ordering::Relaxed);
    RecordBatch::try_new(Arc::clone(&work.plan.schema), arrays)
        .map_err(|error| data_error(format!("a batch cannot be made: {error}")))
}

impl ChunkedFormat for AccessLogFormat {
    fn boundaries(&self) -> Box<dyn Boundaries> {
        Box::new(Lines)
    }

    fn infer(&self, _chunk: &Chunk, _shapes: &mut Shapes) {}

    fn convert(&self, chunk: &Chunk, work: &Work<'_>, output: &mut Output<'_>) -> Result<bool, FileTrouble> {
        let idle = self.idle().pop();
        let mut memory = idle.unwrap_or_else(|| Memory { devices: Devices::new(), countries: self.countries.clone() });
        let read = self.read(chunk, work, &mut memory, output);
        self.idle().push(memory);
        read?;
        Ok(true)
    }

    fn fixed_plan(&self, _known: &KnownColumns<'_>) -> Option<Plan> {
        let columns: Vec<Column> = self.columns.iter().map(|(_, column)| column.clone()).collect();
        let schema = arrow_schema(&columns);
        let planned = |column| PlannedColumn {
            column,
            cells: Cells::Missing,
            strictness: Strictness::Given,
            on_misfit: OnMisfit::Reject,
            reject_values: false,
        };
        Some(Plan { columns: columns.into_iter().map(planned).collect(), schema, notes: Vec::new() })
    }
}

/// Builds the array of one column.
enum Builder {
    Text(LogColumn, StringBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Status(Int32Builder),
    Bytes(Int64Builder),
}

impl Builder {
    fn new(column: LogColumn) -> Self {
        match column {
            LogColumn::RequestedAt => Self::Timestamp(TimestampMicrosecondBuilder::with_capacity(BATCH_ROWS)),
            LogColumn::Status => Self::Status(Int32Builder::with_capacity(BATCH_ROWS)),
            LogColumn::Bytes => Self::Bytes(Int64Builder::with_capacity(BATCH_ROWS)),
            _ => Self::Text(column, StringBuilder::with_capacity(BATCH_ROWS, BATCH_ROWS * 16)),
        }
    }

    fn append(&mut self, line: &thalweg_enrich::AccessLine<'_>, memory: &mut Memory) {
        let (column, builder) = match self {
            Self::Timestamp(builder) => return builder.append_value(line.timestamp_us),
            Self::Status(builder) => return builder.append_value(i32::from(line.status)),
            // A size beyond 64 bits was refused before.
            Self::Bytes(builder) => {
                return builder.append_option(line.bytes.and_then(|bytes| i64::try_from(bytes).ok()));
            }
            Self::Text(column, builder) => (column, builder),
        };
        match column {
            LogColumn::Ip => builder.append_value(line.ip),
            LogColumn::UserName => builder.append_option(line.user),
            LogColumn::Method => builder.append_option(line.method),
            LogColumn::Path => builder.append_option(line.path),
            LogColumn::Protocol => builder.append_option(line.protocol),
            LogColumn::Referrer => builder.append_option(line.referrer),
            LogColumn::UserAgent => builder.append_option(line.user_agent),
            // A line of the common format says nothing of its device; a `-` in the combined format does not either.
            LogColumn::Device => {
                builder.append_option(line.user_agent.map(|agent| memory.devices.agent(agent).device.as_str()))
            }
            LogColumn::Browser => match line.user_agent {
                Some(agent) => builder.append_option(memory.devices.agent(agent).browser.as_deref()),
                None => builder.append_null(),
            },
            LogColumn::Country => {
                let country = memory.countries.as_mut().and_then(|countries| countries.country(line.ip));
                builder.append_option(country.as_ref().map(thalweg_enrich::Country::as_str));
            }
            LogColumn::RequestedAt | LogColumn::Status | LogColumn::Bytes => {}
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(_, builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder) => Arc::new(builder.finish()),
            Self::Status(builder) => Arc::new(builder.finish()),
            Self::Bytes(builder) => Arc::new(builder.finish()),
        }
    }
}
