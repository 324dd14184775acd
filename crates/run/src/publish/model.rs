//! Bringing a model up to date.

use thalweg_project::{Materialized, Model, TableName};
use thalweg_sql::NodeKind;
use thalweg_sql::statement::relation::{ORIGIN_COLUMN, RECORD_COLUMN, RUN_COLUMN};
use thalweg_sql::statement::{RowIdentifier, Sameness, TypedColumn};
use thalweg_warehouse::{WarehouseError, WarehouseErrorKind};

use crate::change::Change;
use crate::error::RunError;
use crate::event::Event;
use crate::outcome::{Counts, OutcomeNote, StepOutcome, Strategy};
use crate::publish::Publication;
use crate::publish::difference::NewContents;
use crate::publish::partitions::layout;
use crate::publish::refresh::clock::clock_names;
use crate::publish::refresh::shapes::settled_text;
use crate::publish::refresh::stages::GivenInputs;
use crate::publish::refresh::{Attempt, Refreshed, generated};
use crate::table_state::{StateColumn, TableKind, TableState};

/// A model nobody reads is compared with its new result, instead of being exchanged as a whole, up to this many rows: the
/// comparison is cheap then, and the summary can say what moved.
const COMPARED_ROWS: u64 = 200_000;

/// The reason of a model that nothing but the time may have changed.
const READS_TIME: &str = "reads the time";

/// Why a model is or is not refreshed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// It must be made or made anew: first build, changed definition, on request.
    Rebuild(String),
    /// Its inputs changed.
    Refresh(String),
    /// It is up to date.
    Current,
    /// It cannot be: an input does not exist.
    Blocked(String),
}

/// What is known of a model before it is refreshed.
pub struct ModelFacts<'a> {
    /// The model.
    pub model: &'a Model,
    /// Its SQL for the engine: with what settles its ties.
    pub sql: String,
    /// The same as it is written, where that is another.
    pub written: Option<String>,
    /// What its table is made by: a hash of its definition, `-`, a hash of its inputs' columns; where it is in partitions, `-`, a hash of how.
    pub fingerprint: String,
    /// Tables it reads: through ephemeral models, and views together with what these read. When one of them changed, it is stale.
    pub inputs: Vec<TableName>,
    /// Among them, tables the project does not build.
    pub external: Vec<TableName>,
    /// What it reads of the time of the run.
    pub clock: Vec<String>,
}

impl ModelFacts<'_> {
    /// Its primary key by the names of its table's columns; empty where one of its columns is none of these.
    pub fn key_among(&self, columns: &[TypedColumn]) -> Vec<String> {
        let column = |name: &String| columns.iter().find(|column| column.name.eq_ignore_ascii_case(name));
        let key = self.model.primary_key.iter().map(|name| column(name).map(|column| column.name.clone()));
        key.collect::<Option<_>>().unwrap_or_default()
    }
}

