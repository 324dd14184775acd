//! Answers for people: values that come out of an engine as bytes, or not at all, are asked for as texts.

use thalweg_sql::Dialect;
use thalweg_warehouse::{Connection, WarehouseError};

/// A query for the same rows in the same order, under the same names, with texts in the places of values that cannot be read otherwise.
pub fn legible(connection: &mut dyn Connection, dialect: &dyn Dialect, sql: String) -> Result<String, WarehouseError> {
    if !dialect.has_illegible_types() {
        return Ok(sql);
    }
    let columns = connection.describe(&sql)?;
    let is_text = |engine_type: &str| dialect.is_illegible(engine_type);
    if !columns.iter().any(|column| is_text(&column.engine_type)) {
        return Ok(sql);
    }
    let (mut selected, mut names) = (Vec::with_capacity(columns.len()), Vec::with_capacity(columns.len()));
    for (place, column) in columns.iter().enumerate() {
        let own = format!("c{place}");
        let Ok(name) = dialect.quote_identifier(&column.name) else { return Ok(sql) };
        selected.push(if is_text(&column.engine_type) {
            format!("cast({own} as varchar) as {name}")
        } else {
            format!("{own} as {name}")
        });
        names.push(own);
    }
    Ok(format!("select {} from ({sql}\n) legible({})", selected.join(", "), names.join(", ")))
}
