//! Refreshing a model by what changed in its inputs: the keys a change can touch are found, recomputed, compared with what is stored,
//! and only the difference is written.
//!
//! What is sent is decided by [`Shape`]; here it is sent. Whatever stands in the way is a reason to compute the model anew, never an
//! error. An error in a statement made here is not the model's error either: the transaction is lost by it, and the run begins again
//! with that model marked ([`RunError::Incremental`]).

mod apply;
pub mod clock;
pub mod cost;
mod deltas;
mod inputs;
pub mod shapes;
pub mod stages;
mod steady;
mod sums;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use thalweg_project::{RefreshPin, TableName};
use thalweg_sql::refresh::{Discovery, Inputs, Shape, Split, Statement};
use thalweg_sql::statement::TypedColumn;
use thalweg_warehouse::ledger::RefreshRow;
use thalweg_warehouse::{WarehouseError, WarehouseErrorKind};

use crate::change::Change;
use crate::error::RunError;
use crate::options::LargeTables;
use crate::outcome::{Counts, RefreshFigures, StepOutcome};
use crate::publish::Publication;
use crate::publish::model::ModelFacts;
use crate::publish::refresh::apply::Keyed;
use crate::publish::refresh::cost::{Costs, Keys};
use crate::publish::refresh::deltas::Rows;
use crate::publish::refresh::stages::GivenInputs;
use crate::table_state::TableState;

/// A table of so few rows is read faster than anything is found out about it.
const SMALL_INPUT: u64 = 20_000;

/// What the refreshes of a run know.
#[derive(Debug, Default)]
pub struct Refreshing {
    /// Shapes that were read, by node.
    shapes: HashMap<usize, Rc<Result<Shape, shapes::Full>>>,
    /// The parts of models, by node.
    splits: HashMap<usize, Rc<Split>>,
    /// What changed in a table since a run of it, as relations that are cheap to read.
    deltas: HashMap<(TableName, i64), Rows>,
    /// The same as texts see it that look at some columns only, by the query for it.
    seen: HashMap<String, (Rows, u64)>,
    /// Models that must be computed anew, because a statement of their refresh failed.
    in_full: BTreeMap<TableName, String>,
    /// What earlier refreshes cost, once it was asked for.
    costs: Option<Costs>,
    /// This is a run, and the ledger was prepared for it.
    publishes: bool,
    /// Which tables are large.
    large: LargeTables,
    /// What the time answers in this run, as far as it was asked.
    clock: clock::ClockValues,
    /// What this run's refreshes were.
    pub records: Vec<RefreshRow>,
}

impl Refreshing {
    /// Of a run in which some models must be computed anew, with the reasons.
    pub fn new(in_full: BTreeMap<TableName, String>, large: LargeTables) -> Self {
        Self { in_full, large, publishes: true, ..Self::default() }
    }

    /// Whether a model must be computed anew, because a statement that was made for it failed.
    pub fn is_in_full(&self, table: &TableName) -> bool {
        self.in_full.contains_key(table)
    }
}

/// How an attempt to refresh by changes ended.
#[derive(Debug)]
pub enum Attempt {
    /// It is done.
    Done(Refreshed),
    /// The model must be computed anew, and why.
    InFull(String),
}

/// What a refresh by changes did.
#[derive(Debug)]
pub struct Refreshed {
    /// Rows written.
    pub counts: Counts,
    /// What changed for readers.
    pub change: Change,
}