impl Publication<'_> {
    /// Refreshes one model if it needs it.
    pub fn refresh_model(&mut self, node: usize, full_refresh: bool) -> Result<(), RunError> {
        let (project, compiled) = (self.project, self.compiled);
        let Some(mut facts) = facts(project, compiled, &self.tables, node) else { return Ok(()) };
        let table = facts.model.table.clone();
        if let (Some(written), true) = (&facts.written, self.refreshing.is_in_full(&table)) {
            facts.sql = written.clone();
            facts.written = None;
        }
        self.database.about(table.to_string());
        let started = std::time::Instant::now();
        let need = need(&facts, self.tables.get(&table), &self.tables, full_refresh, |input| {
            self.consumed.get(&(table.clone(), input.clone())).copied()
        });
        let need = match need {
            Need::Refresh(reason) if reason == READS_TIME => match self.clock_changes(&table, &facts.clock)? {
                Some(changes) if changes.is_empty() => Need::Current,
                _ => Need::Refresh(reason),
            },
            need => need,
        };
        let kind = if facts.model.materialized == Materialized::View { TableKind::View } else { TableKind::Table };
        if kind == TableKind::Table {
            facts.sql = self.as_to_come(&facts.sql);
            facts.written = facts.written.map(|written| self.as_to_come(&written));
        }
        let mut step = StepOutcome { table: table.to_string(), kind: kind.word().into(), ..StepOutcome::default() };
        if let Some(state) = self.tables.get(&table) {
            step.rows_before = state.rows;
            step.rows_after = state.rows;
        }
        // Another text looks rows up by other columns.
        self.definitions_changed |= matches!(need, Need::Rebuild(_)) && self.database.dialect.has_indexes();
        let changed_only = matches!(need, Need::Refresh(_));
        let reason = match need {
            Need::Current => {
                step.reason = "nothing it reads changed".into();
                if kind == TableKind::View && facts.inputs.iter().any(|input| self.change_of(input).any()) {
                    // Nothing is to be done, but the tests of the view have something to look at.
                    step.reason = "a view needs no refresh".into();
                    self.changes.insert(table, Change::Everything);
                }
                return self.finish_step(step);
            }
            Need::Blocked(reason) => {
                step.strategy = Strategy::Kept;
                step.reason = reason;
                return self.finish_step(step);
            }
            Need::Rebuild(reason) | Need::Refresh(reason) => reason,
        };
        self.observer.event(&Event::StepStarted { table: table.to_string() });
        step.reason = reason;
        if !facts.clock.is_empty() {
            let values = self.clock_values(&facts.clock)?;
            self.clocks_now.insert(table.clone(), values);
        }
        for input in facts.inputs.iter().chain(&facts.external) {
            self.consumed_now.insert((table.clone(), input.clone()), self.run);
        }
        let done = kind == TableKind::Table
            && (self.refresh_by_stages(node, &facts, changed_only, &mut step)?
                || (changed_only
                    && (self.refresh_incrementally(node, &facts, None, &mut step)?
                        || self.refresh_with_sums(node, &facts, &mut step)?)));
        if !done {
            let done = self.refresh_in_full(node, &facts, kind, &mut step);
            // What settles ties was put into the text here: where the engine does not take it, it is not the model's error.
            done.map_err(|error| if facts.written.is_some() { generated(&table, error) } else { error })?;
        }
        // A stage that this run did not bring up to date with its model would be taken for one that is.
        let run = self.run;
        self.drop_stages(&table, |stage| stage.refreshed_run != run)?;
        step.seconds = started.elapsed().as_secs_f64();
        self.record_refresh(&facts, &step);
        self.finish_step(step)
    }

    fn refresh_in_full(
        &mut self,
        node: usize,
        facts: &ModelFacts<'_>,
        kind: TableKind,
        step: &mut StepOutcome,
    ) -> Result<(), RunError> {
        self.check_retention(node, facts.model)?;
        let columns = self.describe(&self.as_to_come(&facts.sql))?;
        let is_column = |name: &&String| columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
        for name in facts.model.primary_key.iter().filter(|name| !is_column(name)) {
            self.notes.push(OutcomeNote {
                about: facts.model.table.to_string(),
                warning: true,
                message: format!("its primary key names `{name}`, which is none of its columns, and is of no use"),
            });
        }
        match kind {
            TableKind::View => self.refresh_view(facts, columns, step),
            _ => self.refresh_table(node, facts, columns, step),
        }
    }

    fn refresh_view(
        &mut self,
        facts: &ModelFacts<'_>,
        columns: Vec<TypedColumn>,
        step: &mut StepOutcome,
    ) -> Result<(), RunError> {
        let table = &facts.model.table;
        let old = self.tables.get(table).cloned();
        step.strategy = Strategy::View;
        (step.rows_before, step.rows_after) = (0, 0);
        self.define_view(table, &facts.sql)?;
        self.break_log(table)?;
        if let Some(old) = old.as_ref().filter(|old| !old.physical.is_empty()) {
            self.superseded.push(old.physical.clone());
        }
        let state = TableState {
            kind: TableKind::View,
            physical: String::new(),
            fingerprint: facts.fingerprint.clone(),
            columns: state_columns(&columns),
            rows: 0,
            changed_run: self.run,
            refreshed_run: self.run,
            created_run: old.map_or(self.run, |old| old.created_run),
        };
        self.put_table(table, state);
        self.changes.insert(table.clone(), Change::Everything);
        Ok(())
    }

    /// Refreshes a table by what changed in its inputs, or in these; whether that could be done.
    pub(super) fn refresh_incrementally(
        &mut self,
        node: usize,
        facts: &ModelFacts<'_>,
        given: Option<&GivenInputs<'_>>,
        step: &mut StepOutcome,
    ) -> Result<bool, RunError> {
        let table = &facts.model.table;
        let Some(old) = self.tables.get(table).cloned() else { return Ok(false) };
        let columns = old.typed_columns(self.database.dialect);
        let attempt = match given {
            Some(given) => self.refresh_by_given(facts, given, &old, &columns, step)?,
            None => self.refresh_by_changes(node, facts, &old, &columns, step)?,
        };
        let refreshed = match attempt {
            Attempt::Done(refreshed) => refreshed,
            Attempt::InFull(reason) => {
                if given.is_none_or(|given| !given.only_stages) {
                    self.refuse_full(facts, &reason)?;
                }
                if !step.reason.contains(&reason) {
                    step.reason = format!("{}; {reason}", step.reason);
                }
                return Ok(false);
            }
        };
        let Refreshed { counts, change } = refreshed;
        self.log_change(table, &old.physical, &columns, &change, counts.replaced())?;
        step.strategy = Strategy::Incremental;
        step.counts = counts;
        if change.any() {
            step.rows_after = self.rows_after(&old.physical, old.rows, &counts)?;
        }
        let changed_run = if change.any() { self.run } else { old.changed_run };
        let state = TableState { rows: step.rows_after, changed_run, refreshed_run: self.run, ..old };
        self.put_table(table, state);
        self.changes.insert(table.clone(), change);
        Ok(true)
    }

    pub(super) fn refresh_table(
        &mut self,
        node: usize,
        facts: &ModelFacts<'_>,
        columns: Vec<TypedColumn>,
        step: &mut StepOutcome,
    ) -> Result<(), RunError> {
        let table = &facts.model.table;
        let old = self.tables.get(table).cloned();
        let select = format!("select q.*, {}::bigint as {RUN_COLUMN} from ({}\n) q", self.run, facts.sql);
        let is_laid_out = match old.as_ref().filter(|old| !old.physical.is_empty()) {
            Some(old) => self.is_laid_out(facts.model, old)?,
            None => false,
        };
        let comparable = old.as_ref().filter(|old| {
            !old.physical.is_empty()
                && is_laid_out
                && old.typed_columns(self.database.dialect) == columns
                && (!self.compiled.readers[node].is_empty()
                    || old.rows <= COMPARED_ROWS
                    || self.database.dialect.definitions_wait_for_readers())
        });
        let (counts, change, physical, created_run) = if let Some(old) = comparable {
            step.strategy = Strategy::FullDifference;
            let new = self.database.temporary("new");
            let rows = self.database.make_counted(&new, &select)?;
            let contents = NewContents {
                old: self.physical(&old.physical)?,
                old_rows: RowIdentifier::of_table(self.database.dialect, old.layout().is_some()),
                part: None,
                new,
                rows,
                compared: Some(old.rows),
                columns: columns.clone(),
                bookkeeping: vec![RUN_COLUMN],
                key: facts.key_among(&columns),
                sameness: Sameness::Computed,
                watched: self.is_watched(node),
            };
            let (counts, change) = self.apply_difference(contents)?;
            self.log_change(table, &old.physical, &columns, &change, counts.replaced())?;
            (counts, change, old.physical.clone(), old.created_run)
        } else {
            step.strategy = Strategy::Full;
            self.claim(table)?;
            let physical = self.physical_name(table);
            let quoted = self.physical(&physical)?;
            self.index_inputs(node)?;
            let inserted = self.make_table(&physical, facts.model, &select, &columns)?;
            self.database.analyze(&quoted, false)?;
            self.publish_view(table, &physical, &columns)?;
            self.break_log(table)?;
            if let Some(old) = old.as_ref().filter(|old| !old.physical.is_empty()) {
                self.superseded.push(old.physical.clone());
            }
            let counts = Counts { inserted, deleted_missing: step.rows_before, ..Counts::default() };
            (counts, Change::Everything, physical, self.run)
        };
        step.rows_after = self.rows_after(&physical, step.rows_before, &counts)?;
        step.counts = counts;
        let changed_run = match (&old, change.any()) {
            (Some(old), false) => old.changed_run,
            _ => self.run,
        };
        let state = TableState {
            kind: TableKind::Table,
            physical,
            fingerprint: facts.fingerprint.clone(),
            columns: state_columns(&columns),
            rows: step.rows_after,
            changed_run,
            refreshed_run: self.run,
            created_run,
        };
        self.put_table(table, state);
        self.changes.insert(table.clone(), change);
        Ok(())
    }

    /// The columns of a model's query; refused when readers could not tell them apart.
    pub(super) fn describe(&mut self, sql: &str) -> Result<Vec<TypedColumn>, RunError> {
        let described = self.database.describe(sql)?;
        if let Some(problem) = column_problem(described.iter().map(|column| column.name.as_str())) {
            return Err(self.database.error(WarehouseError::new(WarehouseErrorKind::Statement, problem)));
        }
        Ok(described
            .into_iter()
            .map(|column| TypedColumn { name: column.name, engine_type: column.engine_type })
            .collect())
    }
}

