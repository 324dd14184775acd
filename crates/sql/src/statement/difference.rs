//! The difference of two tables as bags, and writing it.

use crate::dialect::{Dialect, InvalidName};
use crate::statement::relation::{RUN_COLUMN, TypedColumn, column_list, equal_keys, qualified};

/// The difference of a table and its new contents: rows to delete and rows to insert, as few as possible.
///
/// With a key that both sides are known to hold without NULL and without repetition, rows are paired by it; otherwise equal rows
/// are numbered and paired by values and number, so that of three equal rows one can go.
#[derive(Debug, Clone)]
pub struct Difference<'a> {
    /// How the engine spells things.
    pub dialect: &'a dyn Dialect,
    /// The physical table, quoted.
    pub old: String,
    /// Only these rows of it are compared, with everything in `new`: a quoted relation with the declared columns, [`RUN_COLUMN`] and
    /// the identifiers of the rows as [`ROW_COLUMN`]. Without it, all rows are.
    pub part: Option<String>,
    /// Its new contents: a quoted relation with all columns of the table, bookkeeping included. A table, so that its rows can be
    /// told apart.
    pub new: String,
    /// Declared columns.
    pub columns: Vec<TypedColumn>,
    /// All columns to write, bookkeeping included.
    pub written: Vec<String>,
    /// A proven key, or nothing.
    pub key: Vec<String>,
    /// When two values count as the same.
    pub sameness: Sameness,
}

/// Column of [`Difference::part`] with the identifiers of the table's rows.
pub const ROW_COLUMN: &str = "_row";

/// When two values count as the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sameness {
    /// When they are identical ([`Dialect::identity_image`]): what is written is compared so.
    Identical,
    /// Floating-point numbers by 12 significant digits ([`Dialect::comparison_image`]): two computations of a sum may add in another
    /// order.
    WithinTolerance,
}