impl Publication<'_> {
    /// Brings a model's table up to date by what changed in its inputs, if that can be done and is cheaper.
    pub fn refresh_by_changes(
        &mut self,
        node: usize,
        facts: &ModelFacts<'_>,
        old: &TableState,
        columns: &[TypedColumn],
        step: &mut StepOutcome,
    ) -> Result<Attempt, RunError> {
        let table = facts.model.table.clone();
        if let Some(reason) = self.refreshing.in_full.get(&table) {
            return Ok(Attempt::InFull(reason.clone()));
        }
        let shape = self.shape(node);
        if let Err(full) = shape.as_ref() {
            return Ok(Attempt::InFull(full.reason.clone()));
        }
        let mut gathered = self.gather(node, &table, true)?;
        match self.clock_changes(&table, &facts.clock)? {
            Some(changes) => gathered.inputs.clock = changes,
            None => return Ok(Attempt::InFull("it is not known what time it read last".into())),
        }
        let given = GivenInputs {
            shape: &shape,
            inputs: &gathered.inputs,
            numbers: &gathered.numbers,
            unknown: gathered.unknown,
            only_stages: false,
            untouched: false,
        };
        let attempt = self.refresh_by_given(facts, &given, old, columns, step);
        attempt.map_err(|error| generated(&table, error))
    }

    #[expect(clippy::too_many_arguments, reason = "one refresh is made of these")]
    fn by_keys(
        &mut self,
        facts: &ModelFacts<'_>,
        shape: &Shape,
        inputs: &Inputs,
        old: &TableState,
        columns: &[TypedColumn],
        step: &mut StepOutcome,
        pinned: bool,
    ) -> Result<Attempt, RunError> {
        let dialect = self.database.dialect;
        let prefix = self.database.prefix();
        let nothing = || Refreshed { counts: Counts::default(), change: Change::None };
        self.index_what_went(shape, inputs)?;
        let mut inputs = inputs.clone();
        let upstream = step.refresh.as_ref().and_then(|figures| figures.upstream).unwrap_or(0);
        inputs.small = self.small_inputs(&inputs, upstream);
        let statements =
            match shape.discover(dialect, &inputs, &prefix).map_err(|error| self.database.bad_name(error))? {
                Discovery::Nothing => {
                    set_keys(step, 0);
                    return Ok(Attempt::Done(nothing()));
                }
                Discovery::Everything(obstacle) => return Ok(Attempt::InFull(obstacle.reason)),
                Discovery::Keys(statements) => statements,
            };
        for statement in &statements {
            self.database.make(&statement.creates, &statement.select)?;
        }
        fail::fail_point!("run::refresh-discovered", |_| Err(RunError::failed_at("run::refresh-discovered")));
        let Some(affected) = statements.last().map(|statement| statement.creates.clone()) else {
            return Ok(Attempt::InFull("no statement finds its keys".into()));
        };
        let (keys, nulls) = self.affected(&affected, shape.key_columns())?;
        set_keys(step, keys);
        if keys == 0 {
            self.database.forget(&prefix)?;
            return Ok(Attempt::Done(nothing()));
        }
        let verdict = if pinned { Keys::Few } else { self.how_many(facts, old, shape.key_columns(), keys, step)? };
        let most = match verdict {
            Keys::Few => None,
            Keys::Perhaps(most, reason) => Some((most, reason)),
            Keys::Many(reason) => {
                self.database.forget(&prefix)?;
                return Ok(Attempt::InFull(reason));
            }
        };
        inputs.small = self.small_inputs(&inputs, keys);
        let fresh = shape
            .restrict(dialect, &inputs, &prefix, &affected, &nulls)
            .map_err(|error| self.database.bad_name(error))?;
        if let Some(reason) = self.keep_rows(&fresh.before, most)? {
            self.database.forget(&prefix)?;
            return Ok(Attempt::InFull(reason));
        }
        let keys = Keyed { key: shape.key_columns(), affected: &affected, nulls: &nulls };
        let steady = self.steady(shape, &inputs, old, columns)?;
        let refreshed = self.replace_keys(facts, old, columns, &fresh.select, keys, steady.as_ref(), step)?;
        self.database.forget(&prefix)?;
        Ok(Attempt::Done(refreshed))
    }

    /// Keeps the rows that keys lead to. Where there may be so many at most, why there are more, or that they are not known before.
    fn keep_rows(&mut self, statements: &[Statement], most: Option<(u64, String)>) -> Result<Option<String>, RunError> {
        if let Some((_, reason)) = most.as_ref().filter(|_| statements.is_empty()) {
            return Ok(Some(reason.clone()));
        }
        let mut left = most.as_ref().map(|(most, _)| *most);
        for Statement { creates, select, looked_up } in statements {
            let bounded = left.map(|left| format!("select * from ({select}\n) s limit {}", left + 1));
            let rows = self.database.make_counted(creates, bounded.as_ref().unwrap_or(select))?;
            if let (Some(left), Some((most, reason))) = (&mut left, &most) {
                if rows > *left {
                    return Ok(Some(format!("{reason}; they lead to more than {most} rows")));
                }
                *left -= rows;
            }
            for columns in looked_up {
                self.index_temporary(creates, columns)?;
            }
        }
        Ok(None)
    }

    /// The inputs of which reading everything is cheaper than finding the rows that so many keys or changed rows need.
    fn small_inputs(&self, inputs: &Inputs, keys: u64) -> BTreeSet<Vec<String>> {
        let most = SMALL_INPUT + keys.saturating_mul(2);
        let tables = self.tables.iter().filter(|(_, state)| state.rows <= most && !state.physical.is_empty());
        tables.map(|(table, _)| self.published_parts(table)).filter(|name| inputs.current.contains_key(name)).collect()
    }

    /// The number of affected keys, and which of their columns hold a NULL.
    fn affected(&mut self, affected: &str, key: &[String]) -> Result<(u64, Vec<bool>), RunError> {
        let mut counts = vec!["count(*)".to_owned()];
        for name in key {
            counts.push(format!("count({})", self.database.name(self.database.dialect.quote_identifier(name))?));
        }
        let numbers = self.database.counts(&format!("select {} from {affected}", counts.join(", ")))?;
        let keys = numbers.first().copied().unwrap_or(0);
        Ok((keys, numbers.iter().skip(1).map(|number| *number < keys).collect()))
    }

    /// Refuses to compute a model anew that is pinned to incremental refreshes.
    pub fn refuse_full(&self, facts: &ModelFacts<'_>, reason: &str) -> Result<(), RunError> {
        if facts.model.refresh != RefreshPin::Incremental {
            return Ok(());
        }
        Err(self.database.error(WarehouseError::new(
            WarehouseErrorKind::Statement,
            format!(
                "it is pinned to `refresh: incremental` and would have to be computed anew: {reason}; `thalweg explain {}` says more, \
                 `refresh: auto` allows it, `--full-refresh` does it once",
                facts.model.table
            ),
        )))
    }
}

fn set_keys(step: &mut StepOutcome, keys: u64) {
    step.refresh.get_or_insert_with(RefreshFigures::default).keys = Some(keys);
}

/// An error of a statement that was made here.
pub fn generated(table: &TableName, error: RunError) -> RunError {
    match error {
        // The whole publication is tried without the indexes that hold texts first.
        limit @ RunError::Table { .. } if limit.is_limit_exceeded() => limit,
        RunError::Table { error, .. } => {
            RunError::Incremental { table: table.clone(), reason: first_line(&error.message) }
        }
        RunError::Warehouse(error) if error.kind.is_of_statement() => {
            RunError::Incremental { table: table.clone(), reason: first_line(&error.message) }
        }
        other => other,
    }
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}
