//! Stages of counts and sums over large groups, kept by adding and subtracting what changed.
//!
//! Whether a model has them is decided when it is computed in full: where on average enough rows share a group. After that, that they
//! stand is the decision. They are refreshed with their model, in one transaction, so each change is added once.

use std::collections::{BTreeMap, BTreeSet};

use thalweg_project::RefreshPin;
use thalweg_sql::refresh::split::{STAGE_SCHEMA, placed};
use thalweg_sql::refresh::summed::{self, Candidate, Delta, Summing, Typing};
use thalweg_sql::refresh::{Inputs, Split, Stage, SwitchedOff, WithStages};
use thalweg_sql::statement::TypedColumn;

use super::inputs::Gathered;
use super::shapes::{KnownTables, settled_text};
use super::stages::{GivenInputs, Part, is_stage, stage_name};
use super::{Attempt, Refreshed, set_keys};
use crate::change::Change;
use crate::error::RunError;
use crate::outcome::{Counts, StepOutcome};
use crate::publish::Publication;
use crate::publish::model::ModelFacts;
use crate::table_state::TableState;

/// So many rows of the largest table tell how large the groups are.
const SAMPLE: u64 = 50_000;

/// So many rows of a table tell how many pieces there are: one row is mostly one piece, or none.
const SAMPLE_OF_PIECES: u64 = 5_000;

/// What a sample of a table shows of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Groups {
    /// How many of a million rows are in it.
    per_million: u64,
    /// Rows in groups.
    rows: u64,
    /// Groups it shows, and those of which it shows one row and two.
    shown: u64,
    once: u64,
    twice: u64,
}

impl Groups {
    fn is_part(self) -> bool {
        self.per_million < 1_000_000
    }

    /// Whether so many rows share a group: how many groups the sample does not show follows from how many it shows once and twice.
    fn are_large(self, wanted: u64) -> bool {
        let unseen = if self.is_part() { self.once * self.once / (2 * self.twice.max(1)) } else { 0 };
        let all = u128::from(self.rows) * 1_000_000 / u128::from(self.per_million.max(1));
        all >= u128::from(self.shown + unseen) * u128::from(wanted.max(1)) && self.rows > 0
    }

    /// How many groups there are at the most: as many in each part of the table as in the sample, and none in two of them.
    fn at_most(self) -> u64 {
        let all = u128::from(self.shown) * 1_000_000 / u128::from(self.per_million.max(1));
        u64::try_from(all).unwrap_or(u64::MAX)
    }
}

/// The texts of the stages among some tables, in parentheses; `None` where one has more than a row or reads another.
fn stages_of_one_row(split: &Split, names: &BTreeSet<Vec<String>>) -> Option<BTreeMap<Vec<String>, String>> {
    let of = |name: &Vec<String>| {
        let stage = split.stages.iter().find(|stage| stage.table() == *name)?;
        let plain = stage.one_row && !stage.text.contains(STAGE_SCHEMA);
        plain.then(|| (name.clone(), format!("({})", stage.text)))
    };
    names.iter().filter(|name| is_stage(name)).map(of).collect()
}

