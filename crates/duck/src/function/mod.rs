//! Functions of `thalweg_enrich` under the names that SQL knows.

mod calendar;
mod interval;
mod moment;
mod time_zone;
mod user_agent;

use crate::error::EngineError;

/// Registers them all; once for each database.
pub(crate) fn register(root: &duckdb::Connection) -> Result<(), EngineError> {
    // `x AT TIME ZONE 'z'` is this function. DuckDB has it in an extension that is not part of this program.
    root.register_scalar_function::<time_zone::ToUtc>("timezone")?;
    root.register_scalar_function::<time_zone::FromUtc>("timezone")?;
    root.register_scalar_function::<user_agent::Device>("device")?;
    root.register_scalar_function::<user_agent::Browser>("browser")?;
    moment::register(root)
}
