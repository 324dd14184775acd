//! Merging an extract into a store table by key.

use thalweg_project::ColumnType;

use crate::dialect::{Dialect, InvalidName};
use crate::statement::condition::{RowCondition, is_marked};
use crate::statement::relation::{
    FILE_COLUMN, MATCHES_COLUMN, ORIGIN_COLUMN, RECORD_COLUMN, RUN_COLUMN, TypedColumn, all_same, column_list,
    equal_keys, qualified,
};

/// Everything the statements of one merge are made of.
///
/// Where each staged row goes is decided once, in a *verdict*:
///
/// | verdict | meaning | counted as |
/// |---|---|---|
/// | `insert` | a key the table does not have | inserted |
/// | `update` | a key the table has, with other values | updated |
/// | `unchanged` | a key the table has, with identical values | unchanged |
/// | `delete` | marked as deleted, and the table has the key | deleted by mark |
/// | `absent` | marked as deleted, and the table does not have the key | unchanged |
/// | `older` | the table (or a deletion) knows a newer version | duplicate |
#[derive(Debug, Clone)]
pub struct Merge<'a> {
    /// How the engine spells things.
    pub dialect: &'a dyn Dialect,
    /// The staged relation, quoted.
    pub stage: String,
    /// The physical store table, quoted.
    pub target: String,
    /// Table of deleted keys with the sequence of their deletion, quoted; only with both `sequence_by` and `soft_delete`.
    pub tombstones: Option<String>,
    /// The store table's columns, bookkeeping aside.
    pub columns: Vec<TypedColumn>,
    /// Key columns; empty for `append` and keyless `replace`.
    pub key: Vec<String>,
    /// Column that decides which of two versions is newer.
    pub sequence_by: Option<String>,
    /// Column that marks deleted rows, and its type.
    pub soft_delete: Option<(String, ColumnType)>,
    /// The staged relation says of each row whether its stream wants it ([`MATCHES_COLUMN`]); one that is not wanted counts as marked.
    pub has_matches: bool,
    /// What was still there when the extract ended; rows of it that were read before and are missing by then count as marked.
    pub still_there: Option<Missing>,
    /// Rows that do not satisfy these are rejected.
    pub conditions: Vec<RowCondition>,
    /// Likewise, for conditions that can be asked of this stage alone.
    pub own_conditions: Vec<RowCondition>,
    /// An expression, by the alias `s`, that shows a rejected row, where its columns do not show what it was.
    pub raw: Option<String>,
    /// The `_origin` of file 0 of the extract.
    pub origin_base: i64,
    /// The run.
    pub run: i64,
    /// For rows that are merged again in the place in which they came: a relation of everything of the stream that landed with
    /// them or since, with the columns of the table, `_origin` and `_record`.
    pub later: Option<String>,
}

/// What is still there at the source: rows of the table with other keys go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// A relation with the key columns, quoted or in parentheses.
    pub keys: String,
    /// Only rows that satisfy this condition on the table's alias are looked at.
    pub within: Option<String>,
}

/// Whether a row of an alias is missing at the source.
pub fn is_missing(
    dialect: &dyn Dialect,
    key: &[String],
    missing: &Missing,
    alias: &str,
) -> Result<String, InvalidName> {
    let equal = equal_keys(dialect, "present", alias, key)?;
    let gone = format!("not exists (select 1 from {} present where {equal})", missing.keys);
    Ok(match &missing.within {
        Some(within) => format!("(({within}) and {gone})"),
        None => gone,
    })
}

/// The keys of rows of a table that are missing at the source.
pub fn gone_keys(dialect: &dyn Dialect, key: &[String], table: &str, missing: &Missing) -> Result<String, InvalidName> {
    let columns = column_list(dialect, "t", key.iter().map(String::as_str))?;
    Ok(format!("select {columns} from {table} t where {}", is_missing(dialect, key, missing, "t")?))
}