/// What is wrong with the columns of a model, if anything.
pub fn column_problem<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        let folded = name.to_lowercase();
        let own = [RUN_COLUMN, ORIGIN_COLUMN, RECORD_COLUMN, "rowid"].contains(&folded.as_str());
        if own || folded.starts_with("_thalweg") {
            return Some(format!("the column name {name} is Thalweg's own: give it another with `as`"));
        }
        if !seen.insert(folded) {
            return Some(format!("the column {name} occurs twice: give one of the two another name with `as`"));
        }
    }
    None
}

pub(super) fn state_columns(columns: &[TypedColumn]) -> Vec<StateColumn> {
    columns
        .iter()
        .map(|column| StateColumn {
            name: column.name.clone(),
            type_name: column.engine_type.clone(),
            source_name: None,
            undecided: false,
        })
        .collect()
}

/// What is known of a model; `None` for a node that is none, is ephemeral, or has no SQL.
pub fn facts<'a>(
    project: &'a thalweg_project::Project,
    compiled: &thalweg_sql::Compiled,
    tables: &std::collections::BTreeMap<TableName, TableState>,
    node: usize,
) -> Option<ModelFacts<'a>> {
    let NodeKind::Model(index) = compiled.nodes[node].kind else { return None };
    let model = &project.models[index];
    if model.materialized == Materialized::Ephemeral {
        return None;
    }
    let written = compiled.compiled_sql(node)?.to_owned();
    let settled = match model.materialized {
        Materialized::Table => settled_text(project, compiled, tables, node),
        _ => None,
    };
    let (sql, written) = match settled {
        Some(settled) => (settled, Some(written)),
        None => (written, None),
    };
    let definition = blake3::hash(format!("{sql}\0{:?}", model.materialized).as_bytes());
    let mut hash = blake3::Hasher::new();
    for input in compiled.stored_inputs(project, node) {
        let id = compiled.nodes[input].id.clone();
        if let Some(state) = tables.get(&id) {
            for column in &state.columns {
                hash.update(format!("\0{id}.{} {}", column.name, column.type_name).as_bytes());
            }
        }
    }
    let (mut inputs, mut external) = (Vec::new(), Vec::new());
    for input in tracked_inputs(project, compiled, node) {
        let id = compiled.nodes[input].id.clone();
        match compiled.nodes[input].kind {
            NodeKind::External(_) => external.push(id),
            _ => inputs.push(id),
        }
    }
    let clock = if reads_clock(project, compiled, node) {
        clock_names(compiled, thalweg_sql::dialect_of(&project.target.connection), node)
    } else {
        Vec::new()
    };
    let mut fingerprint = format!("{}-{}", &definition.to_hex()[..24], &hash.finalize().to_hex()[..24]);
    if let Some(layout) = layout(thalweg_sql::dialect_of(&project.target.connection), model) {
        fingerprint = format!("{fingerprint}-{layout}");
    }
    Some(ModelFacts { model, sql, written, fingerprint, inputs, external, clock })
}

