//! One file a verb: its arguments, and what it does with them.

pub mod build;
pub mod compile;
pub mod completions;
pub mod conns;
pub mod demo;
pub mod explain;
pub mod grants;
pub mod init;
pub mod load;
pub mod ls;
pub mod plan;
pub mod rejects;
pub mod run;
pub mod runs;
pub mod show;
pub mod status;
pub mod test;
pub mod validate;
pub mod verify;
pub mod why;
