//! Stages: parts of a model's query that are kept as tables nobody sees, so that as little as possible is computed anew.
//!
//! A stage is refreshed with its model and only then, by the same changes and in the same transaction, so it has consumed what its model
//! has. That both were brought up to date by the same run is what tells that they belong together; a stage left behind is dropped. So
//! what changed in a stage is only ever what changed in this run, and stages need no change log.

use std::collections::{BTreeMap, BTreeSet};

use thalweg_project::{RefreshPin, TableName};
use thalweg_sql::NodeKind;
use thalweg_sql::refresh::split::placed;
use thalweg_sql::refresh::summed::Summing;
use thalweg_sql::refresh::{ChangedInput, InputTable, Inputs, Shape, Split, Stage, WithStages, is_hidden_key};
use thalweg_sql::statement::relation::{RUN_COLUMN, column_list};
use thalweg_sql::statement::{RowIdentifier, Sameness, TypedColumn};

use super::inputs::Gathered;
use super::shapes::{Full, KnownTables};
use super::{Attempt, Refreshed, generated, set_keys};
use crate::change::Change;
use crate::error::RunError;
use crate::outcome::{Counts, RefreshFigures, StepOutcome, Strategy};
use crate::publish::Publication;
use crate::publish::difference::NewContents;
use crate::publish::model::{ModelFacts, column_problem, state_columns, tracked_inputs};
use crate::table_state::{TableKind, TableState};

/// The stages of a warehouse, as they are at this point of a run.
#[derive(Debug, Default)]
pub struct Stages {
    known: BTreeMap<TableName, TableState>,
    touched: BTreeSet<TableName>,
    dropped: BTreeSet<TableName>,
}

impl Stages {
    /// With what the ledger knows.
    pub fn new(known: BTreeMap<TableName, TableState>) -> Self {
        Self { known, ..Self::default() }
    }

    /// Those whose state must be written to the ledger.
    pub fn touched(&self) -> impl Iterator<Item = (&TableName, &TableState)> {
        self.touched.iter().filter_map(|name| Some((name, self.known.get(name)?)))
    }

    /// Those that are gone.
    pub fn dropped(&self) -> impl Iterator<Item = &TableName> {
        self.dropped.iter()
    }

    /// Whether a model has a stage with such a name.
    pub fn any_of(&self, model: &TableName, named: impl Fn(&str) -> bool) -> bool {
        let own = |stage: &TableName| is_of(stage, model) && stage.name.get(model.name.len() + 1..).is_some_and(&named);
        self.known.keys().any(own)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (&TableName, &TableState)> {
        self.known.iter()
    }

    /// A stage.
    pub fn get(&self, name: &TableName) -> Option<&TableState> {
        self.known.get(name)
    }
}

/// The name of a stage, to people and in the ledger. A dot is in no name, so that it is no other table's.
pub fn stage_name(model: &TableName, stage: &str) -> TableName {
    TableName::new(&model.schema, format!("{}.{stage}", model.name))
}

fn is_of(stage: &TableName, model: &TableName) -> bool {
    stage.schema == model.schema && stage.name.strip_prefix(&model.name).is_some_and(|rest| rest.starts_with('.'))
}

/// A model in parts, as far as is known before anything is refreshed.
pub struct Parts {
    /// The stages, each after those it reads.
    pub stages: Vec<Part>,
    /// What is left of the model.
    pub rest: Part,
    /// The rest reads no table but stages.
    pub only_stages: bool,
    /// What the parts read: the name in their texts, the name to people, the relation.
    pub read: Vec<(Vec<String>, TableName, String)>,
}

/// A part of a model.
pub struct Part {
    /// Its name.
    pub table: TableName,
    /// Why it is kept.
    pub reason: String,
    /// Its text.
    pub text: String,
    /// What refresh makes of it.
    pub shape: Result<Shape, Full>,
    /// How it is kept by adding and subtracting, where it is.
    pub summing: Option<Summing>,
}

/// What a part of a model reads, as it is now and as it changed.
pub struct GivenInputs<'a> {
    pub(super) shape: &'a Result<Shape, Full>,
    pub(super) inputs: &'a Inputs,
    /// How many rows changed in each.
    pub(super) numbers: &'a BTreeMap<Vec<String>, u64>,
    /// Why it is not known what changed.
    pub(super) unknown: Option<String>,
    /// It reads no table but stages.
    pub only_stages: bool,
    /// Nothing that it reads has changed.
    pub(super) untouched: bool,
}

