//! Bringing a store table up to date from extracts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use thalweg_project::{ColumnType, DataTest, OnFailure, Stream, WriteDisposition};
use thalweg_source::Column;
use thalweg_source::landing::unify;
use thalweg_sql::statement::condition::row_condition;
use thalweg_sql::statement::relation::{ORIGIN_COLUMN, RECORD_COLUMN, RUN_COLUMN};
use thalweg_sql::statement::{Merge, RowCondition, RowIdentifier, Sameness, TypedColumn};
use thalweg_warehouse::ledger::{RejectFilter, RejectKind, RejectSource};
use thalweg_warehouse::{LeftOut, StagedColumn, WarehouseError, WarehouseErrorKind};

use crate::change::Change;
use crate::error::RunError;
use crate::outcome::{Counts, Strategy};
use crate::publish::Publication;
use crate::publish::difference::NewContents;
use crate::publish::missing::ListedKeys;
use crate::publish::physical::tombstones_name;
use crate::publish::staging::stage;
use crate::publish::stream::keeps_tombstones;
use crate::publish::testing::{self, KnownTest};
use crate::publish::unstorable;
use crate::table_state::typed;

/// The place to which a transaction is undone when an empty table was filled with rows that share a key.
const FILLING: &str = "thalweg_filling";

/// One extract, to be merged.
#[derive(Debug, Clone)]
pub struct ExtractFiles {
    /// The run written into `_run`: the run of the extract.
    pub run: i64,
    /// Parquet files with rows, each with its columns.
    pub parts: Vec<(PathBuf, Vec<Column>)>,
    /// Parquet file with records rejected while reading that are not kept yet, and their number.
    pub rejects: Option<(PathBuf, u64)>,
    /// Number of files (or other units) of the extract.
    pub files: i64,
    /// Records read.
    pub read: u64,
    /// Of these, rejected while reading.
    pub rejected: u64,
    /// The `_origin` of file 0.
    pub origin_base: i64,
    /// Whether the extract is the whole truth.
    pub complete: bool,
    /// The keys that the source has, if they were listed.
    pub keys: Option<ListedKeys>,
    /// Temporary table with the keys of rows that are gone by the listing, where that was found out already.
    pub gone: Option<String>,
    /// A person agreed to delete however many rows are gone.
    pub confirmed: bool,
    /// Rows that came before and are merged again.
    pub again: Option<Again>,
}

/// Rows of an older extract that are merged again, in the place in which they came: what came since then is newer.
#[derive(Debug, Clone)]
pub struct Again {
    /// The `_origin` of the first file of their extract.
    pub origin_base: i64,
    /// SQL condition on alias `s`: only these staged rows are meant; all of them without it.
    pub filter: Option<String>,
    /// Their extract and everything that landed since, oldest first.
    pub later: Vec<(ExtractFiles, Vec<Column>)>,
}

/// What merging an extract did.
#[derive(Debug)]
pub struct Merged {
    /// Where the rows went.
    pub counts: Counts,
    /// What changed.
    pub change: Change,
    /// How.
    pub strategy: Strategy,
}

