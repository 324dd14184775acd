//! Chunks of CSV become rows.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::layout::{CsvLayout, unquote};
use super::tokenizer::{CsvBoundaries, Dialect, Field, Token, Tokenizer};
use crate::files::chunk::{Boundaries, Chunk};
use crate::files::chunked::{ChunkedFormat, Output, Shapes, Work};
use crate::files::content::FileTrouble;
use crate::files::rejects::raw_text;
use crate::files::rows::{BATCH_ROWS, Converted, Rows, convert, infer};
use crate::values::{Cell, Shape};
use crate::{RejectedRecord, SourceError};

/// Reads the chunks of one CSV file.
#[derive(Debug)]
pub(in crate::files) struct CsvFormat {
    layout: CsvLayout,
    /// Texts that mean NULL when they stand without quotes.
    null_values: Vec<String>,
    /// The usual case: only the empty text.
    only_empty_is_null: bool,
}

impl CsvFormat {
    pub(in crate::files) fn new(layout: CsvLayout, null_values: Option<&Vec<String>>) -> Self {
        let null_values = null_values.cloned().unwrap_or_else(|| vec![String::new()]);
        let only_empty_is_null = null_values.len() == 1 && null_values[0].is_empty();
        Self { layout, null_values, only_empty_is_null }
    }

    /// Hands the records of a chunk to `each`, some thousand at a time, with the rejects among them. `each` answers `false` to stop.
    pub(in crate::files) fn read<E>(
        &self,
        chunk: &Chunk,
        file: i32,
        mut each: impl FnMut(&CsvRows<'_>, Vec<RejectedRecord>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let bytes = chunk.bytes.as_slice();
        let dialect = self.layout.dialect();
        // Almost always the whole chunk is UTF-8; only where it is not, each record is looked at.
        let text = std::str::from_utf8(bytes).ok();
        let mut tokenizer = Tokenizer::new(bytes, dialect);
        let mut rows = CsvRows {
            format: self,
            chunk,
            text,
            width: self.layout.columns.len(),
            fields: Vec::new(),
            records: Vec::new(),
            unquoted: BTreeMap::new(),
        };
        loop {
            rows.fields.clear();
            rows.records.clear();
            rows.unquoted.clear();
            let mut rejected = Vec::new();
            while rows.records.len() < BATCH_ROWS && rejected.len() < BATCH_ROWS {
                let before = rows.fields.len();
                let Some(token) = tokenizer.next(&mut rows.fields) else { break };
                match rows.objection(token, before) {
                    None => rows.accept(token, before, dialect),
                    Some(reason) => {
                        rows.fields.truncate(before);
                        rejected.push(RejectedRecord {
                            file,
                            record: chunk.record + token.line,
                            byte_offset: Some(chunk.offset + token.start as i64),
                            reason,
                            raw: raw_text(&bytes[token.start..token.end]),
                        });
                    }
                }
            }
            if rows.records.is_empty() && rejected.is_empty() {
                return Ok(());
            }
            if !each(&rows, rejected)? {
                return Ok(());
            }
        }
    }
}

impl ChunkedFormat for CsvFormat {
    fn boundaries(&self) -> Box<dyn Boundaries> {
        Box::new(CsvBoundaries::new(self.layout.dialect()))
    }

    fn infer(&self, chunk: &Chunk, shapes: &mut Shapes) {
        let mut local = vec![Shape::default(); self.layout.columns.len()];
        let _: Result<(), Infallible> = self.read(chunk, 0, |rows, _| {
            infer(rows, &mut local);
            Ok(true)
        });
        for (place, (column, shape)) in self.layout.columns.iter().zip(&local).enumerate() {
            shapes.column(column, (0, place)).join(shape);
        }
    }

    fn convert(&self, chunk: &Chunk, work: &Work<'_>, output: &mut Output<'_>) -> Result<bool, FileTrouble> {
        let mut fits = true;
        self.read(chunk, work.file, |rows, rejected| {
            work.reject(rejected)?;
            match convert(work.plan, rows, work.file, work.rejects, work.counts)? {
                Converted::Batch(batch) => output(batch)?,
                Converted::Misfit => fits = false,
            }
            Ok::<bool, SourceError>(fits)
        })?;
        Ok(fits)
    }
}

/// Some records of a chunk.
pub(in crate::files) struct CsvRows<'c> {
    format: &'c CsvFormat,
    chunk: &'c Chunk,
    text: Option<&'c str>,
    width: usize,
    /// `width` fields a record.
    fields: Vec<Field>,
    records: Vec<Token>,
    /// Texts with doubled quotes, by index into `fields`.
    unquoted: BTreeMap<usize, String>,
}

impl CsvRows<'_> {
    /// Why a record cannot be taken.
    fn objection(&self, token: Token, before: usize) -> Option<String> {
        if let Some(why) = token.malformed {
            return Some(why.to_owned());
        }
        let found = self.fields.len() - before;
        if found != self.width {
            let (few, noun) =
                (if found < self.width { "too few" } else { "too many" }, if found == 1 { "field" } else { "fields" });
            return Some(format!("{few} fields: {found} {noun}, the header has {}", self.width));
        }
        if self.text.is_none() && std::str::from_utf8(&self.chunk.bytes[token.start..token.end]).is_err() {
            return Some("not UTF-8".to_owned());
        }
        None
    }

    fn accept(&mut self, token: Token, before: usize, dialect: Dialect) {
        self.records.push(token);
        for index in before..self.fields.len() {
            let field = self.fields[index];
            if field.has_doubled_quotes() {
                let text = String::from_utf8_lossy(&self.chunk.bytes[field.range()]);
                self.unquoted.insert(index, unquote(&text, field, dialect.quote));
            }
        }
    }
}

impl Rows for CsvRows<'_> {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn cell(&self, row: usize, column: usize) -> Cell<'_> {
        let index = row * self.width + column;
        let field = self.fields[index];
        let text = if field.has_doubled_quotes() {
            self.unquoted.get(&index).map_or("", String::as_str)
        } else {
            match self.text {
                Some(text) => text.get(field.range()).unwrap_or_default(),
                // The record was found to be UTF-8 when it was accepted.
                None => std::str::from_utf8(&self.chunk.bytes[field.range()]).unwrap_or_default(),
            }
        };
        let is_null = !field.is_quoted()
            && if self.format.only_empty_is_null {
                text.is_empty()
            } else {
                self.format.null_values.iter().any(|null| null == text)
            };
        if is_null { Cell::Null } else { Cell::Plain(text) }
    }

    fn record(&self, row: usize) -> i64 {
        self.chunk.record + self.records[row].line
    }

    fn byte_offset(&self, row: usize) -> Option<i64> {
        Some(self.chunk.offset + self.records[row].start as i64)
    }

    fn raw(&self, row: usize) -> String {
        raw_text(&self.chunk.bytes[self.records[row].start..self.records[row].end])
    }
}
