//! Bringing a store table up to date: what is new, or everything that landed.

use std::path::PathBuf;

use thalweg_project::{ColumnType, Stream, TableName, WriteDisposition};
use thalweg_source::landing::{Manifest, read_rejects, unify};
use thalweg_source::{Column, Extract};
use thalweg_sql::statement::relation::{ORIGIN_COLUMN, RECORD_COLUMN, RUN_COLUMN};

use crate::change::Change;
use crate::error::RunError;
use crate::event::Event;
use crate::extract::stream_name;
use crate::outcome::{Counts, FailedStream, StepOutcome, Strategy};
use crate::publish::Publication;
use crate::publish::missing::ListedKeys;
use crate::publish::physical::tombstones_name;
use crate::publish::staging::wanted_columns;
use crate::publish::store::{Again, ExtractFiles, merged_columns};
use crate::table_state::{StateColumn, TableKind, TableState, typed};

/// What is to be done with a stream's table.
pub struct StreamWork<'a> {
    /// The stream.
    pub stream: &'a Stream,
    /// `store` or `seed`.
    pub kind: TableKind,
    /// What the table is made by.
    pub fingerprint: String,
    /// What was extracted now, and its folder.
    pub landed: Option<(&'a Manifest, PathBuf)>,
    /// What was extracted now are rows of an older extract.
    pub again: Option<Again>,
    /// Everything that landed and was published before, in order, when the table is to be rebuilt.
    pub rebuild: Option<Rebuild>,
    /// Why nothing was extracted, if that failed.
    pub failed: Option<String>,
}

/// The extracts a table is rebuilt from.
pub struct Rebuild {
    /// Why.
    pub reason: String,
    /// The extracts, oldest first, each with its columns.
    pub extracts: Vec<(ExtractFiles, Vec<Column>)>,
}

