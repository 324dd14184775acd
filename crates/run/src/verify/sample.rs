//! Comparing a part of a table with what it ought to be: some keys, chosen anew each time.
//!
//! Keys are taken from two sides, because each alone is blind for one kind of fault: from the rows that are stored, and from what
//! some rows of the inputs touch, whether a row is stored for it or not.

use thalweg_project::TableName;
use thalweg_sql::refresh::{ChangedInput, Discovery, Inputs, Shape};
use thalweg_sql::statement::TypedColumn;
use thalweg_sql::statement::relation::{column_list, found_keys, qualified};

use crate::answer::VerifyOutcome;
use crate::error::RunError;
use crate::publish::Publication;
use crate::publish::model::{is_view, tracked_inputs};
use crate::table_state::TableState;
use crate::verify::{Compared, compare};

/// A part of all keys.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Between 0 and 1.
    pub share: f64,
    /// Chooses which.
    pub seed: i64,
}

/// At least so many keys are looked at, where there are as many.
const FEWEST: u64 = 100;

impl Sample {
    /// Of so many in a million.
    fn per_million(self) -> u64 {
        (self.share.clamp(0.0, 1.0) * 1e6).ceil() as u64
    }

    /// A condition that holds for the chosen part of all values of these expressions.
    pub fn condition(self, publication: &Publication<'_>, expressions: &str) -> String {
        publication.database.dialect.is_sampled(expressions, self.seed, self.per_million())
    }
}

/// Compares the rows of some keys of a model with its query.
pub fn verify_model(
    publication: &mut Publication<'_>,
    node: usize,
    table: &TableName,
    state: &TableState,
    columns: &[TypedColumn],
    shape: &Shape,
    sample: Sample,
) -> Result<VerifyOutcome, RunError> {
    let dialect = publication.database.dialect;
    let physical = publication.physical(&state.physical)?;
    let key = |alias: &str| column_list(dialect, alias, shape.key_columns().iter().map(String::as_str));
    let stored_key = publication.database.name(key("t"))?;
    let condition = sample.condition(publication, &stored_key);
    let prefix = publication.database.prefix();
    let mut parts = vec![format!("select {stored_key} from {physical} t where {condition}")];
    let most = FEWEST.max((state.rows as f64 * sample.share) as u64);
    let inputs = current(publication, node)?;
    for (name, relation) in inputs.current.clone() {
        let part = publication.database.prefix();
        let identifier = dialect.row_identifier();
        let chosen = sample.condition(publication, &format!("i.{identifier}"));
        let (none, rows) = (format!("{part}none"), format!("{part}rows"));
        publication.database.make(&none, &format!("select i.* from {relation} i limit 0"))?;
        publication.database.make(&rows, &format!("select i.* from {relation} i where {chosen}"))?;
        let mut touched = inputs.clone();
        touched.changed.insert(name, ChangedInput { before: none, after: rows, old: None });
        if let Discovery::Keys(statements) =
            shape.discover(dialect, &touched, &part).map_err(|error| publication.database.bad_name(error))?
        {
            for statement in &statements {
                publication.database.make(&statement.creates, &statement.select)?;
            }
            if let Some(affected) = statements.last() {
                let columns = publication.database.name(key("a"))?;
                parts.push(format!("select * from (select {columns} from {} a limit {most}) m", affected.creates));
            }
        }
    }
    let affected = format!("{prefix}keys");
    let keys = publication
        .database
        .make_counted(&affected, &format!("select distinct * from ({}) k", parts.join(" union all ")))?;
    let mut nulls = Vec::new();
    for name in shape.key_columns() {
        let column = publication.database.name(qualified(dialect, "a", name))?;
        nulls.push(publication.database.any(&format!("select 1 from {affected} a where {column} is null limit 1"))?);
    }
    let fresh = shape
        .restrict(dialect, &inputs, &prefix, &affected, &nulls)
        .map_err(|error| publication.database.bad_name(error))?;
    for statement in &fresh.before {
        publication.database.make(&statement.creates, &statement.select)?;
    }
    let expected = publication.database.temporary("expected");
    publication.database.make(&expected, &format!("select q.* from ({}\n) q", fresh.select))?;
    let same = publication.database.name(found_keys(dialect, ("a", "t"), shape.key_columns(), &nulls, columns))?;
    let stored = publication.database.temporary("stored");
    publication.database.make(
        &stored,
        &format!("select t.* from {physical} t where exists (select 1 from {affected} a where {same})"),
    )?;
    let compared = Compared { table, against: "its query", state, stored: &stored, expected: &expected };
    let mut outcome = compare(publication, &compared, columns)?;
    outcome.remark = Some(format!("a sample of {keys} keys"));
    publication.database.drop_temporary()?;
    Ok(outcome)
}

/// The stored tables a model reads.
fn current(publication: &Publication<'_>, node: usize) -> Result<Inputs, RunError> {
    let mut inputs = Inputs::default();
    for input in tracked_inputs(publication.project, publication.compiled, node) {
        if is_view(publication.project, publication.compiled, input) {
            continue;
        }
        let id = &publication.compiled.nodes[input].id;
        if let Some(state) = publication.tables.get(id) {
            inputs.current.insert(publication.published_parts(id), publication.physical(&state.physical)?);
        }
    }
    Ok(inputs)
}