impl Difference<'_> {
    /// The rows of the table that are compared, and what identifies one of them (alias `o`).
    fn compared(&self) -> (&str, &str) {
        match &self.part {
            Some(part) => (part, ROW_COLUMN),
            None => (&self.old, self.dialect.row_identifier()),
        }
    }

    fn declared(&self, alias: &str) -> Result<String, InvalidName> {
        column_list(self.dialect, alias, self.columns.iter().map(|column| column.name.as_str()))
    }

    fn written(&self, alias: &str) -> Result<String, InvalidName> {
        column_list(self.dialect, alias, self.written.iter().map(String::as_str))
    }

    fn numbered(&self, relation: &str, identifier: &str) -> Result<String, InvalidName> {
        let mut images = Vec::with_capacity(self.columns.len());
        let mut selected = Vec::with_capacity(self.columns.len());
        for (index, column) in self.columns.iter().enumerate() {
            let image = self.image(&qualified(self.dialect, "r", &column.name)?, &column.engine_type);
            selected.push(format!("{image} as _thalweg_image_{index}"));
            images.push(image);
        }
        let partition = if images.is_empty() { String::new() } else { format!("partition by {}", images.join(", ")) };
        selected.push(format!("row_number() over ({partition}) as _thalweg_copy"));
        Ok(format!("(select {}, {identifier} from {relation} r)", selected.join(", ")))
    }

    fn paired(&self) -> String {
        let mut parts: Vec<String> = (0..self.columns.len())
            .map(|index| format!("o._thalweg_image_{index} is not distinct from n._thalweg_image_{index}"))
            .collect();
        parts.push("o._thalweg_copy = n._thalweg_copy".to_owned());
        parts.join(" and ")
    }

    /// A query that finds a repeated or NULL key in a relation: one row when there is one.
    pub fn find_bad_key(&self, relation: &str) -> Result<String, InvalidName> {
        let keys = column_list(self.dialect, "r", self.key.iter().map(String::as_str))?;
        let mut nulls = Vec::with_capacity(self.key.len());
        for name in &self.key {
            nulls.push(format!("{} is null", qualified(self.dialect, "r", name)?));
        }
        Ok(format!(
            "select 1 from {relation} r group by {keys} having count(*) > 1 or bool_or({}) limit 1",
            nulls.join(" or ")
        ))
    }

    /// Writes the identifiers of the rows to delete into a temporary table, column `_row`.
    pub fn create_gone(&self, gone: &str) -> Result<String, InvalidName> {
        let (compared, identifier) = self.compared();
        if self.key.is_empty() {
            let old = self.numbered(compared, &format!("r.{identifier} as {ROW_COLUMN}"))?;
            let new = self.numbered(&self.new, "1 as _row")?;
            return Ok(format!(
                "create temporary table {gone} as select o._row from {old} o where not exists (select 1 from {new} n where {})",
                self.paired()
            ));
        }
        let same = self.same("o", "n")?;
        Ok(format!(
            "create temporary table {gone} as select o.{identifier} as {ROW_COLUMN} from {compared} o where not exists (select 1 from {} n where {} and {same})",
            self.new,
            equal_keys(self.dialect, "o", "n", &self.key)?
        ))
    }

    /// Writes the rows to insert into a temporary table with the columns to write.
    pub fn create_fresh(&self, fresh: &str) -> Result<String, InvalidName> {
        if self.key.is_empty() {
            let identifier = self.dialect.row_identifier();
            let old = self.numbered(self.compared().0, "1 as _row")?;
            let new = self.numbered(&self.new, &format!("r.{identifier} as _row"))?;
            return Ok(format!(
                "create temporary table {fresh} as select {} from {} f where f.{identifier} in (select n._row from {new} n where not exists \
                 (select 1 from {old} o where {}))",
                self.written("f")?,
                self.new,
                self.paired()
            ));
        }
        let same = self.same("o", "n")?;
        Ok(format!(
            "create temporary table {fresh} as select {} from {} n where not exists (select 1 from {} o where {} and {same})",
            self.written("n")?,
            self.new,
            self.compared().0,
            equal_keys(self.dialect, "o", "n", &self.key)?
        ))
    }

    fn image(&self, expression: &str, engine_type: &str) -> String {
        match self.sameness {
            Sameness::Identical => self.dialect.identity_image(expression, engine_type),
            Sameness::WithinTolerance => self.dialect.comparison_image(expression, engine_type),
        }
    }

    fn same(&self, left: &str, right: &str) -> Result<String, InvalidName> {
        let mut parts = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let left = self.image(&qualified(self.dialect, left, &column.name)?, &column.engine_type);
            let right = self.image(&qualified(self.dialect, right, &column.name)?, &column.engine_type);
            parts.push(format!("{left} is not distinct from {right}"));
        }
        Ok(if parts.is_empty() { "true".to_owned() } else { parts.join(" and ") })
    }

    /// Of the rows to insert, those whose key the old table has (updates): their number. Only with a key.
    pub fn count_updates(&self, fresh: &str) -> Result<String, InvalidName> {
        Ok(format!(
            "select count(*) from {fresh} f where exists (select 1 from {} o where {})",
            self.compared().0,
            equal_keys(self.dialect, "o", "f", &self.key)?
        ))
    }

    /// Keeps the rows to delete, with the run that had written them, in a temporary table.
    pub fn create_before(&self, before: &str, gone: &str) -> Result<String, InvalidName> {
        let (compared, identifier) = self.compared();
        Ok(format!(
            "create temporary table {before} as select {}, o.{RUN_COLUMN} from {compared} o where o.{identifier} in (select {ROW_COLUMN} from {gone})",
            self.declared("o")?
        ))
    }

    /// Deletes the rows that are gone.
    pub fn delete_gone(&self, gone: &str) -> String {
        format!("delete from {} where {} in (select _row from {gone})", self.old, self.dialect.row_identifier())
    }

    /// Inserts the fresh rows.
    pub fn insert_fresh(&self, fresh: &str) -> Result<String, InvalidName> {
        let columns = self.written("")?;
        Ok(format!("insert into {} ({columns}) select {columns} from {fresh}", self.old))
    }
}

/// A query for the rows of one relation that another does not have, as bags: the
/// declared columns, then `extra` columns of the left relation.
pub fn missing_rows(
    dialect: &dyn Dialect,
    left: &str,
    right: &str,
    columns: &[TypedColumn],
    extra: &[&str],
    sameness: Sameness,
) -> Result<String, InvalidName> {
    let difference = Difference {
        dialect,
        old: left.to_owned(),
        part: None,
        new: right.to_owned(),
        columns: columns.to_vec(),
        written: Vec::new(),
        key: Vec::new(),
        sameness,
    };
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).chain(extra.iter().copied()).collect();
    let old = difference.numbered(left, &column_list(dialect, "r", names.iter().copied())?)?;
    let new = difference.numbered(right, "1 as _row")?;
    let shown = column_list(dialect, "o", names.iter().copied())?;
    Ok(format!("select {shown} from {old} o where not exists (select 1 from {new} n where {})", difference.paired()))
}