impl Publication<'_> {
    /// The `_origin` of the first of so many files.
    fn number_extract(&mut self, files: usize) -> Result<i64, RunError> {
        let first = match self.next_extract {
            Some(next) => next,
            None => {
                let next = self.ledger.next_extract(&mut *self.database.connection);
                next.map_err(|error| self.database.error(error))?
            }
        };
        self.next_extract = Some(first + i64::try_from(files.max(1)).unwrap_or(1));
        Ok(first)
    }

    /// Does the work on one stream's table. The `_origin` of file 0 of a new extract, if there was one.
    pub fn refresh_stream(&mut self, work: StreamWork<'_>) -> Result<Option<i64>, RunError> {
        let table = &work.stream.table;
        self.database.about(table.to_string());
        let started = std::time::Instant::now();
        let state = self.tables.get(table).cloned();
        let rows_before = state.as_ref().map_or(0, |state| state.rows);
        let mut step = StepOutcome {
            table: table.to_string(),
            kind: work.kind.word().into(),
            rows_before,
            rows_after: rows_before,
            ..StepOutcome::default()
        };
        if let Some(message) = &work.failed {
            step.strategy = Strategy::Kept;
            step.reason.clone_from(message);
            self.finish_step(step)?;
            return Ok(None);
        }
        let news = work.landed.as_ref().filter(|(manifest, _)| {
            let extract = &manifest.extract;
            match &state {
                // An empty delivery makes a table where it says what columns there are.
                None => extract.read > 0 || !manifest.columns.is_empty(),
                Some(_) => extract.read > 0 || extract.complete || extract.keys.is_some(),
            }
        });
        // Where nothing landed there is nothing to rebuild from, and what there is stays.
        let rebuilds = work.rebuild.as_ref().is_some_and(|rebuild| !rebuild.extracts.is_empty() || news.is_some());
        if let (false, Some(rebuild), Some(_)) = (rebuilds, &work.rebuild, &state) {
            step.strategy = Strategy::Kept;
            let because = rebuild.reason.trim_end_matches("; rebuilt from landing");
            step.reason = format!("{because}, and nothing lies in the landing to rebuild it from");
            self.finish_step(step)?;
            return Ok(None);
        }
        if news.is_none() && !rebuilds {
            step.strategy = if state.is_some() { Strategy::Unchanged } else { Strategy::Kept };
            step.reason = if state.is_some() { "nothing new" } else { "nothing to read so far" }.into();
            self.finish_step(step)?;
            return Ok(None);
        }
        self.observer.event(&Event::StepStarted { table: table.to_string() });
        let mut fresh = None;
        if let Some((manifest, folder)) = news {
            let base = match &work.again {
                Some(again) => again.origin_base,
                None => self.number_extract(manifest.extract.files.len())?,
            };
            let mut files = extract_files(manifest, folder, base);
            files.run = self.run;
            files.again.clone_from(&work.again);
            files.complete &= files.again.is_none();
            fresh = Some((files, manifest.columns.clone()));
        }
        let base = fresh.as_ref().map(|(files, _)| files.origin_base);
        let (mut counts, mut change, mut strategy) = (Counts::default(), Change::None, Strategy::Load);
        let (physical, columns, created_run);
        if let Some(rebuild) = work.rebuild {
            step.reason = rebuild.reason;
            // Rows that were diverted are among what landed.
            let fresh = fresh.filter(|(files, _)| files.again.as_ref().is_none_or(|again| again.filter.is_none()));
            let extracts = in_place(rebuild.extracts.into_iter().chain(fresh));
            columns = wanted_columns(work.stream, unify(extracts.iter().map(|(_, columns)| &columns[..])));
            if let Some(message) = self.unfit(work.stream, work.landed.as_ref(), &columns) {
                self.refuse(work.stream, step, message)?;
                return Ok(None);
            }
            physical = self.free_name(table, state.as_ref());
            created_run = self.run;
            self.create(work.stream, &physical, &columns)?;
            step.rows_before = 0;
            let (mut rows, made) = (0, self.database.made());
            for (extract, _) in &extracts {
                self.forget_rejects(extract)?;
                let merged = self.merge_extract(work.stream, &physical, &columns, extract, rows)?;
                counts.add(&merged.counts);
                rows = self.rows_after(&physical, rows, &merged.counts)?;
                self.database.drop_since(&made)?;
            }
            change = Change::Everything;
            self.publish_view(table, &physical, &typed(self.database.dialect, &columns))?;
            self.break_log(table)?;
            if let Some(state) = &state {
                self.superseded.push(state.physical.clone());
            }
        } else {
            let known = state.as_ref().map(TableState::source_columns).unwrap_or_default();
            let Some((mut extract, new_columns)) = fresh else { return Ok(None) };
            columns = merged_columns(&known, &new_columns);
            if let Some(state) = &state
                && let Some(message) =
                    self.refuses_deletes(work.stream, &state.physical, &columns, &mut extract, rows_before)?
            {
                self.refuse(work.stream, step, message)?;
                return Ok(None);
            }
            if let Some(message) = self.unfit(work.stream, work.landed.as_ref(), &columns) {
                self.refuse(work.stream, step, message)?;
                return Ok(None);
            }
            match &state {
                Some(state) => {
                    if alike(&known, &columns) {
                        (physical, created_run) = (state.physical.clone(), state.created_run);
                    } else {
                        change = Change::Everything;
                        self.break_log(table)?;
                        (physical, created_run) = self.with_columns(work.stream, state, &known, &columns)?;
                        self.publish_view(table, &physical, &typed(self.database.dialect, &columns))?;
                    }
                }
                None => {
                    physical = self.physical_name(table);
                    created_run = self.run;
                    self.create(work.stream, &physical, &columns)?;
                    self.publish_view(table, &physical, &typed(self.database.dialect, &columns))?;
                    change = Change::Everything;
                }
            }
            let merged = self.merge_extract(work.stream, &physical, &columns, &extract, rows_before)?;
            counts.add(&merged.counts);
            strategy = merged.strategy;
            if change == Change::None {
                change = merged.change;
                let typed = typed(self.database.dialect, &columns);
                self.log_change(table, &physical, &typed, &change, merged.counts.replaced())?;
            }
            step.reason = match (&state, work.kind) {
                (None, _) => "first load".into(),
                (Some(_), TableKind::Seed) => "read anew".into(),
                (Some(_), _) => "new records".into(),
            };
        }
        if let Some(state) = state.as_ref().filter(|_| work.kind == TableKind::Store) {
            self.note_types(work.stream, &state.source_columns(), &columns);
        }
        step.strategy = strategy;
        step.counts = counts;
        step.rows_after = self.rows_after(&physical, step.rows_before, &step.counts)?;
        step.seconds = started.elapsed().as_secs_f64();
        // Rows of a database are read again to be sure of them. When they are as they were, nothing happened that anybody could see.
        if work.stream.database.is_some() && state.is_some() && !change.any() && step.counts.rejected == 0 {
            step.reason = "nothing changed".into();
            self.finish_step(step)?;
            return Ok(None);
        }
        let changed_run = match (&state, change.any()) {
            (Some(state), false) => state.changed_run,
            _ => self.run,
        };
        let new_state = TableState {
            kind: work.kind,
            physical,
            fingerprint: work.fingerprint,
            columns: columns.iter().map(StateColumn::from_column).collect(),
            rows: step.rows_after,
            changed_run,
            refreshed_run: self.run,
            created_run,
        };
        self.put_table(table, new_state);
        self.changes.insert(table.clone(), change);
        self.finish_step(step)?;
        Ok(base)
    }

    /// What was extracted is not taken: the table stays, and as the stream's position does, too, it will be read again.
    fn refuse(&mut self, stream: &Stream, mut step: StepOutcome, message: String) -> Result<(), RunError> {
        step.strategy = Strategy::Kept;
        step.reason.clone_from(&message);
        self.refused.push(FailedStream { stream: stream_name(stream), table: stream.table.to_string(), message });
        self.finish_step(step)
    }

    /// Why columns cannot be those of a table here: there is none, or one has a name that the engine does not take.
    fn unfit(&self, stream: &Stream, landed: Option<&(&Manifest, PathBuf)>, columns: &[Column]) -> Option<String> {
        if columns.is_empty() {
            return Some(without_columns(stream, landed));
        }
        let quoted = |column: &Column| self.database.dialect.quote_identifier(&column.name);
        let column = columns.iter().find(|column| quoted(column).is_err())?;
        let error = quoted(column).err()?;
        Some(format!(
            "{error} at the source, or leave the column out with `select: [\"-{}\"]`; nothing is loaded",
            column.name
        ))
    }

    /// Tells which columns have another type from now on.
    fn note_types(&mut self, stream: &Stream, before: &[Column], now: &[Column]) {
        for old in before.iter().filter(|old| !old.undecided) {
            let Some(new) = now.iter().find(|new| new.name == old.name && new.column_type != old.column_type) else {
                continue;
            };
            let mut message = format!("column {} was {}, and is {} now", old.name, old.column_type, new.column_type);
            let orders = stream.sequence_by.as_ref() == Some(&old.name) && new.column_type == ColumnType::Text;
            if orders {
                message.push_str("; rows are put in order by it as a text");
            }
            self.note(stream.table.to_string(), orders, message);
        }
    }

    /// A name for a physical table; one run may rebuild a table twice when it replays several extracts.
    fn free_name(&self, table: &TableName, state: Option<&TableState>) -> String {
        let name = self.physical_name(table);
        match state {
            Some(state) if state.physical.starts_with(&name) => format!("{}x", state.physical),
            _ => name,
        }
    }

    /// Rows of a physical table that had so many before, by the counts of what was done. Where these do not add up, it is counted.
    pub fn rows_after(&mut self, physical: &str, before: u64, counts: &Counts) -> Result<u64, RunError> {
        let reckoned = (before + counts.inserted).checked_sub(counts.deleted_by_mark + counts.deleted_missing);
        match reckoned {
            Some(rows) => Ok(rows),
            None => {
                let quoted = self.physical(physical)?;
                self.database.count(&format!("select count(*) from {quoted}"))
            }
        }
    }

    fn create(&mut self, stream: &Stream, physical: &str, columns: &[Column]) -> Result<(), RunError> {
        self.claim(&stream.table)?;
        let types = typed(self.database.dialect, columns);
        self.create_store_table(physical, &types)?;
        if keeps_tombstones(stream) {
            let wanted = typed(self.database.dialect, &tombstone_columns(stream, columns));
            let definitions = self.definitions(&wanted)?.join(", ");
            let table = self.physical(&tombstones_name(physical))?;
            self.database.execute(&format!("create table {table} ({definitions})"))?;
        }
        Ok(())
    }

    /// Gives a store table more columns and wider types: the physical table that has them, and since which run there is one of its name. Where
    /// nobody could read the table any more until the commit, its rows move to a new one.
    fn with_columns(
        &mut self,
        stream: &Stream,
        state: &TableState,
        known: &[Column],
        wanted: &[Column],
    ) -> Result<(String, i64), RunError> {
        self.definitions_changed = true;
        let tombstones = if keeps_tombstones(stream) { tombstone_columns(stream, wanted) } else { Vec::new() };
        if self.database.dialect.definitions_wait_for_readers() {
            let physical = self.free_name(&stream.table, Some(state));
            self.create(stream, &physical, wanted)?;
            self.move_rows(&state.physical, &physical, known, wanted, &STORE_BOOKKEEPING)?;
            if !tombstones.is_empty() {
                let (old, new) = (tombstones_name(&state.physical), tombstones_name(&physical));
                self.move_rows(&old, &new, known, &tombstones, &[])?;
            }
            let table = self.physical(&physical)?;
            self.database.analyze(&table, false)?;
            self.superseded.push(state.physical.clone());
            return Ok((physical, self.run));
        }
        let table = self.physical(&state.physical)?;
        for column in wanted {
            let name = self.database.name(self.database.dialect.quote_identifier(&column.name))?;
            let type_name = self.database.dialect.type_name(&column.column_type);
            match known.iter().find(|old| old.name == column.name) {
                None => {
                    self.database.execute(&format!("alter table {table} add column {name} {type_name}"))?;
                }
                Some(old) if old.column_type != column.column_type => {
                    self.database.execute(&format!("alter table {table} alter column {name} type {type_name}"))?;
                    if tombstones.iter().any(|kept| kept.name == column.name) {
                        let tombstones = self.physical(&tombstones_name(&state.physical))?;
                        self.database.execute(&format!(
                            "alter table {tombstones} alter column {name} type {type_name} using cast({name} as {type_name})"
                        ))?;
                    }
                }
                Some(_) => {}
            }
        }
        Ok((state.physical.clone(), state.created_run))
    }

    /// Copies the rows of a table into one with other columns, or with types that hold all of its values.
    fn move_rows(
        &mut self,
        from: &str,
        to: &str,
        known: &[Column],
        wanted: &[Column],
        bookkeeping: &[&str],
    ) -> Result<(), RunError> {
        let dialect = self.database.dialect;
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for column in wanted {
            let Some(old) = known.iter().find(|old| old.name == column.name) else { continue };
            let name = self.database.name(dialect.quote_identifier(&column.name))?;
            values.push(if old.column_type == column.column_type {
                name.clone()
            } else {
                format!("cast(cast({name} as text) as {})", dialect.type_name(&column.column_type))
            });
            names.push(name);
        }
        for name in bookkeeping {
            names.push((*name).to_owned());
            values.push((*name).to_owned());
        }
        let (from, to) = (self.physical(from)?, self.physical(to)?);
        let (names, values) = (names.join(", "), values.join(", "));
        self.database.execute(&format!("insert into {to} ({names}) select {values} from {from}"))?;
        Ok(())
    }
}

