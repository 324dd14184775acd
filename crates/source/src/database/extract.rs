//! The extract of one stream out of a snapshot.

use std::collections::BTreeMap;

use thalweg_project::{ColumnType, DatabaseOptions, Deletes, SourceColumn, Stream, Table, WriteDisposition};

use super::columns::{ColumnPlan, PlannedColumn, plan};
use super::compare::{Differences, Found};
use super::cursor::{CursorKind, CursorPosition, Moments};
use super::keys::{self, KeyParts};
use super::pool::Pool;
use super::position::{self, Clock, DatabasePosition};
use super::ranges::{RangePlan, take_up, wanted_ranges};
use super::reading::{PartRead, ReadTask, Reading};
use super::rows::RowPlan;
use super::statement::{Comparison, Statement, compare, or_null};
use super::{Dialect, Safety, Summary};
use crate::{
    Column, Context, Extract, KeyListing, MATCHES_COLUMN, Note, Purpose, Sink, SourceError, SourceErrorKind,
    StreamRequest, Wanted,
};

/// How far before its position a run reads again where the stream does not say: clocks of programs that stamp rows themselves differ.
const LAG: i64 = 60_000_000;
/// The same where the open transactions of others cannot be seen.
const LAG_UNSEEN: i64 = 900_000_000;

/// What an extract has to do with.
pub struct Extraction<'a> {
    pub request: &'a StreamRequest<'a>,
    pub options: &'a DatabaseOptions,
    pub table: &'a Table,
    pub dialect: &'a dyn Dialect,
    pub pool: &'a Pool,
    pub context: &'a Context,
    pub sink: &'a dyn Sink,
    pub safety: &'a Safety,
    pub clock: &'a Clock,
    /// As in [`Moments`].
    pub oldest_open: i64,
    pub offset: i32,
    /// The greatest value of a cursor that is a number, before the snapshot was opened, and the time after it was read.
    pub mark: Option<(i64, i128)>,
    /// As in [`super::OpenSnapshot::versions`].
    pub version: Option<i64>,
}

/// The cursor of a stream.
struct Cursor<'c> {
    planned: &'c PlannedColumn,
    kind: CursorKind,
}

/// Which rows are read.
#[derive(Debug, Clone, PartialEq)]
enum Rows {
    /// The whole table.
    All,
    /// Those that a bound finds.
    Since(Option<i128>),
    /// Those between two bounds, the first included: each row once.
    Between(Option<i128>, i128),
    /// None: nothing is certain yet.
    None,
}

