//! YAML files as trees whose every node knows where it stands in the file.

mod node;
mod parse;

pub use node::{Content, Entry, Node, Scalar};
pub use parse::parse;
