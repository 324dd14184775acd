//! What people and programs read.

pub mod human;
pub mod json;
