//! Postgres on the wire: connections, encryption as libpq means it, statements, and values in binary form to Arrow and back. The only
//! crate that names `tokio-postgres`; sources and the warehouse both stand on it.
//!
//! Everything here blocks: a [`Session`] drives the asynchronous client on a thread of its caller. Nothing here knows of streams or of the
//! warehouse's contract.

#![forbid(unsafe_code)]

mod address;
mod decode;
mod encode;
mod encryption;
mod error;
pub mod moment;
pub mod number;
mod rows;
mod session;
mod statement;
pub mod tls;
mod value_type;

pub use decode::{Decoder, Unfit, decode};
pub use encode::{Encoder, RowEncoder, Unstorable};
pub use encryption::Encryption;
pub use error::{ErrorKind, PostgresError};
pub use rows::{Field, Malformed, RowCutter};
pub use session::{Canceller, CopyIn, Session};
pub use statement::{Answer, AnsweredColumn, Chunk, Parameter, Prepared};
pub use value_type::ValueType;