impl Merge<'_> {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    fn all_columns(&self, alias: &str) -> Result<String, InvalidName> {
        column_list(self.dialect, alias, self.names())
    }

    /// The columns to insert into, bookkeeping included.
    fn target_columns(&self) -> Result<String, InvalidName> {
        Ok(format!("{}, {RUN_COLUMN}, {ORIGIN_COLUMN}, {RECORD_COLUMN}", self.all_columns("")?))
    }

    /// What is inserted, from an alias that has the staged columns.
    fn inserted_values(&self, alias: &str) -> Result<String, InvalidName> {
        Ok(format!(
            "{}, {}, {} + {alias}.{FILE_COLUMN}, {alias}.{RECORD_COLUMN}",
            self.all_columns(alias)?,
            self.run,
            self.origin_base
        ))
    }

    /// Why a staged row is rejected, or NULL; `None` when nothing can be wrong with a row.
    fn reason(&self, alias: &str) -> Result<Option<String>, InvalidName> {
        self.reason_by(alias, self.own_conditions.iter().chain(&self.conditions))
    }

    fn reason_by<'c>(
        &self,
        alias: &str,
        conditions: impl IntoIterator<Item = &'c RowCondition>,
    ) -> Result<Option<String>, InvalidName> {
        let mut cases = String::new();
        for name in &self.key {
            cases.push_str(&format!(
                " when {} is null then {}",
                qualified(self.dialect, alias, name)?,
                self.dialect.literal_text(&format!("primary key column {name} is NULL"))
            ));
        }
        for condition in conditions {
            cases.push_str(&format!(
                " when not coalesce({}, false) then {}",
                condition.sql,
                self.dialect.literal_text(&condition.reason)
            ));
        }
        Ok((!cases.is_empty()).then(|| format!("case{cases} end")))
    }

    /// Columns `_file`, `_record`, `reason`, `raw` of the staged rows that are rejected; `None` when none can be.
    pub fn rejected_rows(&self) -> Result<Option<String>, InvalidName> {
        let Some(reason) = self.reason("s")? else { return Ok(None) };
        let names: Vec<&str> = self.names().collect();
        let raw = match &self.raw {
            Some(raw) => raw.clone(),
            None => self.dialect.row_as_json("s", &names)?,
        };
        Ok(Some(format!(
            "select s.{FILE_COLUMN}, s.{RECORD_COLUMN}, {reason} as reason, {raw} as raw from {} s where ({reason}) is not null",
            self.stage
        )))
    }

    /// A subquery of the staged rows that are not rejected.
    fn usable(&self) -> Result<String, InvalidName> {
        Ok(match self.reason("s")? {
            None => self.stage.clone(),
            Some(reason) => format!("(select s.* from {} s where ({reason}) is null)", self.stage),
        })
    }

    /// One row with two numbers: how many rows are staged, and how many of them are rejected.
    pub fn count_staged(&self) -> Result<String, InvalidName> {
        let rejected = self.reason("s")?.map_or_else(|| "0".to_owned(), |reason| format!("count({reason})"));
        Ok(format!("select count(*), {rejected} from {} s", self.stage))
    }

    /// Whether there is another row with the key of a usable row that is marked: one row when there is, none when not.
    pub fn find_marked_duplicate(&self) -> Result<String, InvalidName> {
        let (usable, same) = (self.usable()?, equal_keys(self.dialect, "m", "u", &self.key)?);
        Ok(format!(
            "select 1 from {usable} m join {usable} u on {same} where {} and (m.{FILE_COLUMN}, m.{RECORD_COLUMN}) <> \
             (u.{FILE_COLUMN}, u.{RECORD_COLUMN}) limit 1",
            self.marked("m")?
        ))
    }

    /// Whether a key occurs twice among the usable rows: one row when it does, none when not.
    pub fn find_duplicate_key(&self) -> Result<String, InvalidName> {
        let keys = column_list(self.dialect, "u", self.key.iter().map(String::as_str))?;
        Ok(format!("select 1 from {} u group by {keys} having count(*) > 1 limit 1", self.usable()?))
    }

    /// A subquery with one row for each key: the latest by sequence, then by place. `dedupe` is false when no key occurs twice.
    pub fn winners(&self, dedupe: bool) -> Result<String, InvalidName> {
        let usable = self.usable()?;
        if !dedupe || self.key.is_empty() {
            return Ok(usable);
        }
        let keys = column_list(self.dialect, "u", self.key.iter().map(String::as_str))?;
        let sequence = match &self.sequence_by {
            Some(name) => format!("{} desc nulls last, ", qualified(self.dialect, "u", name)?),
            None => String::new(),
        };
        let mut columns = self.all_columns("w")?;
        if self.has_matches {
            columns.push_str(&format!(", w.{MATCHES_COLUMN}"));
        }
        Ok(format!(
            "(select {columns}, w.{FILE_COLUMN}, w.{RECORD_COLUMN} from (select u.*, row_number() over (partition by {keys} \
             order by {sequence}u.{FILE_COLUMN} desc, u.{RECORD_COLUMN} desc) as _thalweg_rank from {usable} u) w where w._thalweg_rank = 1)"
        ))
    }

    /// The usable rows of an older extract, with the columns of the table, `_origin` and `_record`: parts of [`Merge::later`].
    pub fn landed_rows(&self, stage: &str, origin_base: i64) -> Result<String, InvalidName> {
        Ok(format!(
            "select {}, {origin_base} + s.{FILE_COLUMN} as {ORIGIN_COLUMN}, s.{RECORD_COLUMN}, {} as _reason from {stage} s",
            self.all_columns("s")?,
            self.reason_by("s", &self.conditions)?.unwrap_or_else(|| "null".to_owned())
        ))
    }

    /// Whether a staged row (alias `s`) that is merged again was followed by a newer one of its key.
    fn followed(&self, later: &str) -> Result<String, InvalidName> {
        let place = format!(
            "(l.{ORIGIN_COLUMN}, l.{RECORD_COLUMN}) > ({} + s.{FILE_COLUMN}, s.{RECORD_COLUMN})",
            self.origin_base
        );
        let newer = match &self.sequence_by {
            None => place,
            Some(name) => {
                let (theirs, ours) = (qualified(self.dialect, "l", name)?, qualified(self.dialect, "s", name)?);
                format!("({} or ({theirs} is not distinct from {ours} and {place}))", is_newer(&theirs, &ours))
            }
        };
        Ok(format!(
            "exists (select 1 from {later} l where {} and {newer})",
            equal_keys(self.dialect, "l", "s", &self.key)?
        ))
    }

    /// True for marked rows of an alias; `false` without a soft-delete column.
    fn marked(&self, alias: &str) -> Result<String, InvalidName> {
        let mut reasons = Vec::new();
        if let Some((name, column_type)) = &self.soft_delete {
            reasons.push(is_marked(&qualified(self.dialect, alias, name)?, column_type));
        }
        if self.has_matches {
            reasons.push(format!("not coalesce({alias}.{MATCHES_COLUMN}, true)"));
        }
        if let Some(missing) = &self.still_there {
            reasons.push(is_missing(self.dialect, &self.key, missing, alias)?);
        }
        Ok(match reasons.as_slice() {
            [] => "false".to_owned(),
            [one] => one.clone(),
            several => format!("({})", several.join(" or ")),
        })
    }

    /// Fills an empty table with the winners that are not marked.
    pub fn insert_initial(&self, winners: &str) -> Result<String, InvalidName> {
        let condition = match &self.soft_delete {
            None if !self.has_matches && self.still_there.is_none() => String::new(),
            _ => format!(" where not {}", self.marked("w")?),
        };
        Ok(format!(
            "insert into {} ({}) select {} from {winners} w{condition}",
            self.target,
            self.target_columns()?,
            self.inserted_values("w")?
        ))
    }

    /// Remembers the deletions among the winners of an empty table.
    pub fn insert_initial_tombstones(&self, winners: &str) -> Result<Option<String>, InvalidName> {
        let (Some(tombstones), Some(sequence)) = (&self.tombstones, &self.sequence_by) else { return Ok(None) };
        let keys = column_list(self.dialect, "w", self.key.iter().map(String::as_str))?;
        let sequence = qualified(self.dialect, "w", sequence)?;
        Ok(Some(format!(
            "insert into {tombstones} select {keys}, {sequence} from {winners} w where {}",
            self.marked("w")?
        )))
    }

    /// Writes every winner that is not `unchanged`, with its verdict in `_thalweg_verdict`, into a temporary table.
    pub fn create_verdicts(&self, verdicts: &str, winners: &str) -> Result<String, InvalidName> {
        let first_key = qualified(self.dialect, "t", &self.key[0])?;
        let keys = equal_keys(self.dialect, "s", "t", &self.key)?;
        let same = all_same(self.dialect, "s", "t", &self.columns)?;
        let marked = self.marked("s")?;
        let (mut newer, mut buried, mut join) = (String::new(), String::new(), String::new());
        if let Some(sequence) = &self.sequence_by {
            let (ours, theirs) = (qualified(self.dialect, "s", sequence)?, qualified(self.dialect, "t", sequence)?);
            newer = format!(" when {} then 'older'", is_newer(&theirs, &ours));
            if let Some(tombstones) = &self.tombstones {
                join = format!(" left join {tombstones} d on {}", equal_keys(self.dialect, "s", "d", &self.key)?);
                let deleted = qualified(self.dialect, "d", sequence)?;
                buried = format!(
                    " when {} is not null and not {marked} and {} then 'older'",
                    qualified(self.dialect, "d", &self.key[0])?,
                    is_newer(&deleted, &ours)
                );
            }
        }
        let followed = match &self.later {
            Some(later) => format!(" when {} then 'older'", self.followed(later)?),
            None => String::new(),
        };
        Ok(format!(
            "create temporary table {verdicts} as select v.* from (select s.*, case{followed} when {first_key} is null then (case{buried} when {marked} \
             then 'absent' else 'insert' end){newer} when {marked} then 'delete' when {same} then 'unchanged' else 'update' end \
             as _thalweg_verdict from {winners} s left join {} t on {keys}{join}) v where v._thalweg_verdict <> 'unchanged'",
            self.target
        ))
    }

    /// The number of rows for each verdict: columns `_thalweg_verdict`, `n`.
    pub fn count_verdicts(&self, verdicts: &str) -> String {
        format!("select _thalweg_verdict, count(*) from {verdicts} group by _thalweg_verdict")
    }

    /// The keys of rows of the table that are missing at the source.
    pub fn gone(&self, missing: &Missing) -> Result<String, InvalidName> {
        gone_keys(self.dialect, &self.key, &self.target, missing)
    }

    /// Keeps the rows that are about to be deleted or replaced, with the run that had written them, in a temporary table. `gone` is a
    /// relation with the keys of rows that go because the source does not have them.
    pub fn create_before(&self, before: &str, verdicts: &str, gone: Option<&str>) -> Result<String, InvalidName> {
        Ok(format!(
            "create temporary table {before} as select {}, t.{RUN_COLUMN} from {} t where {}",
            self.all_columns("t")?,
            self.target,
            self.touched(verdicts, gone)?
        ))
    }

    /// Deletes the rows that are replaced or deleted; as [`Merge::create_before`].
    pub fn delete_touched(&self, verdicts: &str, gone: Option<&str>) -> Result<String, InvalidName> {
        Ok(format!("delete from {} as t where {}", self.target, self.touched(verdicts, gone)?))
    }

    fn touched(&self, verdicts: &str, gone: Option<&str>) -> Result<String, InvalidName> {
        let keys = |alias: &str| column_list(self.dialect, alias, self.key.iter().map(String::as_str));
        let mut touched =
            format!("select {} from {verdicts} v where v._thalweg_verdict in ('update', 'delete')", keys("v")?);
        if let Some(gone) = gone {
            touched.push_str(&format!(" union all select {} from {gone} g", keys("g")?));
        }
        Ok(format!("exists (select 1 from ({touched}) k where {})", equal_keys(self.dialect, "k", "t", &self.key)?))
    }

    /// Inserts the new and changed rows.
    pub fn insert_touched(&self, verdicts: &str) -> Result<String, InvalidName> {
        Ok(format!(
            "insert into {} ({}) select {} from {verdicts} v where v._thalweg_verdict in ('insert', 'update')",
            self.target,
            self.target_columns()?,
            self.inserted_values("v")?
        ))
    }

    /// The after images: a subquery with the declared columns.
    pub fn after_images(&self, verdicts: &str) -> Result<String, InvalidName> {
        Ok(format!(
            "(select {} from {verdicts} v where v._thalweg_verdict in ('insert', 'update'))",
            self.all_columns("v")?
        ))
    }

    /// Forgets the tombstones of keys that live again, and remembers new deletions.
    pub fn bury(&self, verdicts: &str) -> Result<Vec<String>, InvalidName> {
        let (Some(tombstones), Some(sequence)) = (&self.tombstones, &self.sequence_by) else { return Ok(Vec::new()) };
        let keys = equal_keys(self.dialect, "v", "d", &self.key)?;
        let key_list = column_list(self.dialect, "v", self.key.iter().map(String::as_str))?;
        let sequence = qualified(self.dialect, "v", sequence)?;
        let deleted = qualified(self.dialect, "d", self.sequence_by.as_deref().unwrap_or_default())?;
        Ok(vec![
            format!(
                "delete from {tombstones} as d where exists (select 1 from {verdicts} v where {keys} and (v._thalweg_verdict in ('insert', 'delete') \
                 or (v._thalweg_verdict = 'absent' and not {})))",
                is_newer(&deleted, &sequence)
            ),
            format!(
                "insert into {tombstones} select {key_list}, {sequence} from {verdicts} v where v._thalweg_verdict in ('delete', 'absent') \
                 and not exists (select 1 from {tombstones} d where {keys})"
            ),
        ])
    }

    /// Adds every usable row (`append`).
    pub fn append(&self) -> Result<String, InvalidName> {
        Ok(format!(
            "insert into {} ({}) select {} from {} u",
            self.target,
            self.target_columns()?,
            self.inserted_values("u")?,
            self.usable()?
        ))
    }

    /// The usable rows as they would stand in the table, bookkeeping included, for a keyless `replace`.
    pub fn as_target_rows(&self) -> Result<String, InvalidName> {
        Ok(format!(
            "(select {}, {} as {RUN_COLUMN}, {} + u.{FILE_COLUMN} as {ORIGIN_COLUMN}, u.{RECORD_COLUMN} from {} u)",
            self.all_columns("u")?,
            self.run,
            self.origin_base,
            self.usable()?
        ))
    }
}

/// Whether the first sequence is later than the second; NULL is earlier than everything.
fn is_newer(left: &str, right: &str) -> String {
    format!("({left} is not null and ({right} is null or {left} > {right}))")
}