impl Publication<'_> {
    /// The parts of a model with the sums that stand.
    pub(super) fn with_standing_sums(&self, node: usize, split: Split) -> Split {
        let table = &self.compiled.nodes[node].id;
        if !self.stages.any_of(table, summed::is_sums) {
            return split;
        }
        let candidates = self.sums_of(node, &split);
        let standing = |candidate: &Candidate| {
            let state = self.stages.get(&stage_name(table, &candidate.stage.name))?;
            let columns = state.typed_columns(self.database.dialect);
            let columns = columns.iter().map(|column| (column.name.as_str(), column.engine_type.as_str()));
            let typing = Typing::of_stage(self.database.dialect, candidate.stage.summing.as_ref()?, columns);
            candidate.typed(self.database.dialect, &typing)
        };
        let standing: Vec<Candidate> = candidates.iter().filter_map(standing).collect();
        if standing.is_empty() { split } else { summed::with(&self.as_parts(node, split), &standing) }
    }

    /// The split of a model; the whole text as what is left where it has no stages.
    fn as_parts(&self, node: usize, split: Split) -> Split {
        if !split.is_whole() {
            return split;
        }
        // As it is in full builds.
        let settled = settled_text(self.project, self.compiled, &self.tables, node);
        match settled.or_else(|| self.compiled.refresh_sql(node).map(str::to_owned)) {
            Some(rest) => Split { stages: Vec::new(), rest },
            None => split,
        }
    }

    fn sums_of(&self, node: usize, split: &Split) -> Vec<Candidate> {
        let dialect = self.database.dialect;
        let known = KnownTables { project: self.project, tables: &self.tables, dialect };
        summed::candidates(&self.as_parts(node, split.clone()), dialect, &known)
    }

    /// Decides which sums a model has that is computed in full; whether it has any.
    pub(super) fn choose_sums(&mut self, node: usize) -> Result<bool, RunError> {
        let base = self.split_without_sums(node);
        let mut chosen: Vec<Candidate> = Vec::new();
        if base.1 {
            for candidate in self.sums_of(node, &base.0) {
                if !chosen.iter().any(|other| candidate.is_instead_of(other)) {
                    chosen.extend(self.worth_keeping(&candidate, &base.0)?);
                }
            }
        }
        let any = !chosen.is_empty();
        let split = if any { summed::with(&self.as_parts(node, base.0), &chosen) } else { base.0 };
        self.refreshing.splits.insert(node, std::rc::Rc::new(split));
        Ok(any)
    }

    /// Computes a model in full that is to have sums from now on, because too much of it is touched by changes; whether it is to.
    pub fn refresh_with_sums(
        &mut self,
        node: usize,
        facts: &ModelFacts<'_>,
        step: &mut StepOutcome,
    ) -> Result<bool, RunError> {
        if self.refreshing.in_full.contains_key(&facts.model.table) || facts.model.refresh != RefreshPin::Auto {
            return Ok(false);
        }
        self.refresh_by_stages(node, facts, false, step)
    }

    /// A table of so many rows is large.
    fn large_rows(&self) -> u64 {
        self.refreshing.large.grouped.unwrap_or_else(|| self.database.dialect.rows_grouped_quickly())
    }

    /// A candidate as the types of its columns need it, where what it holds is exact and its groups are large.
    fn worth_keeping(&mut self, candidate: &Candidate, split: &Split) -> Result<Option<Candidate>, RunError> {
        let Some(summing) = &candidate.stage.summing else { return Ok(None) };
        let in_pieces = !summing.pieces_of.is_empty();
        let names = self.tables_of(&candidate.stage.text);
        let Some(stages) = stages_of_one_row(split, &names).filter(|stages| in_pieces || stages.is_empty()) else {
            return Ok(None);
        };
        let counts = |name: &Vec<String>| match (summing.total, in_pieces) {
            (true, _) => summing.linear.contains(name) || names.contains(name),
            (_, true) => names.contains(name),
            _ => summing.linear.contains(name),
        };
        let Some((largest, state)) = self.largest_of(counts) else { return Ok(None) };
        if state.rows < self.large_rows() {
            return Ok(None);
        }
        let dialect = self.database.dialect;
        // The stages are not made yet.
        let placed = |text: &str| placed(text, dialect, &stages).unwrap_or_else(|_| text.to_owned());
        let types = self.database.describe(&placed(&summing.probe))?;
        let typing = Typing::of_probe(dialect, summing, types.iter().map(|column| column.engine_type.as_str()));
        let Some(typed) = typing.and_then(|typing| candidate.typed(dialect, &typing)) else { return Ok(None) };
        let wanted = self.refreshing.large.rows_per_group;
        let worth = if in_pieces {
            let Some((sampled, of)) = self.largest_of(|name| summing.pieces_of.contains(name)) else { return Ok(None) };
            let groups = self.groups(&placed(&typed.stage.text), &sampled, &of, SAMPLE_OF_PIECES)?;
            groups.is_some_and(|groups| groups.at_most().saturating_mul(wanted.max(1)) <= state.rows)
        } else if summing.total {
            // A total of everything has no key by which it could be refreshed otherwise.
            true
        } else {
            let groups = self.groups(&typed.stage.text, &largest, &state, SAMPLE)?;
            groups.is_some_and(|groups| groups.are_large(wanted))
        };
        Ok(worth.then_some(typed))
    }

    /// The largest of some tables, by the names under which texts read them.
    fn largest_of(&self, which: impl Fn(&Vec<String>) -> bool) -> Option<(Vec<String>, TableState)> {
        let states = self.tables.iter().filter(|(_, state)| !state.physical.is_empty());
        states
            .map(|(table, state)| (self.published_parts(table), state))
            .filter(|(name, _)| which(name))
            .max_by_key(|(_, state)| state.rows)
            .map(|(name, state)| (name, state.clone()))
    }

    /// The groups of a stage's text, estimated from so many rows of a table; `None` where that cannot be.
    fn groups(
        &mut self,
        text: &str,
        table: &[String],
        state: &TableState,
        sample: u64,
    ) -> Result<Option<Groups>, RunError> {
        let dialect = self.database.dialect;
        let per_million = (sample.saturating_mul(1_000_000) / state.rows.max(1)).clamp(1, 1_000_000);
        let physical = self.physical(&state.physical)?;
        let relation = match dialect.sample(&physical, self.run, per_million) {
            _ if per_million == 1_000_000 => physical,
            // How many rows it has decides about how the engine goes on from there.
            Some(sample) => self.database.make_named("sample", &sample)?,
            None => {
                let row = format!("r.{}", dialect.row_identifier());
                format!("(select r.* from {physical} r where {})", dialect.is_sampled(&row, self.run, per_million))
            }
        };
        let known = KnownTables { project: self.project, tables: &self.tables, dialect };
        let sampled = summed::over(text, dialect, &known, table, &relation);
        let Some(sampled) = sampled.map_err(|error| self.database.bad_name(error))? else { return Ok(None) };
        let rows = summed::ROWS;
        let numbers = self.database.counts(&format!(
            "select coalesce(sum(q.{rows}), 0)::bigint, count(*), count(*) filter (where q.{rows} = 1), count(*) filter (where q.{rows} = 2) \
             from ({sampled}\n) q"
        ))?;
        let [rows, shown, once, twice] = numbers[..] else { return Ok(None) };
        Ok(Some(Groups { per_million, rows, shown, once, twice }))
    }

    /// What finds what is to be added to a stage's rows, for people: all changes at once.
    pub fn delta_of(&self, part: &Part, inputs: &Inputs) -> Option<String> {
        let dialect = self.database.dialect;
        let known = KnownTables { project: self.project, tables: &self.tables, dialect };
        match part.summing.as_ref()?.delta(&part.text, dialect, &known, inputs, &SwitchedOff::default()) {
            Ok(Delta::Rows(select)) => Some(select),
            _ => None,
        }
    }

    /// Adds to a stage what came and takes from it what went.
    #[expect(clippy::too_many_arguments, reason = "one refresh is made of these")]
    pub(super) fn by_deltas(
        &mut self,
        facts: &ModelFacts<'_>,
        stage: &Stage,
        old: &TableState,
        columns: &[TypedColumn],
        gathered: &Gathered,
        given: &GivenInputs<'_>,
        step: &mut StepOutcome,
    ) -> Result<Attempt, RunError> {
        let Some(summing) = &stage.summing else { return Ok(Attempt::InFull("it holds no sums".to_owned())) };
        if let Some(reason) = &gathered.unknown {
            return Ok(Attempt::InFull(reason.clone()));
        }
        let dialect = self.database.dialect;
        let names = self.tables_of(&stage.text);
        let changed: u64 = names.iter().filter_map(|name| gathered.numbers.get(name)).sum();
        let read = self.rows_read(facts);
        if changed > read / 2 && changed > self.large_rows() {
            return Ok(Attempt::InFull(format!("{changed} rows changed in what it reads, which has {read}")));
        }
        // Of groups that are quickly computed anew, many may be touched by few rows.
        if let Some(reason) = self.sums_took_longer(facts, old.rows, changed)? {
            return Ok(Attempt::InFull(reason));
        }
        let mut inputs = gathered.inputs.clone();
        let linear = |name: &Vec<String>| !inputs.changed.contains_key(name) || summing.linear.contains(name);
        if let (Ok(shape), false) = (given.shape, names.iter().all(linear)) {
            // What changed in a table may be nothing that the stage looks at.
            let (seen, _) = self.seen_by(shape, given)?;
            inputs.changed.retain(|name, _| seen.changed.contains_key(name) || summing.linear.contains(name));
        }
        for changed in inputs.changed.values() {
            for relation in [&changed.before, &changed.after] {
                if self.database.rows_of(relation)? == 0 {
                    inputs.empty.insert(relation.clone());
                }
            }
        }
        let delta = {
            let known = KnownTables { project: self.project, tables: &self.tables, dialect };
            let tables = WithStages { inputs: &known, stages: gathered.tables.clone() };
            summing
                .delta(&stage.text, dialect, &tables, &inputs, &SwitchedOff::default())
                .map_err(|error| self.database.bad_name(error))?
        };
        let select = match delta {
            Delta::Rows(select) => select,
            Delta::Nothing => {
                set_keys(step, 0);
                return Ok(Attempt::Done(Refreshed { counts: Counts::default(), change: Change::None }));
            }
            Delta::NotLinear(tables) => {
                let tables: Vec<String> = tables.iter().map(|name| name.join(".")).collect();
                return Ok(Attempt::InFull(format!("a change of {} cannot be added", tables.join(", "))));
            }
        };
        let delta = self.database.temporary("delta");
        let groups = self.database.make_counted(&delta, &select)?;
        fail::fail_point!("run::refresh-discovered", |_| Err(RunError::failed_at("run::refresh-discovered")));
        if let Some(figures) = &mut step.refresh {
            figures.upstream = Some(changed);
        }
        set_keys(step, groups);
        if groups == 0 {
            self.database.forget_one(&delta)?;
            return Ok(Attempt::Done(Refreshed { counts: Counts::default(), change: Change::None }));
        }
        let typed: Vec<(String, String)> =
            columns.iter().map(|column| (column.name.clone(), column.engine_type.clone())).collect();
        let physical = self.physical(&old.physical)?;
        let sql = summing.merged(dialect, &physical, &delta, &typed, self.run);
        let sql = sql.map_err(|error| self.database.bad_name(error))?;
        let merged = self.database.make_named("merged", &sql)?;
        fail::fail_point!("run::refresh-computed", |_| Err(RunError::failed_at("run::refresh-computed")));
        let sql = summing.count_merged(dialect, &merged).map_err(|error| self.database.bad_name(error))?;
        let numbers = self.database.counts(&sql)?;
        let [impossible, deleted, inserted, updated] = numbers[..] else {
            return Ok(Attempt::InFull("its rows could not be counted".to_owned()));
        };
        self.database.forget_one(&delta)?;
        if impossible > 0 {
            self.database.forget_one(&merged)?;
            return Ok(Attempt::InFull("more rows went than it had counted".to_owned()));
        }
        fail::fail_point!("run::refresh-stored", |_| Err(RunError::failed_at("run::refresh-stored")));
        let gone = self.database.name(Summing::gone(dialect, &merged, &typed))?;
        let before = self.database.inline(&gone, deleted);
        let came = self.database.name(Summing::came(dialect, &merged, &typed))?;
        let after = self.database.inline(&came, inserted);
        if deleted > 0 {
            self.database.execute(&Summing::delete_gone(dialect, &physical, &merged))?;
        }
        if inserted > 0 {
            let sql = self.database.name(Summing::insert_came(dialect, &physical, &merged, &typed))?;
            self.database.execute(&sql)?;
        }
        fail::fail_point!("run::refresh-applied", |_| Err(RunError::failed_at("run::refresh-applied")));
        if let Some(figures) = &mut step.refresh {
            figures.rows_read = inserted + deleted;
            figures.rows_written = inserted + deleted;
        }
        let counts =
            Counts { inserted: inserted - updated, updated, deleted_missing: deleted - updated, ..Counts::default() };
        Ok(Attempt::Done(Refreshed { counts, change: Change::Rows { before, after } }))
    }
}