impl Publication<'_> {
    /// Whether the table of a stream holds rows that a test quarantines which was not there when they came.
    pub fn holds_quarantined(
        &mut self,
        stream: &Stream,
        known: &BTreeMap<String, KnownTest>,
    ) -> Result<bool, RunError> {
        let Some(state) = self.tables.get(&stream.table) else { return Ok(false) };
        let columns = state.typed_columns(self.database.dialect);
        let relation = self.physical(&state.physical)?;
        let conditions = self.conditions(stream, &columns, |index, test| {
            let fingerprint = testing::fingerprint(test, &self.compiled.tests[index]);
            known.get(&test.name).is_none_or(|known| !known.passed || known.fingerprint != fingerprint)
        })?;
        if conditions.is_empty() {
            return Ok(false);
        }
        self.database.about(stream.table.to_string());
        let good: Vec<_> = conditions.iter().map(|condition| format!("coalesce({}, false)", condition.sql)).collect();
        self.database.any(&format!("select 1 from {relation} s where not ({}) limit 1", good.join(" and ")))
    }

    /// The conditions whose violators are quarantined.
    pub fn quarantine(&self, stream: &Stream, columns: &[TypedColumn]) -> Result<Vec<RowCondition>, RunError> {
        self.conditions(stream, columns, |_, _| true)
    }

    fn conditions(
        &self,
        stream: &Stream,
        columns: &[TypedColumn],
        wanted: impl Fn(usize, &DataTest) -> bool,
    ) -> Result<Vec<RowCondition>, RunError> {
        let mut conditions = Vec::new();
        for (index, test) in self.project.tests.iter().enumerate() {
            let quarantines = test.on_failure == OnFailure::Quarantine && test.table.as_ref() == Some(&stream.table);
            if !quarantines || !wanted(index, test) {
                continue;
            }
            let condition = row_condition(self.database.dialect, "s", columns, &test.kind)
                .map_err(|error| self.database.bad_name(error))?;
            let Some(mut sql) = condition else { continue };
            if let Some(filter) = &self.compiled.tests[index].filter {
                sql = format!("(not coalesce(({filter}), false) or {sql})");
            }
            conditions.push(RowCondition { reason: quarantine_reason(test), sql });
        }
        Ok(conditions)
    }

    /// Merges one extract into a physical table that has `columns` and, before this, `rows_before` rows.
    pub fn merge_extract(
        &mut self,
        stream: &Stream,
        physical: &str,
        columns: &[Column],
        extract: &ExtractFiles,
        rows_before: u64,
    ) -> Result<Merged, RunError> {
        let dialect = self.database.dialect;
        let staged = stage(&mut self.database, columns, extract)?;
        let stage = staged.relation;
        let filter = extract.again.as_ref().and_then(|again| again.filter.as_ref());
        let left_out = self.left_out(&staged.left_out, filter.map(String::as_str))?;
        let stage = match filter {
            Some(filter) => format!("(select s.* from {stage} s where {filter})"),
            None => stage,
        };
        let mut merge = Merge {
            dialect,
            stage,
            target: self.physical(physical)?,
            tombstones: if keeps_tombstones(stream) { Some(self.physical(&tombstones_name(physical))?) } else { None },
            columns: typed(dialect, columns),
            key: match stream.write_disposition {
                WriteDisposition::Append => Vec::new(),
                WriteDisposition::Merge | WriteDisposition::Replace => stream.primary_key.clone(),
            },
            sequence_by: stream.sequence_by.clone(),
            soft_delete: stream.soft_delete.as_ref().and_then(|name| {
                let column = columns.iter().find(|column| column.name == *name)?;
                Some((name.clone(), column.column_type.clone()))
            }),
            conditions: self.quarantine(stream, &typed(dialect, columns))?,
            own_conditions: staged.conditions,
            raw: staged.raw,
            has_matches: extract.has_matches(),
            still_there: self.still_there(stream, extract, rows_before)?,
            origin_base: extract.origin_base,
            run: extract.run,
            later: None,
        };
        let mut counts = Counts { read: extract.read, rejected: extract.rejected, ..Counts::default() };
        let left = match &left_out {
            Some(rows) => self.insert_rejects(stream, extract, RejectKind::Merge, rows)?,
            None => 0,
        };
        counts.rejected += left + self.reject_staged(stream, &merge, extract, left)?;
        self.keep_source_rejects(stream, extract)?;
        self.allows_rejects(stream, extract, counts.rejected)?;
        let usable = counts.read - counts.rejected;
        if usable == 0 && !extract.tells_missing(stream) {
            return Ok(Merged { counts, change: Change::None, strategy: strategy_of(stream) });
        }
        if merge.key.is_empty() {
            return self.without_key(stream, &merge, extract, counts, rows_before);
        }
        if let Some(again) = &extract.again {
            merge.later = Some(self.landed_since(stream, &merge, columns, again)?);
        }
        let fills = rows_before == 0 && extract.again.is_none() && !self.has_tombstones(&merge)?;
        // In a database keys are keys: the index that is made of them will most likely agree.
        if fills
            && stream.database.is_some()
            && merge.still_there.is_none()
            && let Some(merged) = self.fill_distinct(&merge, physical, counts)?
        {
            return Ok(merged);
        }
        let sql = self.database.name(merge.find_duplicate_key())?;
        let dedupe = self.database.any(&sql)?;
        let winners = self.database.name(merge.winners(dedupe))?;
        if dedupe {
            let winning = self.database.count(&format!("select count(*) from {winners} w"))?;
            counts.duplicate = usable - winning;
        }
        if fills {
            let merged = self.fill(&merge, counts, &winners)?;
            self.database.analyze(&merge.target, false)?;
            return Ok(merged);
        }
        self.by_verdict(stream, &merge, extract, counts, &winners)
    }

    /// Fills an empty table.
    fn fill(&mut self, merge: &Merge<'_>, mut counts: Counts, winners: &str) -> Result<Merged, RunError> {
        let sql = self.database.name(merge.insert_initial(winners))?;
        counts.inserted = self.database.execute(&sql)?;
        counts.unchanged = counts.read - counts.rejected - counts.duplicate - counts.inserted;
        if let Some(sql) = merge.insert_initial_tombstones(winners).map_err(|error| self.database.bad_name(error))? {
            self.database.execute(&sql)?;
        }
        let change = if counts.inserted > 0 { Change::Everything } else { Change::None };
        Ok(Merged { counts, change, strategy: Strategy::Load })
    }

    /// Fills an empty table with rows of which no two should have one key, and leaves it to the index of the key to find out, which is
    /// made anyway: to look first takes as long as to write the rows. `None`, and nothing done, where there are such rows or no index
    /// can tell.
    fn fill_distinct(&mut self, merge: &Merge<'_>, physical: &str, counts: Counts) -> Result<Option<Merged>, RunError> {
        let Some((index, statement)) = self.distinct_index(merge, physical)? else { return Ok(None) };
        let winners = self.database.name(merge.winners(false))?;
        self.database.savepoint(FILLING)?;
        let filled = self.fill(merge, counts, &winners).and_then(|merged| {
            // A row that is not there because it is marked is not in the index.
            let sql = self.database.name(merge.find_marked_duplicate())?;
            if merged.counts.unchanged > 0 && self.database.any(&sql)? {
                return Ok(None);
            }
            self.database.execute(&statement)?;
            Ok(Some(merged))
        });
        let filled = match filled {
            Err(error) if error.is_duplicate() || error.is_limit_exceeded() => None,
            filled => filled?,
        };
        match filled {
            Some(_) => {
                self.indexed.insert(index);
                self.database.analyze(&merge.target, false)?;
            }
            None => self.database.rollback_to(FILLING)?,
        }
        self.database.release(FILLING)?;
        Ok(filled)
    }

    fn has_tombstones(&mut self, merge: &Merge<'_>) -> Result<bool, RunError> {
        match &merge.tombstones {
            Some(table) => self.database.any(&format!("select 1 from {table} limit 1")),
            None => Ok(false),
        }
    }

    /// The way of most runs: each row gets its verdict, and only what differs is written.
    fn by_verdict(
        &mut self,
        stream: &Stream,
        merge: &Merge<'_>,
        extract: &ExtractFiles,
        mut counts: Counts,
        winners: &str,
    ) -> Result<Merged, RunError> {
        let gone = self.gone(merge, stream, extract, winners)?;
        let gone = gone.as_deref();
        let verdicts = self.database.temporary("verdicts");
        let sql = self.database.name(merge.create_verdicts(&verdicts, winners))?;
        self.database.execute(&sql)?;
        self.database.analyze(&verdicts, true)?;
        let usable = counts.read - counts.rejected - counts.duplicate;
        let mut elsewhere = 0;
        for row in self.database.texts(&merge.count_verdicts(&verdicts))?.rows {
            let [Some(verdict), Some(number)] = row.as_slice() else { continue };
            let number: u64 = number.parse().unwrap_or_default();
            elsewhere += number;
            match verdict.as_str() {
                "insert" => counts.inserted += number,
                "update" => counts.updated += number,
                "delete" => counts.deleted_by_mark += number,
                "absent" => counts.unchanged += number,
                "older" => counts.duplicate += number,
                _ => elsewhere -= number,
            }
        }
        counts.unchanged += usable.saturating_sub(elsewhere);
        let before = self.database.temporary("before");
        let sql = self.database.name(merge.create_before(&before, &verdicts, gone))?;
        let touched = self.database.execute(&sql)?;
        if touched > 0 {
            let sql = self.database.name(merge.delete_touched(&verdicts, gone))?;
            let deleted = self.database.execute(&sql)?;
            counts.deleted_missing = deleted - counts.updated - counts.deleted_by_mark;
        }
        if counts.inserted + counts.updated > 0 {
            let sql = self.database.name(merge.insert_touched(&verdicts))?;
            self.database.execute(&sql)?;
        }
        for sql in merge.bury(&verdicts).map_err(|error| self.database.bad_name(error))? {
            self.database.execute(&sql)?;
        }
        let change = if counts.changed() {
            Change::Rows { before, after: self.database.name(merge.after_images(&verdicts))? }
        } else {
            Change::None
        };
        Ok(Merged { counts, change, strategy: strategy_of(stream) })
    }

    /// `append`, and `replace` as a bag.
    fn without_key(
        &mut self,
        stream: &Stream,
        merge: &Merge<'_>,
        extract: &ExtractFiles,
        mut counts: Counts,
        rows_before: u64,
    ) -> Result<Merged, RunError> {
        let usable = counts.read - counts.rejected;
        if stream.write_disposition == WriteDisposition::Replace && extract.complete && rows_before > 0 {
            let new = self.database.temporary("new");
            let rows = self.database.name(merge.as_target_rows())?;
            let rows = self.database.make_counted(&new, &format!("select * from {rows} r"))?;
            let contents = NewContents {
                old: merge.target.clone(),
                old_rows: RowIdentifier::of_table(self.database.dialect, false),
                part: None,
                new,
                rows,
                compared: None,
                columns: merge.columns.clone(),
                bookkeeping: vec![RUN_COLUMN, ORIGIN_COLUMN, RECORD_COLUMN],
                key: Vec::new(),
                sameness: Sameness::Identical,
                watched: true,
            };
            let (written, change) = self.apply_difference(contents)?;
            counts.inserted = written.inserted;
            counts.deleted_missing = written.deleted_missing;
            counts.unchanged = usable - written.inserted;
            return Ok(Merged { counts, change, strategy: Strategy::Replace });
        }
        let sql = self.database.name(merge.append())?;
        counts.inserted = self.database.execute(&sql)?;
        let first = rows_before == 0;
        if first {
            self.database.analyze(&merge.target, false)?;
        }
        let change = if counts.inserted == 0 {
            Change::None
        } else if first {
            Change::Everything
        } else {
            // Nothing is replaced by an append; the after images are the rows of this run's extracts.
            let before = self.database.temporary("before");
            self.database
                .execute(&format!("create temporary table {before} as select * from {} limit 0", merge.target))?;
            let after = format!(
                "(select * from {} where {RUN_COLUMN} = {} and {ORIGIN_COLUMN} >= {})",
                merge.target, extract.run, extract.origin_base
            );
            Change::Rows { before, after }
        };
        Ok(Merged { counts, change, strategy: if first { Strategy::Load } else { strategy_of(stream) } })
    }

    /// What landed with rows that are merged again, or since: without what lies in the rejects, and, of what is replayed in this run
    /// too, without what will be rejected again.
    fn landed_since(
        &mut self,
        stream: &Stream,
        merge: &Merge<'_>,
        columns: &[Column],
        again: &Again,
    ) -> Result<String, RunError> {
        let mut parts = Vec::new();
        for (extract, _) in &again.later {
            let staged = stage(&mut self.database, columns, extract)?;
            let fits: Vec<_> = staged.conditions.iter().map(|condition| format!(" and {}", condition.sql)).collect();
            let stage = format!("(select s.* from {} s where true{})", staged.relation, fits.concat());
            parts.push(self.database.name(merge.landed_rows(&stage, extract.origin_base))?);
        }
        let later = self.database.temporary("later");
        let dialect = self.database.dialect;
        let rejected = format!(
            "exists (select 1 from thalweg.rejects j where j.project = {} and j.kind = 'merge' and j.source = {} and j.stream = {} \
             and j.origin = l.{ORIGIN_COLUMN} and j.record = l.{RECORD_COLUMN} and (j.state = 'open' or (j.replayed_run = {} and \
             l._reason is not null)))",
            dialect.literal_text(self.ledger.project()),
            dialect.literal_text(&stream.source),
            dialect.literal_text(&stream.name),
            self.run
        );
        let rows = parts.join(" union all ");
        self.database
            .execute(&format!("create temporary table {later} as select l.* from ({rows}) l where not {rejected}"))?;
        Ok(later)
    }

    /// A relation of the rows that the warehouse cannot hold, as rejects; `None` where there is none. With a filter, those that it lets through.
    fn left_out(&mut self, left_out: &[LeftOut], filter: Option<&str>) -> Result<Option<String>, RunError> {
        let rows = unstorable::left_out(self.database.dialect, left_out).map_err(|error| {
            let message = format!("a row that cannot be stored cannot be told: {error}");
            self.database.error(WarehouseError::new(WarehouseErrorKind::Statement, message))
        })?;
        Ok(match (rows, filter) {
            (Some(rows), Some(filter)) => Some(format!("(select s.* from {rows} s where {filter})")),
            (rows, _) => rows,
        })
    }

    /// Keeps staged rows that must not be loaded: a NULL in the key, a quarantine test. Their number. What was counted while reading must
    /// lie in the landing: unchanged rows are what is left over later.
    fn reject_staged(
        &mut self,
        stream: &Stream,
        merge: &Merge<'_>,
        extract: &ExtractFiles,
        left_out: u64,
    ) -> Result<u64, RunError> {
        let sql = self.database.name(merge.count_staged())?;
        let (staged, rejected) = match self.database.counts(&sql)?.as_slice() {
            [staged, rejected] => (left_out + staged, *rejected),
            _ => (left_out, 0),
        };
        if staged + extract.rejected != extract.read {
            return Err(RunError::Unbalanced {
                table: stream.table.to_string(),
                equation: format!(
                    "{} records were read and {} of them rejected, {staged} lie in the landing",
                    extract.read, extract.rejected
                ),
            });
        }
        if rejected == 0 {
            return Ok(0);
        }
        let Some(select) = merge.rejected_rows().map_err(|error| self.database.bad_name(error))? else { return Ok(0) };
        let source = format!("(select r.*, null::bigint as byte_offset from ({select}) r)");
        self.insert_rejects(stream, extract, RejectKind::Merge, &source)
    }

    /// An error when more was rejected of a new extract than the stream allows. What was rejected while reading was counted there.
    fn allows_rejects(&mut self, stream: &Stream, extract: &ExtractFiles, rejected: u64) -> Result<(), RunError> {
        /// Rejects that are named.
        const NAMED: u64 = 3;
        let is_new = extract.run == self.run && extract.again.is_none();
        let Some(max) = stream.max_rejects.filter(|max| is_new && rejected > *max) else { return Ok(()) };
        let filter = RejectFilter {
            stream: Some(stream.table.to_string()),
            run: Some(self.run),
            limit: Some(NAMED),
            ..RejectFilter::default()
        };
        let first = self.ledger.rejects(self.database.connection, &filter);
        let first = first.map_err(|error| self.database.error(error))?.into_iter();
        let first = first.map(|named| format!("record {}: {}", named.reject.record, named.reject.reason));
        Err(RunError::Stopped(format!(
            "{}: more than {max} records were rejected (max_rejects), so nothing is loaded; first: {}",
            stream.table,
            first.collect::<Vec<_>>().join("; ")
        )))
    }

    /// Keeps the records that could not be read.
    fn keep_source_rejects(&mut self, stream: &Stream, extract: &ExtractFiles) -> Result<(), RunError> {
        let Some((file, number)) = &extract.rejects else { return Ok(()) };
        let name = self.database.stage_name();
        let column = |name: &str, column_type| StagedColumn { name: name.to_owned(), column_type, in_files: vec![0] };
        let columns = [
            column("byte_offset", ColumnType::BigInt),
            column("reason", ColumnType::Text),
            column("raw", ColumnType::Text),
        ];
        let left_out = self
            .database
            .connection
            .stage(&name, std::slice::from_ref(file), &columns)
            .map_err(|error| self.database.error(error))?;
        let mut kept = self.insert_rejects(stream, extract, RejectKind::Read, &name)?;
        if let Some(rows) = unstorable::rejected_records(self.database.dialect, &left_out) {
            kept += self.insert_rejects(stream, extract, RejectKind::Read, &rows)?;
        }
        if kept != *number {
            return Err(RunError::Unbalanced {
                table: stream.table.to_string(),
                equation: format!("{number} records were rejected while reading, {kept} lie in the rejects"),
            });
        }
        Ok(())
    }
}

