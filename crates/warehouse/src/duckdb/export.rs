//! Writing a query's answer to a Parquet file.

use std::path::Path;

use thalweg_duck::Connection;
use thalweg_sql::dialect::Dialect;
use thalweg_sql::dialect::duckdb::DuckDb;

use super::error::of_statement;
use super::stage::{path_text, quote};
use crate::contract::WarehouseError;

pub(super) fn export_parquet(
    connection: &mut Connection,
    sql: &str,
    file: &Path,
    metadata: &[(String, String)],
) -> Result<u64, WarehouseError> {
    let mut options = "format parquet, compression zstd".to_owned();
    if !metadata.is_empty() {
        let mut pairs = Vec::new();
        for (key, value) in metadata {
            pairs.push(format!("{}: {}", quote(key)?, DuckDb.literal_text(value)));
        }
        options.push_str(&format!(", kv_metadata {{{}}}", pairs.join(", ")));
    }
    // On lines of its own: the query may end in a comment.
    let statement = format!(
        "copy (\n{}\n) to {} ({options})",
        sql.trim_end().trim_end_matches(';'),
        DuckDb.literal_text(&path_text(file)?)
    );
    connection.execute(&statement, &[]).map_err(|error| {
        let mut error = of_statement(error, Some(sql));
        error.position = error.position.map(|position| position.saturating_sub("copy (\n".len()));
        error.message = format!("cannot write `{}`: {}", file.display(), error.message);
        error
    })
}
