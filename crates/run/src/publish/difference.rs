//! Bringing a physical table to new contents by writing only what differs.

use thalweg_sql::statement::{Difference, RowIdentifier, Sameness, TypedColumn};
use thalweg_warehouse::{WarehouseError, WarehouseErrorKind};

use crate::change::Change;
use crate::error::RunError;
use crate::outcome::Counts;
use crate::publish::Publication;

/// New contents of a table, and how rows are told apart.
pub struct NewContents {
    /// Quoted physical table.
    pub old: String,
    /// What identifies its rows.
    pub old_rows: RowIdentifier,
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
    /// How many rows are compared with them, where that is known.
    pub compared: Option<u64>,
    /// Columns that may be a key; used only when they are one on both sides.
    pub key: Vec<String>,
    /// When two values count as the same.
    pub sameness: Sameness,
    /// Somebody looks at what changed.
    pub watched: bool,
}

/// So many rows are paired without a look at their keys before.
const FEW_PAIRS: u64 = 500_000;

impl Publication<'_> {
    /// Writes the difference; counts (inserted, updated, deleted as missing) and the change set.
    pub fn apply_difference(&mut self, contents: NewContents) -> Result<(Counts, Change), RunError> {
        let (contents_rows, watched) = (contents.rows, contents.watched);
        let compared_rows = contents.compared;
        let mut written: Vec<String> = contents.columns.iter().map(|column| column.name.clone()).collect();
        written.extend(contents.bookkeeping.iter().map(|name| (*name).to_owned()));
        let mut difference = Difference {
            dialect: self.database.dialect,
            old: contents.old,
            rows: contents.old_rows,
            part: contents.part,
            new: contents.new,
            columns: contents.columns,
            written,
            key: contents.key,
            sameness: contents.sameness,
        };
        let found = match compared_rows {
            Some(compared) if !difference.key.is_empty() && compared + contents_rows <= FEW_PAIRS => {
                self.all_pairs(&mut difference, contents_rows, compared)?
            }
            _ => None,
        };
        let found = match found {
            Some(found) => Some(found),
            None => self.pairs_that_differ(&mut difference)?,
        };
        let Some((pairs, [deleted, inserted, updated])) = found.filter(|(_, numbers)| numbers.iter().any(|it| *it > 0))
        else {
            self.forget_contents(&difference)?;
            return Ok((Counts::default(), Change::None));
        };
        // Where nothing stays as it was, what was compared is what changed.
        if let Some(part) = difference.part.clone()
            && watched
            && (compared_rows, contents_rows) == (Some(deleted), inserted)
        {
            self.write_difference(&difference, (&part, deleted), (&difference.new, inserted))?;
            return Ok((counted([deleted, inserted, updated]), Change::Rows { before: part, after: difference.new }));
        }
        // Where most of what was computed is written, it is not copied once more.
        let mostly = 2 * inserted >= contents_rows;
        let sql = self.database.name(difference.before(&pairs))?;
        let before = match &difference.part {
            _ if !watched => String::new(),
            Some(_) if mostly => self.database.inline(&sql, deleted),
            _ => self.database.make_named("before", &sql)?,
        };
        let sql = self.database.name(difference.fresh(&pairs))?;
        let fresh = if mostly || !watched {
            self.database.inline(&sql, inserted)
        } else {
            self.database.make_named("fresh", &sql)?
        };
        self.write_difference(&difference, (&pairs, deleted), (&fresh, inserted))?;
        if !mostly {
            self.forget_contents(&difference)?;
        }
        let counts = counted([deleted, inserted, updated]);
        Ok((counts, if watched { Change::Rows { before, after: fresh } } else { Change::Everything }))
    }

    /// Deletes the rows of which a relation holds the identifiers, and inserts those that another holds.
    pub fn write_difference(
        &mut self,
        difference: &Difference<'_>,
        (gone, deleted): (&str, u64),
        (fresh, inserted): (&str, u64),
    ) -> Result<(), RunError> {
        if deleted > 0 {
            self.delete_gone(difference, gone)?;
        }
        if inserted > 0 {
            let sql = self.database.name(difference.insert_fresh(fresh))?;
            self.database.execute(&sql)?;
        }
        Ok(())
    }

    fn delete_gone(&mut self, difference: &Difference<'_>, pairs: &str) -> Result<(), RunError> {
        let Some(partitions) = difference.partitions_of_gone(pairs) else {
            return self.database.execute(&difference.delete_gone(pairs)).map(drop);
        };
        for partition in self.database.texts(&partitions)?.rows.into_iter().flatten().flatten() {
            if let Some(sql) = difference.delete_gone_of(pairs, &partition) {
                self.database.execute(&sql)?;
            }
        }
        Ok(())
    }

    /// Pairs few rows by what may be a key, all of them, and sees by what came of it whether it is one: the relation of those that differ, and
    /// how many rows go, come and do both. `None`, and no key any more, where it is none.
    fn all_pairs(
        &mut self,
        difference: &mut Difference<'_>,
        new: u64,
        compared: u64,
    ) -> Result<Option<(String, [u64; 3])>, RunError> {
        let pairs = self.database.temporary("pairs");
        let sql = self.database.name(difference.all_pairs(compared + new))?;
        if self.database.make_counted(&pairs, &sql)? > compared + new {
            self.database.forget_one(&pairs)?;
            difference.key.clear();
            return Ok(None);
        }
        let numbers = self.database.counts(&difference.count_all_pairs(&pairs))?;
        let [deleted, inserted, updated, without_key, old_paired, new_paired] = numbers[..] else {
            return Err(self.not_counted(&difference.old));
        };
        if without_key > 0 || old_paired != compared || new_paired != new {
            self.database.forget_one(&pairs)?;
            difference.key.clear();
            return Ok(None);
        }
        Ok(Some((difference.written_pairs(&pairs), [deleted, inserted, updated])))
    }

    /// The relation of the pairs that differ, and how many rows go, come and do both; `None` where nothing does.
    fn pairs_that_differ(&mut self, difference: &mut Difference<'_>) -> Result<Option<(String, [u64; 3])>, RunError> {
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
                return Ok(None);
            }
        }
        let pairs = self.database.temporary("pairs");
        let sql = self.database.name(difference.pairs(&values))?;
        if self.database.make_counted(&pairs, &sql)? == 0 {
            return Ok(None);
        }
        let numbers = self.database.counts(&difference.count_pairs(&pairs))?;
        let [deleted, inserted, updated] = numbers[..] else { return Err(self.not_counted(&difference.old)) };
        Ok(Some((pairs, [deleted, inserted, updated])))
    }

    fn not_counted(&self, table: &str) -> RunError {
        let message = format!("the rows that differ in {table} could not be counted: run again");
        self.database.error(WarehouseError::new(WarehouseErrorKind::Statement, message))
    }

    /// Drops the temporary tables that were compared.
    fn forget_contents(&mut self, difference: &Difference<'_>) -> Result<(), RunError> {
        if let Some(part) = &difference.part {
            self.database.forget_one(part)?;
        }
        self.database.forget_one(&difference.new)
    }
}

/// Of rows that went, that came and that did both.
pub fn counted([deleted, inserted, updated]: [u64; 3]) -> Counts {
    Counts { inserted: inserted - updated, updated, deleted_missing: deleted - updated, ..Counts::default() }
}