/// How a stream's extracts usually reach its table.
fn strategy_of(stream: &Stream) -> Strategy {
    match stream.write_disposition {
        WriteDisposition::Merge => Strategy::Merge,
        WriteDisposition::Append => Strategy::Append,
        WriteDisposition::Replace => Strategy::Replace,
    }
}

fn quarantine_reason(test: &DataTest) -> String {
    format!("quarantined by test {}", test.name)
}

/// The columns a store table has once an extract with other columns is merged.
pub fn merged_columns(known: &[Column], extract: &[Column]) -> Vec<Column> {
    unify([known, extract])
}

impl Publication<'_> {
    /// Adds rows to `thalweg.rejects`; their number. `rows` has `_file`, `_record`, `byte_offset`, `reason`, `raw`.
    fn insert_rejects(
        &mut self,
        stream: &Stream,
        extract: &ExtractFiles,
        kind: RejectKind,
        rows: &str,
    ) -> Result<u64, RunError> {
        let table = stream.table.to_string();
        let source = RejectSource {
            run: self.run,
            source: &stream.source,
            stream: &stream.name,
            table_name: &table,
            origin_base: extract.origin_base,
            kind,
        };
        self.ledger
            .add_rejects_from(self.database.connection, rows, &source)
            .map_err(|error| self.database.error(error))
    }

    /// Forgets the staged rows of an extract that were rejected, before it is merged again.
    pub fn forget_rejects(&mut self, extract: &ExtractFiles) -> Result<(), RunError> {
        let origins = extract.origin_base..extract.origin_base + extract.files;
        self.ledger
            .forget_rejects(self.database.connection, origins, RejectKind::Merge)
            .map_err(|error| self.database.error(error))?;
        Ok(())
    }
}
