//! Templates: minijinja with dbt's functions, for models, tests and reports.

mod engine;
mod functions;
mod locate;
mod macros;
mod relation;

pub use engine::{TemplateContext, Templates};
pub use locate::locate;
pub use relation::parse_reference;