/// The nodes a model's rows depend on: what it reads, and what the views among that read, in order of the graph's nodes.
pub fn tracked_inputs(
    project: &thalweg_project::Project,
    compiled: &thalweg_sql::Compiled,
    node: usize,
) -> std::collections::BTreeSet<usize> {
    let mut found = std::collections::BTreeSet::new();
    let mut waiting = compiled.stored_inputs(project, node);
    while let Some(input) = waiting.pop() {
        if !found.insert(input) {
            continue;
        }
        if is_view(project, compiled, input) {
            waiting.extend(compiled.stored_inputs(project, input));
        }
    }
    found
}

/// Whether a node is a model that stands as a view.
pub fn is_view(project: &thalweg_project::Project, compiled: &thalweg_sql::Compiled, node: usize) -> bool {
    matches!(compiled.nodes[node].kind, NodeKind::Model(index) if project.models[index].materialized == Materialized::View)
}

/// Whether a model, or an ephemeral model or view in it, reads the time.
fn reads_clock(project: &thalweg_project::Project, compiled: &thalweg_sql::Compiled, node: usize) -> bool {
    let NodeKind::Model(index) = compiled.nodes[node].kind else { return false };
    let forgets =
        project.models[index].partitioning.as_ref().is_some_and(|partitioning| partitioning.retention.is_some());
    if forgets || compiled.query(node).is_some_and(|query| !query.clock.is_empty()) {
        return true;
    }
    compiled.nodes[node].inputs.iter().any(|&input| match compiled.nodes[input].kind {
        NodeKind::Model(index) => {
            project.models[index].materialized != Materialized::Table && reads_clock(project, compiled, input)
        }
        _ => false,
    })
}