impl Extraction<'_> {
    /// Reads what is wanted.
    pub fn extract(&self) -> Result<Extract, SourceError> {
        let stream = self.request.stream;
        let before = DatabasePosition::read(&self.request.position);
        let columns = plan(self.table, stream, &self.request.known_columns, self.dialect)?;
        self.check_named_columns(&columns)?;
        let cursor = self.cursor(&columns)?;
        let moments = self.moments(&before);
        let mut notes = columns.notes.clone();
        if moments.set_back > 0 {
            let seconds = moments.set_back / 1_000_000;
            notes.push(Note::warning(format!(
                "the clock of the server was put back by about {seconds} s since the last run: rows are read again from that much earlier on"
            )));
        }
        let versions = self.by_versions(&before);
        match (&cursor, self.safety) {
            (Some(_), Safety::LagOnly(why)) if versions.is_some() => notes.push(Note::info(format!(
                "rows that commit late are found by the transactions that wrote them, for which the whole table is looked through: {why}"
            ))),
            (Some(_), Safety::LagOnly(why)) => notes.push(Note::warning(format!(
                "rows that commit late are only covered by the lag of {} s: {why}",
                moments.lag / 1_000_000
            ))),
            _ => {}
        }
        let whole = self.why_whole(&before, &columns, cursor.as_ref());
        // Without a cursor it is so each time.
        if let Some(why) = &whole
            && !before_first_load(&before)
            && (cursor.is_some() || self.request.wanted == Wanted::Everything)
        {
            notes.push(Note::info(format!("the whole table is read: {why}")));
        }
        let old = before.cursor.clone().filter(|_| whole.is_none()).unwrap_or_default();
        let next =
            cursor.as_ref().map(|cursor| Position { kind: cursor.kind, old: &old, moments: &moments, mark: self.mark });
        let rows = self.rows(whole.is_some(), cursor.as_ref(), &old, &moments)?;
        let mut read = self.read(&columns, cursor.as_ref(), &rows, &moments, versions.as_deref())?;
        let compared = match &self.request.comparison {
            Some(comparison) if rows != Rows::All => {
                Some(self.compare(&columns, comparison, PartRead::total(&read.parts).read, &mut notes)?)
            }
            _ => None,
        };
        if let Some(compared) = &compared {
            self.read_again(&columns, compared, &moments, &mut read)?;
        }
        read.parts.sort_by_key(|part| part.file);
        let files = read.parts.iter().map(PartRead::file).collect();
        let mut extract = Extract { files, deletes_confirmed: self.request.confirm_deletes, ..Extract::default() };
        let total = PartRead::total(&read.parts);
        (extract.read, extract.rejected) = (total.read, total.rejected);
        if total.left_out > 0 {
            let noun = if total.left_out == 1 { "value was" } else { "values were" };
            notes.push(Note::warning(format!(
                "{} {noun} left out, because the store's type cannot hold them (on_unrepresentable: null)",
                total.left_out
            )));
        }
        // The key of a rejected row is there all the same: only a listing of keys tells it from one that is gone.
        let tells_keys =
            (total.rejected == 0 && !read.resumed) || stream.write_disposition == WriteDisposition::Replace;
        extract.complete = rows == Rows::All && self.sees_deletes() && tells_keys;
        let mut after = DatabasePosition {
            definition: Some(stream.fingerprint()),
            cursor: next.map(|next| next.after(&rows, total.seen.max(self.seen_before(next.kind)))),
            version: self.version.filter(|_| cursor.is_some() && !self.appends()),
            ..before.clone()
        };
        let hides_keys = rows == Rows::All && self.sees_deletes() && !tells_keys;
        let now = Some(position::Compared { at: self.clock.server, ours: self.clock.ours });
        if let Some(compared) = compared {
            extract.keys = self.list(&columns, compared)?;
            after.keys.clone_from(&now);
        } else if hides_keys {
            keys::list(self, &columns, &[])?;
            extract.keys = Some(KeyListing { ranges: Vec::new() });
            after.keys.clone_from(&now);
        } else if extract.complete && matches!(self.options.deletes, Deletes::CompareKeys { .. }) {
            after.keys.clone_from(&now);
        }
        let purpose = self.request.comparison.as_ref().map(|comparison| comparison.purpose);
        if purpose > Some(Purpose::Deletes) || (rows == Rows::All && self.options.reconcile.is_some()) {
            after.reconciled = now;
        }
        // When a value was seen first decides when it is certain.
        let seen = |position: &DatabasePosition| position.cursor.as_ref().and_then(|cursor| cursor.seen);
        let is_waiting = after.cursor.as_ref().is_some_and(|cursor| !cursor.marks.is_empty())
            || (self.appends() && seen(&after) != seen(&before));
        if !extract.is_empty()
            || is_waiting
            || after.change_from(&before).keys().any(|entry| entry != "cursor" && entry != "version")
            || before.clock.is_none()
        {
            after.clock = Some(self.clock.clone());
        } else {
            // Nothing happened: a position that only follows the clock is no reason to write anything.
            after = before.clone();
        }
        extract.position = after.change_from(&before);
        extract.notes = notes;
        Ok(extract)
    }

    fn stream(&self) -> &Stream {
        self.request.stream
    }

    fn moments(&self, before: &DatabasePosition) -> Moments {
        let lag = self.options.lag.map(|lag| i64::try_from(lag.as_micros()).unwrap_or(i64::MAX / 4));
        let lag = lag.unwrap_or(match self.safety {
            Safety::LagOnly(_) if self.by_versions(before).is_none() => LAG_UNSEEN,
            _ => LAG,
        });
        Moments {
            now: self.clock.server,
            oldest_open: self.oldest_open,
            offset: self.offset,
            set_back: before.clock.as_ref().map_or(0, |before| self.clock.set_back_since(before)),
            lag,
        }
    }

    /// The greatest stamp of a stream that is appended to, which was there before the snapshot.
    fn seen_before(&self, kind: CursorKind) -> Option<i128> {
        self.mark.map(|(_, value)| value).filter(|_| kind.is_time() && self.appends())
    }

    fn appends(&self) -> bool {
        self.stream().write_disposition == WriteDisposition::Append
    }

    /// A condition that finds what was not visible in the last snapshot, where open transactions cannot be seen, now or then.
    fn by_versions(&self, before: &DatabasePosition) -> Option<String> {
        /// A version counts on for so long until it comes again.
        const AROUND: i64 = 1 << 31;
        /// Far fewer transactions than this write between the beginning of a run and its end.
        const MARGIN: i64 = 1 << 24;
        let unseen = |clock: &Clock| clock.safety.as_deref().is_some_and(|safety| safety != "certain");
        let is_unseen = matches!(self.safety, Safety::LagOnly(_)) || before.clock.as_ref().is_some_and(unseen);
        let (Some(then), Some(now)) = (before.version, self.version) else { return None };
        if !is_unseen || self.appends() || !(then..then + AROUND - MARGIN).contains(&now) {
            return None;
        }
        self.dialect.written_since(then)
    }

    /// A column, key, cursor and mark of deletion must be there.
    fn check_named_columns(&self, columns: &ColumnPlan) -> Result<(), SourceError> {
        let stream = self.stream();
        if columns.columns.is_empty() {
            let (table, all) = (&self.table.table, &self.table.columns);
            let all: Vec<&str> = all.iter().map(|column| column.name.as_str()).collect();
            let why = match all.is_empty() {
                true => "it has no column that can be read".to_owned(),
                false => {
                    format!("`select: [{}]` leaves no column; there are {}", stream.select.join(", "), all.join(", "))
                }
            };
            return Err(SourceError::new(SourceErrorKind::Data, format!("table {table}: {why}")));
        }
        let named = stream.primary_key.iter().map(|name| ("primary_key", name));
        let named = named.chain(self.options.cursor.iter().map(|name| ("cursor", name)));
        let mut named = named.chain(stream.soft_delete.iter().map(|name| ("soft_delete", name)));
        let Some((setting, name)) = named.find(|(_, name)| columns.find(name).is_none()) else { return Ok(()) };
        let names: Vec<&str> = columns.columns.iter().map(|planned| planned.column.name.as_str()).collect();
        let near = thalweg_project::diagnostic::nearest(name, names.iter().copied());
        let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        Err(SourceError::new(
            SourceErrorKind::Data,
            format!(
                "table {}: no column is called {name}, as `{setting}` says; there are {}{near}",
                self.table.table,
                names.join(", ")
            ),
        ))
    }

    fn cursor<'c>(&self, columns: &'c ColumnPlan) -> Result<Option<Cursor<'c>>, SourceError> {
        let Some(planned) = self.options.cursor.as_ref().and_then(|name| columns.find(name)) else { return Ok(None) };
        match CursorKind::of(&planned.source) {
            Some(kind) => Ok(Some(Cursor { planned, kind })),
            None => Err(SourceError::new(
                SourceErrorKind::Denied,
                format!(
                    "table {}: the cursor {} is {}, whose order does not follow time: take a timestamp, a date or a whole number, or none",
                    self.table.table, planned.column.name, planned.source.engine_type
                ),
            )),
        }
    }

    /// Why the whole table is read, if it is.
    fn why_whole(
        &self,
        before: &DatabasePosition,
        columns: &ColumnPlan,
        cursor: Option<&Cursor<'_>>,
    ) -> Option<String> {
        if self.request.wanted == Wanted::Everything {
            return Some("asked for with --full-refresh".to_owned());
        }
        if cursor.is_none() {
            return Some("the stream has no cursor".to_owned());
        }
        if before.definition.is_none() || before.cursor.is_none() {
            return Some("first load".to_owned());
        }
        if before.definition != Some(self.stream().fingerprint()) {
            return Some("the definition of the stream changed".to_owned());
        }
        if self.stream().write_disposition == WriteDisposition::Merge && !columns.added.is_empty() {
            return Some(format!("the new column {} is filled for rows read earlier", columns.added.join(", ")));
        }
        None
    }

    /// Which rows are read.
    fn rows(
        &self,
        whole: bool,
        cursor: Option<&Cursor<'_>>,
        old: &CursorPosition,
        moments: &Moments,
    ) -> Result<Rows, SourceError> {
        let Some(cursor) = cursor else { return Ok(Rows::All) };
        let initial = self.value_of(cursor, "initial_value", self.options.initial_value.as_deref())?;
        let from = match &self.request.wanted {
            Wanted::From(text) => self.value_of(cursor, "--from", Some(text))?,
            _ => None,
        };
        if self.stream().write_disposition == WriteDisposition::Append {
            // Each row must come once: only what is certain is read.
            let seen = self.seen_before(cursor.kind);
            let next = old.after(cursor.kind, moments, seen, self.mark);
            let Some(upper) = next.value else { return Ok(Rows::None) };
            // The last value comes when nothing else had it for as long as clocks may differ: until then more rows may get it.
            // Whatever is open began after it was seen, and so stamps later.
            let calm = Moments { now: moments.oldest_open, ..*moments };
            let is_past = next.seen.is_some() && old.after(cursor.kind, &calm, seen, self.mark).value == next.seen;
            let is_settled = is_past && moments.oldest_open - next.seen_at >= moments.lag.max(1_000_000);
            let upper = match (cursor.kind.is_time(), next.seen) {
                (true, Some(seen)) if is_settled => seen + 1,
                (true, _) => upper - cursor.kind.span(moments.lag),
                (false, _) => upper,
            };
            return Ok(Rows::Between(old.value.max(initial), upper));
        }
        if whole {
            return Ok(match initial {
                None => Rows::All,
                initial => Rows::Since(initial),
            });
        }
        let lower = match (old.lower(cursor.kind, moments), from) {
            (Some(lower), Some(from)) => Some(lower.min(from)),
            (lower, _) => lower,
        };
        Ok(match lower.max(initial) {
            None => Rows::All,
            lower => Rows::Since(lower),
        })
    }

    fn value_of(&self, cursor: &Cursor<'_>, setting: &str, text: Option<&str>) -> Result<Option<i128>, SourceError> {
        let Some(text) = text else { return Ok(None) };
        match cursor.kind.parse(text) {
            Some(value) => Ok(Some(value)),
            None => Err(SourceError::new(
                SourceErrorKind::Denied,
                format!(
                    "stream {}: `{setting}` is `{text}`, which is no value of the cursor {} ({})",
                    self.stream().name,
                    cursor.planned.column.name,
                    cursor.planned.source.engine_type
                ),
            )),
        }
    }

    /// Reads the rows, in parts of which each is a file of the extract.
    fn read(
        &self,
        columns: &ColumnPlan,
        cursor: Option<&Cursor<'_>>,
        rows: &Rows,
        moments: &Moments,
        versions: Option<&str>,
    ) -> Result<RowsRead, SourceError> {
        let condition = match (rows, cursor) {
            (Rows::None, _) => {
                // The table is known by its columns all the same.
                if self.request.known_columns.is_empty() {
                    self.sink.part(&columns.landing_columns())?.finish()?;
                }
                return Ok(RowsRead::default());
            }
            (Rows::All, _) | (Rows::Since(None), _) | (_, None) => None,
            (Rows::Since(Some(lower)), Some(cursor)) => Some(or_written(self.since(cursor, *lower), versions)),
            (Rows::Between(lower, upper), Some(cursor)) => Some(self.between(cursor, *lower, *upper)),
        };
        // A row that no longer satisfies `where` must be seen to be deleted; one that never came need not be.
        let flagged = matches!(rows, Rows::Since(_)) && self.stream().write_disposition == WriteDisposition::Merge;
        let even_empty = matches!(rows, Rows::All) || self.request.known_columns.is_empty();
        let (statement, plan) = self.statement(columns, cursor, moments, condition, flagged, even_empty);
        let reading = Reading { pool: self.pool, context: self.context, sink: self.sink };
        let mut read = match rows {
            Rows::All => self.in_ranges(&reading, columns, cursor, moments, &statement, &plan)?,
            _ => None,
        };
        if read.is_none() {
            let task = ReadTask { name: self.table.table.to_string(), condition: None, unit: None, file: 0 };
            read = Some(RowsRead { parts: reading.run(&statement, &plan, &[task])?, resumed: false });
        }
        Ok(read.unwrap_or_default())
    }

    /// A large table in ranges of its key; `None` for any other.
    fn in_ranges(
        &self,
        reading: &Reading<'_>,
        columns: &ColumnPlan,
        cursor: Option<&Cursor<'_>>,
        moments: &Moments,
        statement: &Statement<'_>,
        row_plan: &RowPlan,
    ) -> Result<Option<RowsRead>, SourceError> {
        let wanted = wanted_ranges(self.table);
        let Some((_, leading)) = key_columns(self.stream(), columns).into_iter().next() else { return Ok(None) };
        if wanted < 2 {
            return Ok(None);
        }
        let layout: Vec<_> =
            statement.columns().iter().map(|column| (column.name.clone(), column.column_type.clone())).collect();
        let boundaries = {
            let mut connection = self.pool.lend(self.context)?;
            let found = connection.boundaries(self.table, leading, wanted);
            connection.watch(found)?
        };
        let fresh = RangePlan::new(leading, &boundaries, layout.clone(), moments, self.mark, self.version);
        let left = self.sink.plan_units(&plan_json(&fresh)?)?;
        let taken_up = left.as_ref().and_then(|left| take_up(left, &layout)).filter(|_| cursor.is_some());
        let (plan, finished) = match taken_up {
            Some((plan, finished)) => (plan, finished),
            None => {
                if left.is_some() {
                    self.sink.forget_units()?;
                    self.sink.plan_units(&plan_json(&fresh)?)?;
                }
                (fresh, BTreeMap::new())
            }
        };
        let Some(conditions) = plan.conditions(self.dialect, leading) else {
            self.sink.forget_units()?;
            return Ok(None);
        };
        let name = &self.table.table;
        let place = |unit: usize| i32::try_from(unit).unwrap_or(i32::MAX);
        let tasks: Vec<ReadTask> = (0..conditions.len())
            .filter(|unit| !finished.contains_key(unit))
            .map(|unit| ReadTask {
                name: format!("{name} range {} of {}", unit + 1, conditions.len()),
                condition: Some(conditions[unit].clone()),
                unit: Some(unit),
                file: place(unit),
            })
            .collect();
        let mut parts = reading.run(statement, row_plan, &tasks)?;
        let resumed = !finished.is_empty();
        let seen = finished.values().filter_map(|counts| counts.seen).max();
        parts.extend(finished.into_iter().map(|(unit, counts)| PartRead {
            file: place(unit),
            name: format!("{name} range {} of {}", unit + 1, conditions.len()),
            counts,
        }));
        if let (true, Some(cursor)) = (resumed, cursor) {
            let lower = plan.changed_since(cursor.kind, seen);
            let written = plan.version.and_then(|version| self.dialect.written_since(version));
            let condition = lower.map(|lower| or_written(self.since(cursor, lower), written.as_deref()));
            let (statement, row_plan) = self.statement(columns, Some(cursor), moments, condition, true, false);
            let file = place(conditions.len());
            let task = ReadTask { name: format!("{name} changed meanwhile"), condition: None, unit: None, file };
            parts.extend(reading.run(&statement, &row_plan, &[task])?);
        }
        Ok(Some(RowsRead { parts, resumed }))
    }

    /// The statement for rows of the table and what becomes of them. With `flagged`, rows that do not satisfy `where` come too, and say so.
    fn statement(
        &self,
        columns: &ColumnPlan,
        cursor: Option<&Cursor<'_>>,
        moments: &Moments,
        condition: Option<String>,
        flagged: bool,
        even_empty: bool,
    ) -> (Statement<'_>, RowPlan) {
        let mut statement = Statement::new(self.dialect, self.table);
        let mut landing = columns.landing_columns();
        for planned in &columns.columns {
            statement.column(&planned.source);
        }
        match &self.options.filter {
            Some(filter) if flagged => {
                statement.flag(filter, MATCHES_COLUMN);
                landing.push(Column::new(MATCHES_COLUMN, MATCHES_COLUMN, ColumnType::Boolean));
            }
            Some(filter) => statement.only(filter.clone()),
            None => {}
        }
        for refused in &columns.refused {
            statement.column(&refused.source);
        }
        if let Some(condition) = condition {
            statement.only(condition);
        }
        let place = |cursor: &Cursor<'_>| {
            let place = columns.columns.iter().position(|planned| planned.column.name == cursor.planned.column.name)?;
            Some((place, cursor.kind, cursor.kind.last_trusted(moments.now)))
        };
        let plan = RowPlan {
            columns: landing,
            refused: columns.refused.iter().map(|planned| planned.column.name.clone()).collect(),
            cursor: cursor.and_then(place),
            on_unrepresentable: self.options.on_unrepresentable,
            even_empty,
        };
        (statement, plan)
    }

    /// The condition for rows that are not before `initial_value`.
    pub(super) fn since_initial(&self, columns: &ColumnPlan) -> Option<String> {
        // What is no cursor or no value of it was told before.
        let cursor = self.cursor(columns).ok().flatten()?;
        let initial = self.value_of(&cursor, "initial_value", self.options.initial_value.as_deref()).ok().flatten()?;
        Some(self.since(&cursor, initial))
    }

    fn since(&self, cursor: &Cursor<'_>, lower: i128) -> String {
        let column = &cursor.planned.source;
        or_null(self.dialect, column, compare(self.dialect, column, cursor.kind, Comparison::From, lower))
    }

    fn between(&self, cursor: &Cursor<'_>, lower: Option<i128>, upper: i128) -> String {
        // A number that was handed out is certain itself; of a moment only what lies before it is.
        let (from, to) = if cursor.kind.is_time() {
            (Comparison::From, Comparison::Below)
        } else {
            (Comparison::Above, Comparison::UpTo)
        };
        let column = &cursor.planned.source;
        let upper = compare(self.dialect, column, cursor.kind, to, upper);
        match lower {
            Some(lower) => format!("{} and {upper}", compare(self.dialect, column, cursor.kind, from, lower)),
            None => upper,
        }
    }

    /// Whether a read of the whole table also tells what is gone.
    fn sees_deletes(&self) -> bool {
        match self.stream().write_disposition {
            WriteDisposition::Replace => true,
            WriteDisposition::Append => false,
            WriteDisposition::Merge => {
                self.options.deletes != Deletes::None || self.request.wanted == Wanted::Everything
            }
        }
    }

    /// Where the source differs from the store. So many `changed` rows were found by the cursor.
    fn compare<'c>(
        &'c self,
        columns: &ColumnPlan,
        comparison: &'c crate::Comparison,
        changed: u64,
        notes: &mut Vec<Note>,
    ) -> Result<Compared<'c>, SourceError> {
        // Where some rows of each chunk changed, one of them came or went: that chunks differ need not be found out.
        let expects = |chunks: usize| changed > 8 * chunks as u64;
        let purpose = comparison.purpose;
        if let Some(rows) = &comparison.rows {
            if let Some(found) = self.differences(columns, rows, None, expects)? {
                return Ok(Compared { purpose, found, summary: rows, keys: None });
            }
            notes.push(Note::warning(
                "the values of source and store are not compared this time, only their keys: columns are gone, or have other types than \
                 in the store; `thalweg load --full-refresh` reads the table anew",
            ));
        }
        let (keys, summary) = (KeyParts::new(self, columns), &comparison.keys);
        let found = self.differences(columns, summary, Some(&keys), expects)?;
        let found = found.unwrap_or(Found { differences: Differences::Everywhere, listed: None });
        Ok(Compared { purpose, found, summary, keys: Some(keys) })
    }

    /// The keys where source and store differ: those that were listed on the way, or they are listed now.
    fn list(&self, columns: &ColumnPlan, compared: Compared<'_>) -> Result<Option<KeyListing>, SourceError> {
        if compared.found.differences == Differences::Nowhere {
            return Ok(None);
        }
        if let (Some(keys), Some(listed)) = (compared.keys, &compared.found.listed) {
            keys.finish()?;
            return Ok(Some(KeyListing { ranges: compared.summary.key_ranges(listed) }));
        }
        let conditions = self.conditions(columns, &compared.found.differences, compared.summary);
        keys::list(self, columns, &conditions)?;
        Ok(Some(compared.found.differences.listing(compared.summary)))
    }

    fn conditions(&self, columns: &ColumnPlan, differences: &Differences, summary: &Summary) -> Vec<String> {
        let leading = key_columns(self.stream(), columns).into_iter().next();
        let leading = leading.map(|(_, source)| source);
        leading.map_or_else(Vec::new, |leading| differences.conditions(self.dialect, summary, leading))
    }

    /// Where source and store are to be made the same, reads the rows again in which they differ.
    fn read_again(
        &self,
        columns: &ColumnPlan,
        compared: &Compared<'_>,
        moments: &Moments,
        read: &mut RowsRead,
    ) -> Result<(), SourceError> {
        let differences = &compared.found.differences;
        if compared.purpose == Purpose::Deletes || *differences == Differences::Nowhere {
            return Ok(());
        }
        let (mut statement, plan) = self.statement(columns, None, moments, None, false, false);
        statement.only_all(&self.rows_of_the_store(columns));
        let conditions = self.conditions(columns, differences, compared.summary);
        let mut conditions: Vec<Option<String>> = conditions.into_iter().map(Some).collect();
        if conditions.is_empty() {
            conditions.push(None);
        }
        let next = read.parts.iter().map(|part| part.file + 1).max().unwrap_or(0);
        let tasks: Vec<ReadTask> = conditions
            .into_iter()
            .zip(next..)
            .map(|(condition, file)| ReadTask {
                name: format!("{} compared, part {}", self.table.table, file - next + 1),
                condition,
                unit: None,
                file,
            })
            .collect();
        let reading = Reading { pool: self.pool, context: self.context, sink: self.sink };
        read.parts.extend(reading.run(&statement, &plan, &tasks)?);
        Ok(())
    }
}

