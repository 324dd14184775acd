//! Bringing a physical table to new contents by writing only what differs.

use thalweg_sql::statement::{Difference, Sameness, TypedColumn};
use thalweg_warehouse::{WarehouseError, WarehouseErrorKind};

use crate::change::Change;
use crate::error::RunError;
use crate::outcome::Counts;
use crate::publish::Publication;

/// New contents of a table, and how rows are told apart.
pub struct NewContents {
    /// Quoted physical table.
    pub old: String,
    /// Temporary table with those of its rows that are compared, as [`Difference::part`]; all of them without.
    pub part: Option<String>,
    /// Temporary table with the new contents, bookkeeping columns included.
    pub new: String,
    /// How many rows they are.
    pub rows: u64,
    /// Declared columns.
    pub columns: Vec<TypedColumn>,
    /// Bookkeeping columns to write with them.
    pub bookkeeping: Vec<&'static str>,
    /// Columns that may be a key; used only when they are one on both sides.
    pub key: Vec<String>,
    /// When two values count as the same.
    pub sameness: Sameness,
}

impl Publication<'_> {
    /// Writes the difference; counts (inserted, updated, deleted as missing) and the change set.
    pub fn apply_difference(&mut self, contents: NewContents) -> Result<(Counts, Change), RunError> {
        let contents_rows = contents.rows;
        let mut written: Vec<String> = contents.columns.iter().map(|column| column.name.clone()).collect();
        written.extend(contents.bookkeeping.iter().map(|name| (*name).to_owned()));
        let mut difference = Difference {
            dialect: self.database.dialect,
            old: contents.old,
            part: contents.part,
            new: contents.new,
            columns: contents.columns,
            written,
            key: contents.key,
            sameness: contents.sameness,
        };
        if !difference.key.is_empty() {
            let old = difference.part.clone().unwrap_or_else(|| difference.old.clone());
            for relation in [difference.new.clone(), old] {
                let sql = self.database.name(difference.find_bad_key(&relation))?;
                if self.database.any(&sql)? {
                    difference.key.clear();
                    break;
                }
            }
        }
        let mut values = String::new();
        if difference.key.is_empty() {
            values = self.database.temporary("values");
            let sql = self.database.name(difference.values())?;
            if self.database.make_counted(&values, &sql)? == 0 {
                self.forget_contents(&difference)?;
                return Ok((Counts::default(), Change::None));
            }
        }
        let pairs = self.database.temporary("pairs");
        let sql = self.database.name(difference.pairs(&values))?;
        if self.database.make_counted(&pairs, &sql)? == 0 {
            self.forget_contents(&difference)?;
            return Ok((Counts::default(), Change::None));
        }
        let numbers = self.database.counts(&difference.count_pairs(&pairs))?;
        let [deleted, inserted, updated] = numbers[..] else {
            let message = format!("the rows that differ in {} could not be counted: run again", difference.old);
            return Err(self.database.error(WarehouseError::new(WarehouseErrorKind::Statement, message)));
        };
        // Where most of what was computed is written, it is not copied once more.
        let mostly = 2 * inserted >= contents_rows;
        let sql = self.database.name(difference.before(&pairs))?;
        let before = match &difference.part {
            Some(_) if mostly => self.database.make_view("before", &sql, deleted)?,
            _ => self.database.make_named("before", &sql)?,
        };
        let sql = self.database.name(difference.fresh(&pairs))?;
        let fresh = if mostly {
            self.database.make_view("fresh", &sql, inserted)?
        } else {
            self.database.make_named("fresh", &sql)?
        };
        if deleted > 0 {
            self.database.execute(&difference.delete_gone(&pairs))?;
        }
        if inserted > 0 {
            let sql = self.database.name(difference.insert_fresh(&fresh))?;
            self.database.execute(&sql)?;
        }
        if !mostly {
            self.forget_contents(&difference)?;
        }
        let counts =
            Counts { inserted: inserted - updated, updated, deleted_missing: deleted - updated, ..Counts::default() };
        Ok((counts, Change::Rows { before, after: fresh }))
    }

    /// Drops the temporary tables that were compared.
    fn forget_contents(&mut self, difference: &Difference<'_>) -> Result<(), RunError> {
        if let Some(part) = &difference.part {
            self.database.forget_one(part)?;
        }
        self.database.forget_one(&difference.new)
    }
}
