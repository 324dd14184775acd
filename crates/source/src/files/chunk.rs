//! A file in chunks of whole records, so that memory is bounded and chunks can be worked on side by side.

use std::io::Read;

use super::content::{Content, FileTrouble};

/// A chunk is at least this long, except the last.
pub(super) const CHUNK_BYTES: usize = 4 << 20;
/// A record may be this long; a longer one is rejected.
pub(super) const MAX_RECORD_BYTES: usize = 64 << 20;
/// What is kept of a record that is too long.
const OVERSIZE_KEPT: usize = 64 << 10;

/// Where records end.
pub(super) trait Boundaries: Send {
    /// How many bytes at the start of the buffer are whole records; 0 when not even one is. The buffer starts at a record.
    fn whole_records(&mut self, buffer: &[u8]) -> usize;

    /// Where a record that is too long ends in what follows its first [`MAX_RECORD_BYTES`]: the first byte behind it.
    fn skip_oversize(&mut self, buffer: &[u8]) -> Option<usize>;

    /// Whether the format has an end of its own: then the last chunk is handed on even when it is empty.
    fn has_end(&self) -> bool {
        false
    }

    /// Told the bytes of a chunk that is handed on; answers by how much the record number goes up over it.
    fn records_in(&mut self, chunk: &[u8]) -> i64;
}

/// Some whole records of a file.
#[derive(Debug)]
pub(super) struct Chunk {
    /// The bytes.
    pub(super) bytes: Vec<u8>,
    /// Place of the first byte in the uncompressed file.
    pub(super) offset: i64,
    /// Record number of the first record.
    pub(super) record: i64,
    /// This is the start of one record that is too long; the rest of it was skipped.
    pub(super) oversize: bool,
    /// Nothing comes behind it.
    pub(super) last: bool,
}

/// Reads chunks.
pub(super) struct ChunkReader<'c> {
    content: &'c Content,
    input: Box<dyn Read + Send>,
    boundaries: Box<dyn Boundaries>,
    chunk_bytes: usize,
    max_record_bytes: usize,
    /// Read, not handed on.
    carry: Vec<u8>,
    offset: i64,
    record: i64,
    ended: bool,
    handed_last: bool,
    only_complete: bool,
}

impl<'c> ChunkReader<'c> {
    /// Reads chunks of at least `chunk_bytes`, counting records from 1.
    pub(super) fn new(
        content: &'c Content,
        input: Box<dyn Read + Send>,
        boundaries: Box<dyn Boundaries>,
        chunk_bytes: usize,
    ) -> Self {
        Self {
            content,
            input,
            boundaries,
            chunk_bytes,
            max_record_bytes: MAX_RECORD_BYTES,
            carry: Vec::new(),
            offset: 0,
            record: 1,
            ended: false,
            handed_last: false,
            only_complete: false,
        }
    }

    /// Starts behind what was read elsewhere: a byte order mark, or the part of a log that is known.
    pub(super) fn starting_at(mut self, offset: i64, record: i64) -> Self {
        (self.offset, self.record) = (offset, record);
        self
    }

    /// Leaves a last record alone that is not ended: it is still being written.
    pub(super) fn only_complete(mut self, only_complete: bool) -> Self {
        self.only_complete = only_complete;
        self
    }

    /// Puts bytes back that were read from the input already.
    pub(super) fn with_head(mut self, head: Vec<u8>) -> Self {
        self.carry = head;
        self
    }

    /// Whether everything was handed on.
    pub(super) fn is_at_end(&self) -> bool {
        self.ended && self.carry.is_empty()
    }

    /// Where the next chunk starts.
    pub(super) fn place(&self) -> (i64, i64) {
        (self.offset, self.record)
    }

    /// The next chunk; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Chunk>, FileTrouble> {
        let mut buffer = std::mem::take(&mut self.carry);
        let mut wanted = self.chunk_bytes;
        loop {
            self.fill(&mut buffer, wanted)?;
            if self.ended {
                if self.only_complete {
                    buffer.truncate(self.boundaries.whole_records(&buffer));
                }
                if buffer.is_empty() && (self.handed_last || !self.boundaries.has_end()) {
                    return Ok(None);
                }
                self.handed_last = true;
                return Ok(Some(self.hand_on(buffer)));
            }
            let whole = self.boundaries.whole_records(&buffer);
            if whole > 0 {
                self.carry.extend_from_slice(&buffer[whole..]);
                buffer.truncate(whole);
                return Ok(Some(self.hand_on(buffer)));
            }
            if buffer.len() >= self.max_record_bytes {
                return self.oversize(buffer).map(Some);
            }
            wanted = (buffer.len() * 2).min(self.max_record_bytes);
        }
    }

    fn hand_on(&mut self, bytes: Vec<u8>) -> Chunk {
        let chunk = Chunk { offset: self.offset, record: self.record, oversize: false, last: self.handed_last, bytes };
        self.offset += i64::try_from(chunk.bytes.len()).unwrap_or(i64::MAX);
        self.record += self.boundaries.records_in(&chunk.bytes);
        chunk
    }

    /// A record longer than allowed: its start is handed on, the rest is skipped.
    fn oversize(&mut self, mut buffer: Vec<u8>) -> Result<Chunk, FileTrouble> {
        let place = (self.offset, self.record);
        let mut head = buffer.clone();
        head.truncate(OVERSIZE_KEPT);
        head.shrink_to_fit();
        loop {
            if let Some(end) = self.boundaries.skip_oversize(&buffer) {
                self.offset += i64::try_from(end).unwrap_or(i64::MAX);
                self.record += self.boundaries.records_in(&buffer[..end]);
                self.carry = buffer.split_off(end);
                break;
            }
            self.offset += i64::try_from(buffer.len()).unwrap_or(i64::MAX);
            self.record += self.boundaries.records_in(&buffer);
            buffer.clear();
            if self.ended {
                break;
            }
            self.fill(&mut buffer, self.chunk_bytes)?;
        }
        Ok(Chunk { bytes: head, offset: place.0, record: place.1, oversize: true, last: false })
    }

    /// Reads until the buffer holds as much as wanted, or the input ends.
    fn fill(&mut self, buffer: &mut Vec<u8>, wanted: usize) -> Result<(), FileTrouble> {
        while !self.ended && buffer.len() < wanted {
            let missing = wanted - buffer.len();
            let read = (&mut self.input)
                .take(missing as u64)
                .read_to_end(buffer)
                .map_err(|error| self.content.failed(&error))?;
            self.ended = read < missing;
        }
        Ok(())
    }

    /// With another limit, for tests.
    #[cfg(test)]
    pub(super) fn with_max_record(mut self, bytes: usize) -> Self {
        self.max_record_bytes = bytes;
        self
    }
}

/// Records are lines.
#[derive(Debug, Default)]
pub(super) struct Lines;

impl Boundaries for Lines {
    fn whole_records(&mut self, buffer: &[u8]) -> usize {
        memchr::memrchr(b'\n', buffer).map_or(0, |end| end + 1)
    }

    fn skip_oversize(&mut self, buffer: &[u8]) -> Option<usize> {
        memchr::memchr(b'\n', buffer).map(|end| end + 1)
    }

    fn records_in(&mut self, chunk: &[u8]) -> i64 {
        i64::try_from(memchr::memchr_iter(b'\n', chunk).count()).unwrap_or(i64::MAX)
    }
}