/// Whether and why a model must be refreshed. `consumed` answers which run of an input the model last consumed.
pub fn need(
    facts: &ModelFacts<'_>,
    state: Option<&TableState>,
    tables: &std::collections::BTreeMap<TableName, TableState>,
    full_refresh: bool,
    consumed: impl Fn(&TableName) -> Option<i64>,
) -> Need {
    if let Some(missing) = facts.inputs.iter().find(|input| !tables.contains_key(input)) {
        return Need::Blocked(format!("{missing} does not exist yet: nothing was read for it so far"));
    }
    let Some(state) = state else { return Need::Rebuild("first build".into()) };
    let wanted = if facts.model.materialized == Materialized::View { TableKind::View } else { TableKind::Table };
    if state.kind != wanted {
        return Need::Rebuild(format!("was a {}, is a {}", state.kind.word(), wanted.word()));
    }
    if state.fingerprint != facts.fingerprint {
        let same = |part: usize| state.fingerprint.split('-').nth(part) == facts.fingerprint.split('-').nth(part);
        let reason = match (same(0), same(1)) {
            (false, _) => "definition changed",
            (_, false) => "columns of its inputs changed",
            _ => "its partitions changed",
        };
        return Need::Rebuild(reason.into());
    }
    if full_refresh {
        return Need::Rebuild("asked for with --full-refresh".into());
    }
    if wanted == TableKind::View {
        return Need::Current;
    }
    let changed: Vec<String> = facts
        .inputs
        .iter()
        .filter(|input| {
            tables.get(input).is_some_and(|table| consumed(input).is_none_or(|run| run < table.changed_run))
        })
        .map(ToString::to_string)
        .collect();
    if !changed.is_empty() {
        return Need::Refresh(format!("{} changed", changed.join(", ")));
    }
    if let Some(external) = facts.external.first() {
        return Need::Refresh(format!("reads {external}, whose changes are not seen"));
    }
    if !facts.clock.is_empty() {
        return Need::Refresh(READS_TIME.into());
    }
    Need::Current
}

/// Models whose inputs are ahead of them, directly or through another model, with the reason; in order of dependency. `consumed`
/// answers which run of an input (the second) a model (the first) last consumed.
pub fn stale_models(
    project: &thalweg_project::Project,
    compiled: &thalweg_sql::Compiled,
    tables: &std::collections::BTreeMap<TableName, TableState>,
    consumed: impl Fn(&TableName, &TableName) -> Option<i64>,
) -> Vec<(TableName, String)> {
    let mut stale: Vec<(TableName, String)> = Vec::new();
    for &node in &compiled.order {
        let Some(facts) = facts(project, compiled, tables, node) else { continue };
        let table = &facts.model.table;
        let reason = match need(&facts, tables.get(table), tables, false, |input| consumed(table, input)) {
            Need::Rebuild(_) if !tables.contains_key(table) => "never built".to_owned(),
            Need::Rebuild(reason) | Need::Blocked(reason) => reason,
            Need::Refresh(reason) if !reason.starts_with("reads ") => reason,
            Need::Refresh(_) | Need::Current => {
                match facts.inputs.iter().find(|input| stale.iter().any(|(table, _)| table == *input)) {
                    Some(input) => format!("{input}, which it reads, is stale"),
                    None => continue,
                }
            }
        };
        stale.push((table.clone(), reason));
    }
    stale
}