/// A comparison that was made.
struct Compared<'c> {
    purpose: Purpose,
    found: Found,
    summary: &'c Summary,
    /// The keys that were listed on the way.
    keys: Option<KeyParts<'c>>,
}

/// What a cursor finds, and what was written by certain transactions whatever its cursor says.
fn or_written(found: String, written: Option<&str>) -> String {
    match written {
        Some(written) => format!("({found}) or {written}"),
        None => found,
    }
}

fn before_first_load(position: &DatabasePosition) -> bool {
    position.definition.is_none()
}

/// What was read of a table.
#[derive(Default)]
struct RowsRead {
    parts: Vec<PartRead>,
    /// Parts of it were read in a snapshot that is gone.
    resumed: bool,
}

fn plan_json(plan: &RangePlan) -> Result<serde_json::Value, SourceError> {
    serde_json::to_value(plan).map_err(|error| super::rows::fault(&error))
}

/// How a position moves.
struct Position<'p> {
    kind: CursorKind,
    old: &'p CursorPosition,
    moments: &'p Moments,
    mark: Option<(i64, i128)>,
}

impl Position<'_> {
    fn after(&self, rows: &Rows, seen: Option<i128>) -> CursorPosition {
        let next = self.old.after(self.kind, self.moments, seen, self.mark);
        match rows {
            // What is appended is read up to a bound, and then that is the position.
            Rows::Between(_, upper) => {
                CursorPosition { value: Some(*upper), shown: Some(self.kind.show(*upper)), ..next }
            }
            Rows::None => CursorPosition { value: self.old.value, shown: self.old.shown.clone(), ..next },
            Rows::All | Rows::Since(_) => next,
        }
    }
}

/// Columns of a key.
pub fn key_columns<'c>(stream: &Stream, columns: &'c ColumnPlan) -> Vec<(&'c Column, &'c SourceColumn)> {
    let found = stream.primary_key.iter().filter_map(|name| columns.find(name));
    found.map(|planned| (&planned.column, &planned.source)).collect()
}