/// What store tables have beside the columns of their streams.
const STORE_BOOKKEEPING: [&str; 3] = [RUN_COLUMN, ORIGIN_COLUMN, RECORD_COLUMN];

/// Whether a table has all columns that are wanted, with their types.
fn alike(known: &[Column], wanted: &[Column]) -> bool {
    let same =
        |column: &Column| known.iter().any(|old| old.name == column.name && old.column_type == column.column_type);
    wanted.iter().all(same)
}

/// Whether deleted keys are remembered beside a stream's table.
pub fn keeps_tombstones(stream: &Stream) -> bool {
    stream.sequence_by.is_some() && stream.soft_delete.is_some() && stream.write_disposition == WriteDisposition::Merge
}

/// The columns by which deleted keys are remembered: the key, and what orders its rows.
fn tombstone_columns(stream: &Stream, columns: &[Column]) -> Vec<Column> {
    let names = stream.primary_key.iter().chain(&stream.sequence_by);
    names.filter_map(|name| columns.iter().find(|column| column.name == *name).cloned()).collect()
}

/// The files of a manifest, to be merged.
pub fn extract_files(manifest: &Manifest, folder: &std::path::Path, origin_base: i64) -> ExtractFiles {
    ExtractFiles {
        run: manifest.run,
        parts: manifest.parts.iter().map(|part| (folder.join(&part.file), part.columns.clone())).collect(),
        rejects: manifest.rejects.as_ref().map(|rejects| (folder.join(&rejects.file), rejects.rows)),
        files: i64::try_from(manifest.extract.files.len().max(1)).unwrap_or(1),
        read: manifest.extract.read,
        rejected: manifest.extract.rejected,
        origin_base,
        complete: manifest.extract.complete,
        keys: manifest.extract.keys.as_ref().map(|listing| ListedKeys {
            parts: manifest.keys.iter().map(|part| (folder.join(&part.file), part.columns.clone())).collect(),
            ranges: listing.ranges.clone(),
        }),
        gone: None,
        confirmed: manifest.extract.deletes_confirmed,
        again: None,
    }
}

