//! Files in a folder as a source.
//!
//! A delivery is one file with one content. The ledger (the stream's position) knows every content that was loaded by its hash, so
//! that the same content is never loaded twice under whatever name, and the same name with new content is a new delivery. Deliveries
//! are loaded oldest first (time of last change, then name), so that later files win in a merge.
//!
//! With `write_disposition: replace` the deliveries that are new in a run are together the whole truth. Nothing is replaced when
//! there is none, or when they hold not even a header, and nothing is loaded while one of them is not ready or cannot be read. An
//! older content that is delivered again is news there.
//!
//! Nothing of a file is handed to the landing before the whole of it was read and found unchanged.

mod access_log;
mod chunk;
mod chunked;
mod columns;
mod confirm;
mod content;
mod csv;
mod discover;
mod extract;
mod json;
mod output;
mod parquet;
mod position;
#[cfg(test)]
mod properties;
mod read;
mod ready;
mod rejects;
mod replay;
mod rows;
mod source;
mod tail;

pub use source::FilesSource;