impl Publication<'_> {
    /// Refreshes a model by its stages; whether it has some.
    pub fn refresh_by_stages(
        &mut self,
        node: usize,
        facts: &ModelFacts<'_>,
        changed_only: bool,
        step: &mut StepOutcome,
    ) -> Result<bool, RunError> {
        let table = &facts.model.table;
        if self.refreshing.in_full.contains_key(table) || facts.model.refresh == RefreshPin::Full {
            return Ok(false);
        }
        let mut wanted = None;
        if !changed_only && self.may_have_stages(node) {
            // What is wrong with the model's own text is told about that text.
            wanted = Some(self.describe(&facts.sql)?);
            self.choose_sums(node).map_err(|error| generated(table, error))?;
        }
        let split = self.split(node);
        if split.is_whole() {
            return Ok(false);
        }
        let done = self.by_stages(node, facts, &split, wanted, changed_only, step);
        let done = done.map_err(|error| generated(table, error))?;
        if let Err(reason) = done {
            self.drop_stages(table, |_| true)?;
            tracing::debug!(table = %table, reason, "no stages");
            return Ok(false);
        }
        Ok(true)
    }

    /// The parts of a model that has stages.
    pub fn parts(&mut self, node: usize) -> Option<Parts> {
        let split = self.split(node);
        if split.is_whole() {
            return None;
        }
        let table = self.compiled.nodes[node].id.clone();
        let mut read = Vec::new();
        for input in tracked_inputs(self.project, self.compiled, node) {
            let id = self.compiled.nodes[input].id.clone();
            read.push((self.published_parts(&id), id.clone(), self.published(&id).ok()?));
        }
        let mut gathered = Gathered::default();
        let mut stages = Vec::with_capacity(split.stages.len());
        for stage in &split.stages {
            let name = stage_name(&table, &stage.name);
            let state = self.stages.get(&name).cloned();
            let shape = match &state {
                Some(_) => self.stage_shape(stage, &gathered),
                None => Err(Full { reason: "it is not built yet".to_owned(), obstacle: None }),
            };
            if let Some(state) = state {
                gathered.tables.insert(stage.name.clone(), self.as_input(stage, &state));
                read.push((stage.table(), name.clone(), self.physical(&state.physical).ok()?));
            }
            let summing = stage.summing.clone();
            stages.push(Part { table: name, reason: stage.reason.clone(), text: stage.text.clone(), shape, summing });
        }
        let key = match self.compiled.nodes[node].kind {
            NodeKind::Model(index) => self.project.models[index].primary_key.clone(),
            _ => Vec::new(),
        };
        let shape = self.part_shape(&split.rest, &key, &gathered);
        let only_stages = self.tables_of(&split.rest).iter().all(|name| is_stage(name));
        let rest = Part { table, reason: String::new(), text: split.rest.clone(), shape, summing: None };
        Some(Parts { stages, rest, only_stages, read })
    }

    fn as_input(&self, stage: &Stage, state: &TableState) -> InputTable {
        let columns = state.typed_columns(self.database.dialect);
        InputTable {
            columns: columns.into_iter().map(|column| (column.name, column.engine_type)).collect(),
            key: stage.key.clone(),
        }
    }

    fn by_stages(
        &mut self,
        node: usize,
        facts: &ModelFacts<'_>,
        split: &Split,
        wanted: Option<Vec<TypedColumn>>,
        changed_only: bool,
        step: &mut StepOutcome,
    ) -> Result<Result<(), String>, RunError> {
        let table = &facts.model.table;
        let together = self.tables.get(table).filter(|_| changed_only).map(|state| state.refreshed_run);
        let mut gathered = self.gather(node, table, changed_only)?;
        for stage in &split.stages {
            let done = self.refresh_stage(facts, stage, together, &mut gathered)?;
            if done.is_err() {
                return Ok(done);
            }
            fail::fail_point!("run::after-stage", |_| Err(RunError::failed_at("run::after-stage")));
        }
        self.database.about(table.to_string());
        let rest = ModelFacts {
            model: facts.model,
            sql: self.placed(&split.rest, split, &gathered)?,
            fingerprint: facts.fingerprint.clone(),
            inputs: facts.inputs.clone(),
            external: facts.external.clone(),
            clock: facts.clock.clone(),
            written: None,
        };
        let shape = self.part_shape(&split.rest, &facts.model.primary_key, &gathered);
        if changed_only {
            let given = self.given(&split.rest, &shape, &gathered);
            let only_stages = given.only_stages;
            if self.refresh_incrementally(node, &rest, Some(&given), step)? {
                return Ok(Ok(()));
            }
            let columns = self.describe(&rest.sql)?;
            self.refresh_table(node, &rest, columns, step)?;
            if only_stages && step.strategy == Strategy::FullDifference {
                step.strategy = Strategy::Incremental;
                step.reason = format!("{}: computed from its stages", step.reason);
            }
            return Ok(Ok(()));
        }
        let columns = self.describe(&rest.sql)?;
        if wanted.is_some_and(|wanted| wanted != columns) {
            return Ok(Err("its columns would be others".to_owned()));
        }
        self.refresh_table(node, &rest, columns, step)?;
        Ok(Ok(()))
    }

    /// Drops stages of a model.
    pub fn drop_stages(&mut self, model: &TableName, which: impl Fn(&TableState) -> bool) -> Result<(), RunError> {
        let gone: Vec<TableName> = self
            .stages
            .known
            .iter()
            .filter(|(name, state)| is_of(name, model) && which(state))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            if let Some(state) = self.stages.known.remove(&name) {
                self.superseded.push(state.physical);
            }
            self.stages.touched.remove(&name);
            self.stages.dropped.insert(name);
        }
        Ok(())
    }

    fn part_shape(&self, text: &str, key: &[String], gathered: &Gathered) -> Result<Shape, Full> {
        let dialect = self.database.dialect;
        let known = KnownTables { project: self.project, tables: &self.tables, dialect };
        let inputs = WithStages { inputs: &known, stages: gathered.tables.clone() };
        Shape::read(text, dialect, &inputs, key).map_err(Full::of)
    }

    fn stage_shape(&self, stage: &Stage, gathered: &Gathered) -> Result<Shape, Full> {
        let dialect = self.database.dialect;
        let known = KnownTables { project: self.project, tables: &self.tables, dialect };
        let inputs = WithStages { inputs: &known, stages: gathered.tables.clone() };
        stage.shape(dialect, &inputs).map_err(Full::of)
    }

    fn given<'a>(&self, text: &str, shape: &'a Result<Shape, Full>, gathered: &'a Gathered) -> GivenInputs<'a> {
        let read = self.tables_of(text);
        let changed = |name: &Vec<String>| gathered.inputs.changed.contains_key(name);
        GivenInputs {
            shape,
            inputs: &gathered.inputs,
            numbers: &gathered.numbers,
            unknown: gathered.unknown.clone(),
            only_stages: read.iter().all(|name| is_stage(name)),
            untouched: gathered.unknown.is_none() && !read.is_empty() && !read.iter().any(changed),
        }
    }

    /// The tables a part reads, by the parts of their names, each once.
    pub(super) fn tables_of(&self, text: &str) -> BTreeSet<Vec<String>> {
        let query = thalweg_sql::parse_select(text, self.database.dialect);
        query.map(|query| query.tables.into_iter().map(|table| table.name).collect()).unwrap_or_default()
    }

    /// A part's text with the stages' tables in the places of their names.
    fn placed(&self, text: &str, split: &Split, gathered: &Gathered) -> Result<String, RunError> {
        let relations = split
            .stages
            .iter()
            .filter_map(|stage| Some((stage.table(), gathered.inputs.current.get(&stage.table())?.clone())))
            .collect();
        placed(text, self.database.dialect, &relations).map_err(|error| {
            self.database.error(thalweg_warehouse::WarehouseError::new(
                thalweg_warehouse::WarehouseErrorKind::Statement,
                error.to_string(),
            ))
        })
    }

    /// Refreshes a part of a model by changes that were gathered before.
    pub(in crate::publish) fn refresh_by_given(
        &mut self,
        facts: &ModelFacts<'_>,
        given: &GivenInputs<'_>,
        old: &TableState,
        columns: &[TypedColumn],
        step: &mut StepOutcome,
    ) -> Result<Attempt, RunError> {
        let table = facts.model.table.clone();
        if let Some(reason) = self.refreshing.in_full.get(&table) {
            return Ok(Attempt::InFull(reason.clone()));
        }
        if given.untouched {
            set_keys(step, 0);
            return Ok(Attempt::Done(Refreshed { counts: Counts::default(), change: Change::None }));
        }
        let figures = step.refresh.get_or_insert_with(RefreshFigures::default);
        *figures = self.expected(&table, &facts.fingerprint, old.rows)?;
        let shape = match given.shape {
            Ok(shape) => shape,
            Err(full) => return Ok(Attempt::InFull(full.reason.clone())),
        };
        if let Some(reason) = &given.unknown {
            return Ok(Attempt::InFull(reason.clone()));
        }
        let (inputs, upstream) = self.seen_by(shape, given)?;
        if let Some(figures) = &mut step.refresh {
            figures.upstream = Some(upstream);
        }
        let pinned = facts.model.refresh == RefreshPin::Incremental;
        if !pinned && let Some(reason) = self.in_vain(facts, old.rows, upstream)? {
            return Ok(Attempt::InFull(reason));
        }
        self.by_keys(facts, shape, &inputs, old, columns, step, pinned)
    }

    /// Brings a stage up to date, and tells what changed in it. A reason where it cannot stand as a table.
    fn refresh_stage(
        &mut self,
        owner: &ModelFacts<'_>,
        stage: &Stage,
        together: Option<i64>,
        gathered: &mut Gathered,
    ) -> Result<Result<(), String>, RunError> {
        let started = std::time::Instant::now();
        let table = stage_name(&owner.model.table, &stage.name);
        self.database.about(table.to_string());
        let names = self.tables_of(&stage.text);
        let model = thalweg_project::Model {
            table: table.clone(),
            refresh: RefreshPin::Auto,
            primary_key: stage.key.clone(),
            ..owner.model.clone()
        };
        let hash = blake3::hash(format!("{}\0{}", owner.fingerprint, stage.text).as_bytes());
        let read = |input: &&TableName| names.contains(&self.published_parts(input));
        let facts = ModelFacts {
            model: &model,
            sql: self.stage_text(stage, gathered)?,
            fingerprint: hash.to_hex()[..24].to_owned(),
            inputs: owner.inputs.iter().filter(read).cloned().collect(),
            external: Vec::new(),
            clock: Vec::new(),
            written: None,
        };
        let old = self.stages.get(&table).cloned();
        let old = old.filter(|old| Some(old.refreshed_run) == together && old.fingerprint == facts.fingerprint);
        let mut step = StepOutcome { table: table.to_string(), kind: "stage".into(), ..StepOutcome::default() };
        (step.rows_before, step.rows_after) = old.as_ref().map_or((0, 0), |old| (old.rows, old.rows));
        let (state, change) = match old {
            Some(old) => self.bring_up_to_date(&facts, stage, &names, old, gathered, &mut step)?,
            None => match self.make_stage(&facts, stage, &mut step)? {
                Ok(state) => (state, Change::Everything),
                Err(reason) => return Ok(Err(reason)),
            },
        };
        let number = step.counts.inserted + step.counts.updated + step.counts.replaced();
        gathered.tables.insert(stage.name.clone(), self.as_input(stage, &state));
        gathered.inputs.current.insert(stage.table(), self.physical(&state.physical)?);
        match change {
            Change::None => {}
            Change::Rows { before, after } => {
                gathered.numbers.insert(stage.table(), number);
                let old = self.stage_before(&state, &before)?;
                gathered.inputs.changed.insert(stage.table(), ChangedInput { before, after, old: Some(old) });
            }
            Change::Everything => {
                gathered.unknown.get_or_insert(format!("its stage {} was made anew", stage.name));
            }
        }
        self.stages.dropped.remove(&table);
        self.stages.touched.insert(table.clone());
        self.stages.known.insert(table, state);
        step.seconds = started.elapsed().as_secs_f64();
        self.record_refresh(&facts, &step);
        self.finish_step(step)?;
        Ok(Ok(()))
    }

    /// A stage as it was before this run.
    fn stage_before(&self, state: &TableState, before: &str) -> Result<String, RunError> {
        let dialect = self.database.dialect;
        let columns = state.typed_columns(dialect);
        let columns = column_list(dialect, "d", columns.iter().map(|column| column.name.as_str()));
        let columns = self.database.name(columns)?;
        let physical = self.physical(&state.physical)?;
        Ok(format!(
            "(select {columns} from {physical} d where d.{RUN_COLUMN} < {} union all select {columns} from {before} d)",
            self.run
        ))
    }

    fn stage_text(&self, stage: &Stage, gathered: &Gathered) -> Result<String, RunError> {
        let relations: BTreeMap<Vec<String>, String> = gathered
            .inputs
            .current
            .iter()
            .filter(|(name, _)| is_stage(name))
            .map(|(name, relation)| (name.clone(), relation.clone()))
            .collect();
        placed(&stage.text, self.database.dialect, &relations).map_err(|error| {
            self.database.error(thalweg_warehouse::WarehouseError::new(
                thalweg_warehouse::WarehouseErrorKind::Statement,
                error.to_string(),
            ))
        })
    }

    /// Makes a stage's table.
    fn make_stage(
        &mut self,
        facts: &ModelFacts<'_>,
        stage: &Stage,
        step: &mut StepOutcome,
    ) -> Result<Result<TableState, String>, RunError> {
        let described = self.database.describe(&facts.sql)?;
        if !described.iter().map(|column| &column.name).eq(&stage.columns) {
            return Ok(Err(format!("the columns of its stage {} are called otherwise", stage.name)));
        }
        let named = stage.columns.iter().map(String::as_str).filter(|name| !is_hidden_key(name));
        if let Some(problem) = column_problem(named) {
            return Ok(Err(problem));
        }
        // A column that is always NULL would have a type as a table's column, which it does not have in the query.
        if described.iter().any(|column| column.engine_type.to_uppercase().contains("NULL")) {
            return Ok(Err(format!("a column of its stage {} has no type", stage.name)));
        }
        let columns: Vec<TypedColumn> = described
            .into_iter()
            .map(|column| TypedColumn { name: column.name, engine_type: column.engine_type })
            .collect();
        step.strategy = Strategy::Full;
        step.reason = format!("kept for {}: {}", owner_of(&facts.model.table), stage.reason);
        let physical = self.physical_name(&facts.model.table);
        let quoted = self.physical(&physical)?;
        if let Some(old) = self.stages.known.remove(&facts.model.table) {
            self.superseded.push(old.physical);
        }
        let select = format!("select q.*, {}::bigint as {RUN_COLUMN} from ({}\n) q", self.run, facts.sql);
        let rows = self.database.execute(&format!("create table {quoted} as {select}"))?;
        self.database.analyze(&quoted, false)?;
        self.definitions_changed = true;
        // What stood before under this name was another table.
        step.rows_before = 0;
        step.rows_after = rows;
        step.counts = Counts { inserted: rows, ..Counts::default() };
        Ok(Ok(TableState {
            kind: TableKind::Stage,
            physical,
            fingerprint: facts.fingerprint.clone(),
            columns: state_columns(&columns),
            rows,
            changed_run: self.run,
            refreshed_run: self.run,
            created_run: self.run,
        }))
    }

    /// Brings a stage's table to what its text gives now.
    fn bring_up_to_date(
        &mut self,
        facts: &ModelFacts<'_>,
        stage: &Stage,
        names: &BTreeSet<Vec<String>>,
        old: TableState,
        gathered: &Gathered,
        step: &mut StepOutcome,
    ) -> Result<(TableState, Change), RunError> {
        let columns = old.typed_columns(self.database.dialect);
        let changed: Vec<String> = names
            .iter()
            .filter(|name| gathered.inputs.changed.contains_key(*name))
            .map(|name| name.join("."))
            .collect();
        if changed.is_empty() && gathered.unknown.is_none() {
            "nothing it reads changed".clone_into(&mut step.reason);
            return Ok((TableState { refreshed_run: self.run, ..old }, Change::None));
        }
        step.reason = format!("{} changed", shown(&changed));
        let shape = self.stage_shape(stage, gathered);
        let given = self.given(&stage.text, &shape, gathered);
        let mut attempt = Attempt::InFull(String::new());
        if stage.summing.is_some() {
            let figures = step.refresh.get_or_insert_with(RefreshFigures::default);
            *figures = self.expected(&facts.model.table, &facts.fingerprint, old.rows)?;
            attempt = self.by_deltas(facts, stage, &old, &columns, gathered, &given, step)?;
            step.reason = match &attempt {
                Attempt::Done(_) => format!("{}; added and subtracted", step.reason),
                Attempt::InFull(reason) => format!("{}; {reason}", step.reason),
            };
        }
        if matches!(attempt, Attempt::InFull(_)) {
            attempt = self.refresh_by_given(facts, &given, &old, &columns, step)?;
        }
        let Refreshed { counts, change } = match attempt {
            Attempt::Done(refreshed) => {
                step.strategy = Strategy::Incremental;
                refreshed
            }
            Attempt::InFull(reason) => {
                step.strategy = Strategy::FullDifference;
                step.reason = format!("{}; {reason}", step.reason);
                let new = self.database.temporary("new");
                let select = format!("select q.*, {}::bigint as {RUN_COLUMN} from ({}\n) q", self.run, facts.sql);
                let computed = self.database.make_counted(&new, &select)?;
                fail::fail_point!("run::stage-computed", |_| Err(RunError::failed_at("run::stage-computed")));
                let (counts, change) = self.apply_difference(NewContents {
                    old: self.physical(&old.physical)?,
                    old_rows: RowIdentifier::of_table(self.database.dialect, false),
                    part: None,
                    new: new.clone(),
                    rows: computed,
                    compared: Some(old.rows),
                    columns,
                    bookkeeping: vec![RUN_COLUMN],
                    key: stage.key.clone(),
                    sameness: Sameness::Computed,
                    watched: true,
                })?;
                Refreshed { counts, change }
            }
        };
        step.counts = counts;
        let mut rows = old.rows;
        let mut changed_run = old.changed_run;
        if change.any() {
            rows = self.rows_after(&old.physical, old.rows, &counts)?;
            changed_run = self.run;
        }
        step.rows_after = rows;
        Ok((TableState { rows, changed_run, refreshed_run: self.run, ..old }, change))
    }
}

pub(super) fn is_stage(name: &[String]) -> bool {
    name.first().is_some_and(|schema| schema == thalweg_sql::refresh::split::STAGE_SCHEMA)
}

/// The model of a stage, to people.
fn owner_of(stage: &TableName) -> String {
    let model = stage.name.rsplit_once('.').map_or(stage.name.as_str(), |(model, _)| model);
    format!("{}.{model}", stage.schema)
}

fn shown(changed: &[String]) -> String {
    if changed.is_empty() {
        return "something".to_owned();
    }
    let prefix = format!("{}.", thalweg_sql::refresh::split::STAGE_SCHEMA);
    let words: Vec<String> = changed
        .iter()
        .map(|name| name.strip_prefix(&prefix).map_or(name.clone(), |stage| format!("stage {stage}")))
        .collect();
    words.join(", ")
}
