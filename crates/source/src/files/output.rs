//! Where the batches of files go: small files share parts, a large file has its own.

use arrow::record_batch::RecordBatch;

use crate::{Column, Part, Sink, SourceError};

/// Shared parts that may be open at the same time, for streams whose files differ in their columns.
const OPEN_PARTS: usize = 4;

/// The parts shared by small files.
pub(super) struct SharedParts<'s> {
    sink: &'s dyn Sink,
    open: Vec<(Vec<Column>, Box<dyn Part + 's>)>,
}

impl<'s> SharedParts<'s> {
    pub(super) fn new(sink: &'s dyn Sink) -> Self {
        Self { sink, open: Vec::new() }
    }

    /// Writes the batches of a file that was read as a whole. A file without rows opens a part too: it has columns.
    pub(super) fn write(&mut self, columns: &[Column], batches: &[RecordBatch]) -> Result<(), SourceError> {
        let place = match self.open.iter().position(|(open, _)| open == columns) {
            Some(place) => place,
            None => {
                if self.open.len() >= OPEN_PARTS {
                    self.open.remove(0).1.finish()?;
                }
                self.open.push((columns.to_vec(), self.sink.part(columns)?));
                self.open.len() - 1
            }
        };
        batches.iter().try_for_each(|batch| self.open[place].1.write(batch))
    }

    /// Closes them all.
    pub(super) fn finish(self) -> Result<(), SourceError> {
        self.open.into_iter().try_for_each(|(_, part)| part.finish())
    }
}
