//! Chunks of JSON become rows.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::elements::{ArrayBoundaries, ElementEnd, element_end};
use crate::RejectedRecord;
use crate::files::chunk::{Boundaries, Chunk, Lines};
use crate::files::chunked::{ChunkedFormat, Output, Shapes, Work};
use crate::files::content::FileTrouble;
use crate::files::rejects::raw_text;
use crate::files::rows::{BATCH_ROWS, Converted, Rows, convert};
use crate::values::Cell;

/// How objects follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::files) enum Writing {
    /// One object a line.
    Lines,
    /// One array.
    Array,
}

/// Reads the chunks of one JSON file.
#[derive(Debug)]
pub(in crate::files) struct JsonFormat {
    pub(in crate::files) writing: Writing,
    /// For messages.
    pub(in crate::files) file: String,
}

/// One record as it stands in a chunk.
struct Raw<'c> {
    bytes: &'c [u8],
    start: usize,
    record: i64,
}

impl JsonFormat {
    /// The records of a chunk one after another; an error where an array is broken.
    fn split<'c>(
        &self,
        chunk: &'c Chunk,
        each: &mut dyn FnMut(Raw<'c>) -> Result<bool, FileTrouble>,
    ) -> Result<(), FileTrouble> {
        let bytes = chunk.bytes.as_slice();
        let (mut at, mut record) = (0, chunk.record);
        if self.writing == Writing::Lines {
            while at < bytes.len() {
                let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |length| at + length);
                let line = bytes[at..end].trim_ascii();
                if !line.is_empty() && !each(Raw { bytes: line, start: at, record })? {
                    return Ok(());
                }
                (at, record) = (end + 1, record + 1);
            }
            return Ok(());
        }
        loop {
            let (end, closing) = match element_end(bytes, at) {
                ElementEnd::Comma(end) => (end, false),
                ElementEnd::Closing(end) => (end, true),
                ElementEnd::Open if !chunk.last && bytes[at..].trim_ascii().is_empty() => return Ok(()),
                ElementEnd::Open => {
                    return Err(self.broken(chunk, at, record, "the array is not closed: the file may be cut short"));
                }
            };
            let element = bytes[at..end].trim_ascii();
            match (element.is_empty(), closing) {
                (true, true) if record == 1 => {}
                (true, _) => return Err(self.broken(chunk, at, record, "a value is missing")),
                (false, _) => {
                    if !each(Raw { bytes: element, start: at, record })? {
                        return Ok(());
                    }
                }
            }
            (at, record) = (end + 1, record + 1);
            if closing {
                let rest_is_blank = chunk.last && bytes[at..].trim_ascii().is_empty();
                let behind = || self.broken(chunk, at, record, "something stands behind the end of the array");
                return if rest_is_blank { Ok(()) } else { Err(behind()) };
            }
        }
    }

    fn broken(&self, chunk: &Chunk, at: usize, record: i64, why: &str) -> FileTrouble {
        let place = chunk.offset + at as i64;
        FileTrouble::Failed(format!(
            "{}: no valid JSON array at element {record}, byte {place}: {why}; nothing of the file was loaded: deliver it again",
            self.file
        ))
    }

    /// Reads records some thousand at a time.
    fn read(
        &self,
        chunk: &Chunk,
        file: i32,
        columns: &[String],
        mut each: impl FnMut(JsonRows<'_>, Vec<RejectedRecord>) -> Result<bool, FileTrouble>,
    ) -> Result<(), FileTrouble> {
        let mut rows = JsonRows::new(chunk, columns);
        let mut rejected = Vec::new();
        let mut goes_on = true;
        let split = self.split(chunk, &mut |raw| {
            if let Err(why) = rows.push(&raw) {
                if let (Writing::Array, Refused::Broken(why)) = (self.writing, &why) {
                    return Err(self.broken(chunk, raw.start, raw.record, why));
                }
                let (Refused::Broken(reason) | Refused::Record(reason)) = why;
                rejected.push(RejectedRecord {
                    file,
                    record: raw.record,
                    byte_offset: Some(chunk.offset + raw.start as i64),
                    reason,
                    raw: raw_text(raw.bytes),
                });
            }
            if rows.records.len() >= BATCH_ROWS || rejected.len() >= BATCH_ROWS {
                let full = std::mem::replace(&mut rows, JsonRows::new(chunk, columns));
                goes_on = each(full, std::mem::take(&mut rejected))?;
            }
            Ok(goes_on)
        });
        // What was read before a broken place counts where only the head is looked at, which may end anywhere.
        if goes_on && (!rows.records.is_empty() || !rejected.is_empty()) {
            each(rows, rejected)?;
        }
        split
    }
}

impl ChunkedFormat for JsonFormat {
    fn boundaries(&self) -> Box<dyn Boundaries> {
        match self.writing {
            Writing::Lines => Box::new(Lines),
            Writing::Array => Box::new(ArrayBoundaries),
        }
    }

    fn infer(&self, chunk: &Chunk, shapes: &mut Shapes) {
        // A broken array is told when it is converted.
        let _ = self.read(chunk, 0, &[], |rows, _| {
            for (place, (name, values)) in rows.names.iter().zip(&rows.values).enumerate() {
                let first = rows.records.first().map_or(chunk.record, |raw| raw.record);
                let shape = shapes.column(name, (first + values.leading as i64, place));
                values.present.iter().for_each(|value| shape.add(value.cell()));
            }
            Ok(true)
        });
    }