/// Why no table can be made of what was extracted: it has not one column.
fn without_columns(stream: &Stream, landed: Option<&(&Manifest, PathBuf)>) -> String {
    if !stream.select.is_empty() {
        return format!(
            "`select: [{}]` leaves no column of the source, so nothing is loaded: name columns that it has",
            stream.select.join(", ")
        );
    }
    let Some((manifest, folder)) = landed else { return "nothing that landed has a column".to_owned() };
    let Extract { read, rejected, .. } = manifest.extract;
    let first = manifest.rejects.as_ref().and_then(|rejects| read_rejects(&folder.join(&rejects.file)).ok());
    let first = first.and_then(|rejects| rejects.into_iter().next()).map_or_else(String::new, |reject| {
        let file = usize::try_from(reject.file).ok().and_then(|file| manifest.extract.files.get(file));
        let name = file.map_or("", |file| file.name.as_str());
        format!(" {rejected} rejected (the first {name}:{}: {}),", reject.record, reject.reason)
    });
    let records = if read == 1 { "record" } else { "records" };
    format!(
        "{read} {records} read,{first} none with a column: there is no table to make yet, and they are read again with what comes next"
    )
}

/// Puts what was read again of an extract beside the rest of it, as if it had been readable at once. The extracts must be in order.
pub fn in_place(extracts: impl IntoIterator<Item = (ExtractFiles, Vec<Column>)>) -> Vec<(ExtractFiles, Vec<Column>)> {
    let mut all: Vec<(ExtractFiles, Vec<Column>)> = Vec::new();
    for (mut files, columns) in extracts {
        match all.iter_mut().find(|(other, _)| other.origin_base == files.origin_base) {
            Some((whole, known)) => {
                whole.parts.append(&mut files.parts);
                // It was read of what had been rejected, which is counted already.
                whole.rejected = (whole.rejected + files.rejected).saturating_sub(files.read);
                whole.rejects = whole.rejects.take().or(files.rejects);
                *known = unify([&known[..], &columns[..]]);
            }
            None => all.push((ExtractFiles { again: None, ..files }, columns)),
        }
    }
    all
}

/// What a store table is made by, and by which stream: when it changes, the table is rebuilt from landing.
pub fn store_fingerprint(stream: &Stream) -> String {
    let table: &TableName = &stream.table;
    let mut types: Vec<_> = stream
        .columns
        .iter()
        .filter_map(|column| Some(format!("{} {}", column.name, column.column_type.as_ref()?)))
        .collect();
    types.sort();
    let text = format!(
        "{table}\0{:?}\0{:?}\0{:?}\0{:?}\0{:?}\0{types:?}",
        stream.primary_key, stream.write_disposition, stream.sequence_by, stream.soft_delete, stream.select
    );
    format!("{}-{}.{}", &blake3::hash(text.as_bytes()).to_hex()[..32], stream.source, stream.name)
}

/// The stream in a fingerprint.
pub fn loaded_by(fingerprint: &str) -> &str {
    fingerprint.split_once('-').map_or("", |(_, stream)| stream)
}
