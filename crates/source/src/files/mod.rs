//! Files in a folder as a source.
//!
//! A delivery is one file with one content. The ledger (the stream's position) knows every content that was loaded by its hash, so
//! that the same content is never loaded twice under whatever name, and the same name with new content is a new delivery. Deliveries
//! are loaded oldest first (time of last change, then name), so that later files win in a merge.
//!
//! With `write_disposition: replace` the whole truth is, as soon as one file is new or changed: with `after: keep` all files that are
//! present, whether their content was loaded before or not; with `after: archive` and `after: delete`, which leave nothing behind, the
//! deliveries that are new in the run, and an older content that is delivered again is news. Nothing is read when nothing is new.
//! Nothing is replaced when what is read holds not even a header, and nothing is loaded while a delivery is not ready or cannot be
//! read.
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
