//! Tables as statements see them: a quoted name and columns with the engine's types.

use crate::dialect::{Dialect, InvalidName};

/// Bookkeeping column of every physical table: the run that last changed the row, `BIGINT`.
pub const RUN_COLUMN: &str = "_run";
/// Bookkeeping column of store tables: the extract (`thalweg.extracts.id`) the row came with, `BIGINT`.
pub const ORIGIN_COLUMN: &str = "_origin";
/// Bookkeeping column of store tables: place of the record in its extract (line, or ordinal), `BIGINT`.
pub const RECORD_COLUMN: &str = "_record";
/// Column of staged relations: index of the file in the extract.
pub const FILE_COLUMN: &str = "_file";

/// Column of staged relations: whether the row is one its stream wants; NULL where nobody asked.
pub const MATCHES_COLUMN: &str = "_matches";

/// A column with the engine's own name of its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedColumn {
    /// Its name, unquoted.
    pub name: String,
    /// Its type in the engine's words.
    pub engine_type: String,
}

/// A table or subquery that can stand after `from`, and its declared columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Quoted name, or a subquery in parentheses.
    pub sql: String,
    /// Declared columns, in order.
    pub columns: Vec<TypedColumn>,
}

/// The quoted columns behind an alias: `s."a", s."b"`.
pub fn column_list<'a>(
    dialect: &dyn Dialect,
    alias: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<String, InvalidName> {
    let parts: Result<Vec<_>, _> = names.into_iter().map(|name| qualified(dialect, alias, name)).collect();
    Ok(parts?.join(", "))
}

/// One quoted column behind an alias; without one when the alias is empty.
pub fn qualified(dialect: &dyn Dialect, alias: &str, name: &str) -> Result<String, InvalidName> {
    let quoted = dialect.quote_identifier(name)?;
    Ok(if alias.is_empty() { quoted } else { format!("{alias}.{quoted}") })
}

/// `a."k" = b."k" and ...`, for columns that are never NULL.
pub fn equal_keys(dialect: &dyn Dialect, left: &str, right: &str, names: &[String]) -> Result<String, InvalidName> {
    let mut parts = Vec::with_capacity(names.len());
    for name in names {
        parts.push(format!("{} = {}", qualified(dialect, left, name)?, qualified(dialect, right, name)?));
    }
    Ok(parts.join(" and "))
}

/// A condition that joins keys that were found with stored rows: equal, and NULL beside NULL where `nulls` does not say that there is none. What
/// was found in one branch of a set operation may have a narrower type than the stored column, and is given that.
pub fn found_keys(
    dialect: &dyn Dialect,
    (found, stored): (&str, &str),
    names: &[String],
    nulls: &[bool],
    columns: &[TypedColumn],
) -> Result<String, InvalidName> {
    let mut parts = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        let (mut found, stored) = (qualified(dialect, found, name)?, qualified(dialect, stored, name)?);
        let may_be_null = nulls.get(index) != Some(&false);
        let type_name = columns.iter().find(|column| column.name == *name).map(|column| column.engine_type.as_str());
        if let Some(type_name) = type_name.filter(|_| may_be_null && dialect.needs_types()) {
            found = format!("cast({found} as {type_name})");
        }
        parts.push(dialect.same(&found, &stored, may_be_null, type_name));
    }
    Ok(if parts.is_empty() { "true".to_owned() } else { parts.join(" and ") })
}

/// A condition that is true when all columns of both sides hold identical values.
pub fn all_same(
    dialect: &dyn Dialect,
    left: &str,
    right: &str,
    columns: &[TypedColumn],
) -> Result<String, InvalidName> {
    let mut parts = Vec::with_capacity(columns.len());
    for column in columns {
        let (left, right) = (qualified(dialect, left, &column.name)?, qualified(dialect, right, &column.name)?);
        parts.push(dialect.is_same(&left, &right, &column.engine_type));
    }
    Ok(if parts.is_empty() { "true".to_owned() } else { parts.join(" and ") })
}
