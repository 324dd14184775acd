//! Bringing a physical table to new contents by writing only what differs.

use thalweg_sql::statement::{Difference, Sameness, TypedColumn};

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
        let (gone, fresh) = (self.database.temporary("gone"), self.database.temporary("fresh"));
        let sql = self.database.name(difference.create_gone(&gone))?;
        let deleted = self.database.execute(&sql)?;
        let sql = self.database.name(difference.create_fresh(&fresh))?;
        let inserted = self.database.execute(&sql)?;
        if deleted == 0 && inserted == 0 {
            return Ok((Counts::default(), Change::None));
        }
        let updated = if difference.key.is_empty() || deleted == 0 || inserted == 0 {
            0
        } else {
            let sql = self.database.name(difference.count_updates(&fresh))?;
            self.database.count(&sql)?
        };
        let before = self.database.temporary("before");
        let sql = self.database.name(difference.create_before(&before, &gone))?;
        self.database.execute(&sql)?;
        if deleted > 0 {
            self.database.execute(&difference.delete_gone(&gone))?;
        }
        if inserted > 0 {
            let sql = self.database.name(difference.insert_fresh(&fresh))?;
            self.database.execute(&sql)?;
        }
        let counts =
            Counts { inserted: inserted - updated, updated, deleted_missing: deleted - updated, ..Counts::default() };
        Ok((counts, Change::Rows { before, after: fresh }))
    }
}