    fn convert(&self, chunk: &Chunk, work: &Work<'_>, output: &mut Output<'_>) -> Result<bool, FileTrouble> {
        let mut fits = true;
        self.read(chunk, work.file, work.columns, |rows, rejected| {
            work.reject(rejected)?;
            // A key that was not in the head of the file.
            if rows.names.len() > work.columns.len() {
                fits = false;
                return Ok(false);
            }
            if rows.records.is_empty() {
                return Ok(true);
            }
            match convert(work.plan, &rows, work.file, work.rejects, work.counts)? {
                Converted::Batch(batch) => output(batch)?,
                Converted::Misfit => fits = false,
            }
            Ok(fits)
        })?;
        Ok(fits)
    }

    fn cannot_skip(&self) -> bool {
        self.writing == Writing::Array
    }
}

/// Why a record is not taken.
enum Refused {
    /// It is no JSON.
    Broken(String),
    /// It is JSON, and no record.
    Record(String),
}

/// A value of an object.
#[derive(Debug, Clone)]
enum Value<'c> {
    Null,
    String(Cow<'c, str>),
    Number(&'c str),
    Boolean(bool),
    Nested(&'c str),
}

impl Value<'_> {
    fn cell(&self) -> Cell<'_> {
        match self {
            Self::Null => Cell::Null,
            Self::String(text) => Cell::String(text),
            Self::Number(text) => Cell::Number(text),
            Self::Boolean(value) => Cell::Boolean(*value),
            Self::Nested(text) => Cell::Nested(text),
        }
    }
}

/// The values of one key: absent from the first records, then one for each record up to the last that has it.
#[derive(Default)]
struct Values<'c> {
    leading: usize,
    present: Vec<Value<'c>>,
}

/// Some records of a chunk.
struct JsonRows<'c> {
    chunk: &'c Chunk,
    names: Vec<String>,
    index: HashMap<String, usize>,
    values: Vec<Values<'c>>,
    records: Vec<Raw<'c>>,
}

impl<'c> JsonRows<'c> {
    fn new(chunk: &'c Chunk, columns: &[String]) -> Self {
        Self {
            chunk,
            names: columns.to_vec(),
            index: columns.iter().enumerate().map(|(index, name)| (name.clone(), index)).collect(),
            values: columns.iter().map(|_| Values::default()).collect(),
            records: Vec::new(),
        }
    }

    fn push(&mut self, raw: &Raw<'c>) -> Result<(), Refused> {
        let text = std::str::from_utf8(raw.bytes).map_err(|_| Refused::Broken("not UTF-8".to_owned()))?;
        let Object(fields) = serde_json::from_str(text).map_err(|error| {
            if error.is_data() {
                Refused::Record("it is no JSON object".to_owned())
            } else {
                // The place is that within the record, which is told beside it.
                let shown = error.to_string();
                let what = shown.split(" at line ").next().unwrap_or_default();
                Refused::Broken(format!("no valid JSON: {what} (character {})", error.column()))
            }
        })?;
        let mut values = Vec::with_capacity(fields.len());
        for (place, (name, value)) in fields.iter().enumerate() {
            if fields[..place].iter().any(|(other, _)| other == name) {
                return Err(Refused::Record(format!("key \"{name}\" stands twice")));
            }
            values.push(read_value(value).map_err(|why| Refused::Broken(format!("key \"{name}\": {why}")))?);
        }
        let row = self.records.len();
        for ((name, _), value) in fields.into_iter().zip(values) {
            let index = match self.index.get(name.as_ref()) {
                Some(index) => *index,
                None => {
                    self.names.push(name.clone().into_owned());
                    self.index.insert(name.into_owned(), self.names.len() - 1);
                    self.values.push(Values::default());
                    self.names.len() - 1
                }
            };
            let column = &mut self.values[index];
            if column.present.is_empty() {
                column.leading = row;
            }
            column.present.resize(row - column.leading, Value::Null);
            column.present.push(value);
        }
        self.records.push(Raw { bytes: raw.bytes, start: raw.start, record: raw.record });
        Ok(())
    }
}

impl Rows for JsonRows<'_> {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn cell(&self, row: usize, column: usize) -> Cell<'_> {
        let values = &self.values[column];
        let place = row.checked_sub(values.leading);
        place.and_then(|place| values.present.get(place)).map_or(Cell::Null, Value::cell)
    }

    fn record(&self, row: usize) -> i64 {
        self.records[row].record
    }

    fn byte_offset(&self, row: usize) -> Option<i64> {
        Some(self.chunk.offset + self.records[row].start as i64)
    }

    fn raw(&self, row: usize) -> String {
        raw_text(self.records[row].bytes)
    }
}

fn read_value(raw: &RawValue) -> Result<Value<'_>, String> {
    let text = raw.get();
    Ok(match text.as_bytes().first() {
        Some(b'n') => Value::Null,
        Some(b't') => Value::Boolean(true),
        Some(b'f') => Value::Boolean(false),
        Some(b'{' | b'[') => Value::Nested(text),
        Some(b'"') if memchr::memchr(b'\\', text.as_bytes()).is_none() => {
            Value::String(Cow::Borrowed(text.get(1..text.len() - 1).unwrap_or_default()))
        }
        Some(b'"') => Value::String(Cow::Owned(serde_json::from_str(text).map_err(|error| error.to_string())?)),
        _ => Value::Number(text),
    })
}

/// An object with its values as written and its keys in order, double ones included.
struct Object<'c>(Vec<(Cow<'c, str>, &'c RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    fields.push((key.0, map.next_value()?));
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// A key, borrowed where it has no escapes.
struct Key<'c>(Cow<'c, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}
