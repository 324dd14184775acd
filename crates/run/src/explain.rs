//! How a model is refreshed: by which keys, how a change of each input finds them, what is sent; or why it is computed anew.

use serde::Serialize;
use thalweg_project::{Diagnostic, Location, Materialized, Project, TableName, locate};
use thalweg_sql::refresh::split::STAGE_SCHEMA;
use thalweg_sql::refresh::{ChangedInput, Discovery, Inputs, Obstacle, Restriction, Shape};
use thalweg_sql::{Compiled, NodeKind};

use crate::error::RunError;
use crate::event::Silent;
use crate::known::{self, Known};
use crate::look::{looking, named_table};
use crate::outcome::RefreshFigures;
use crate::publish::Publication;
use crate::publish::model::{is_view, tracked_inputs};
use crate::publish::refresh::stages::Parts;
use crate::workbench::Workbench;

/// How a model is refreshed.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The model.
    pub table: String,
    /// Its file.
    pub file: String,
    /// Whether changes of its inputs refresh it.
    pub incremental: bool,
    /// The columns by which its rows are replaced.
    pub key: Vec<String>,
    /// Why these.
    pub key_reason: String,
    /// How a change of each table finds its keys, in words.
    pub how: Vec<String>,
    /// The statements for a change of each table alone.
    pub changes: Vec<ExplainedChange>,
    /// The query that computes the rows of the affected keys.
    pub restricted: Option<String>,
    /// What was done at each place where the query names a table.
    pub restrictions: Vec<String>,
    /// Parts of its query that are kept as tables nobody sees, in the order in which they are refreshed. The model reads them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<ExplainedStage>,
    /// Where its text leaves an order of rows open, and what was done about it.
    pub ties: Vec<String>,
    /// Why it is computed anew, where it is.
    pub because: Option<String>,
    /// The construct that stands in the way, with its place and what to write instead.
    #[serde(skip)]
    pub obstacle: Option<Diagnostic>,
    /// What to write instead.
    pub instead: Option<String>,
    /// The last refreshes, newest first: how, why and at what cost.
    pub past: Vec<PastRefresh>,
}

/// What a change of one table sets going.
#[derive(Debug, Serialize)]
pub struct ExplainedChange {
    /// The table.
    pub table: String,
    /// What is sent, in order; the last finds the affected keys.
    pub statements: Vec<String>,
    /// Why everything must be computed anew when this table changes, or that nothing has to.
    pub remark: Option<String>,
}

/// A stage of a model.
#[derive(Debug, Serialize)]
pub struct ExplainedStage {
    /// Its name.
    pub table: String,
    /// Why it is kept: what could not be followed without it.
    pub reason: String,
    /// The columns by which its rows are replaced; empty where it is computed anew.
    pub key: Vec<String>,
    /// Why it is computed anew when something it reads changes, where it is.
    pub because: Option<String>,
    /// The query of what is added to its rows when the tables it reads change, where it is kept so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added: Option<String>,
    /// What it holds.
    pub sql: String,
}

/// A refresh that was.
#[derive(Debug, Serialize)]
pub struct PastRefresh {
    /// The run.
    pub run: i64,
    /// How.
    pub strategy: String,
    /// Why so.
    pub reason: String,
    /// Time taken.
    pub seconds: f64,
    /// What it looked at.
    #[serde(flatten)]
    pub figures: RefreshFigures,
}

/// Refreshes shown.
const PAST: usize = 5;
/// The name under which the affected keys stand in the shown query.
const AFFECTED: &str = "affected";
/// How the names of the temporary tables in the shown statements begin.
const SHOWN_PREFIX: &str = "step_";

/// See [`Workbench::explain`].
pub fn explain(bench: &Workbench, what: &str) -> Result<Explanation, RunError> {
    let (project, compiled) = (bench.project(), bench.compiled());
    let table = named_table(bench, what)?;
    let model = compiled.node(&table).and_then(|node| match compiled.nodes[node].kind {
        NodeKind::Model(index) => Some((node, &project.models[index])),
        _ => None,
    });
    let Some((node, model)) = model else {
        return Err(RunError::NotFound(format!(
            "{table} is no model: only models are refreshed by the changes of others"
        )));
    };
    let mut explanation = Explanation {
        table: table.to_string(),
        file: model.file.clone(),
        incremental: false,
        key: Vec::new(),
        key_reason: String::new(),
        how: Vec::new(),
        changes: Vec::new(),
        restricted: None,
        restrictions: Vec::new(),
        stages: Vec::new(),
        ties: Vec::new(),
        because: None,
        obstacle: None,
        instead: None,
        past: Vec::new(),
    };
    match model.materialized {
        Materialized::View => {
            explanation.because = Some("it is a view: its readers look through it, and it needs no refresh".into());
            return Ok(explanation);
        }
        Materialized::Ephemeral => {
            explanation.because = Some("it is ephemeral: it is refreshed as a part of the models that read it".into());
            return Ok(explanation);
        }
        Materialized::Table => {}
    }
    let Some(mut connection) = bench.reader()? else {
        explanation.because =
            Some("nothing was built yet, so the columns of what it reads are not known: run `thalweg build`".into());
        return Ok(explanation);
    };
    let ledger = bench.ledger();
    let known = if ledger.is_prepared(connection.as_mut())? {
        known::load(&ledger, connection.as_mut())?
    } else {
        Known::default()
    };
    explanation.past = ledger
        .past_refreshes(connection.as_mut())?
        .into_iter()
        .filter(|row| row.table_name == explanation.table)
        .take(PAST)
        .map(|row| PastRefresh {
            run: row.run,
            strategy: row.strategy.clone(),
            reason: row.reason.clone(),
            seconds: row.seconds,
            figures: known::figures(&row),
        })
        .collect();
    let mut publication = looking(bench, connection.as_mut(), known, &Silent);
    if let Some(parts) = publication.parts(node) {
        return by_stages(&mut publication, parts, explanation);
    }
    match publication.shape(node).as_ref() {
        Ok(shape) => {
            let read = read_by(&publication, node)?;
            by_changes(&mut publication, read, shape, &mut explanation)?;
        }
        Err(full) => {
            explanation.because = Some(full.reason.clone());
            if let Some(obstacle) = &full.obstacle {
                explanation.instead.clone_from(&obstacle.instead);
                let file = |path: &str| std::fs::read_to_string(bench.folder().join(path)).ok();
                explanation.obstacle = Some(place(project, compiled, &file, node, obstacle));
            }
        }
    }
    Ok(explanation)
}

/// A table that is read: its name in the text, its name to people, and the relation that is shown.
type Read = (Vec<String>, TableName, String);

/// The tables a model reads.
fn read_by(publication: &Publication<'_>, node: usize) -> Result<Vec<Read>, RunError> {
    let mut read = Vec::new();
    for input in tracked_inputs(publication.project, publication.compiled, node) {
        if is_view(publication.project, publication.compiled, input) {
            continue;
        }
        let id = publication.compiled.nodes[input].id.clone();
        read.push((publication.published_parts(&id), id.clone(), publication.published(&id)?));
    }
    Ok(read)
}

/// A model that is refreshed by way of stages.
fn by_stages(
    publication: &mut Publication<'_>,
    parts: Parts,
    mut explanation: Explanation,
) -> Result<Explanation, RunError> {
    for part in &parts.stages {
        let linear = part.summing.as_ref().map(|summing| &summing.linear);
        let read = || parts.read.iter().filter(|(name, ..)| linear.is_some_and(|linear| linear.contains(name)));
        let inputs = Inputs {
            current: parts.read.iter().map(|(name, _, relation)| (name.clone(), relation.clone())).collect(),
            changed: read().map(|(name, id, _)| (name.clone(), stand_in(id))).collect(),
            ..Inputs::default()
        };
        let added = publication.delta_of(part, &inputs);
        let whole = part.shape.as_ref().err().filter(|_| added.is_none());
        explanation.stages.push(ExplainedStage {
            table: part.table.to_string(),
            reason: part.reason.clone(),
            key: part.shape.as_ref().map(|shape| shape.key_columns().to_vec()).unwrap_or_default(),
            because: whole.map(|full| full.reason.clone()),
            added,
            sql: part.text.clone(),
        });
    }
    match &parts.rest.shape {
        Ok(shape) => {
            let names = shape.tables();
            let read = parts.read.into_iter().filter(|(name, ..)| names.iter().any(|one| *one == name)).collect();
            by_changes(publication, read, shape, &mut explanation)?;
        }
        Err(full) => {
            let from = if parts.only_stages { "its stages" } else { "its stages and the tables it reads" };
            explanation.because = Some(format!("computed from {from}: {}", full.reason));
        }
    }
    Ok(explanation)
}

fn by_changes(
    publication: &mut Publication<'_>,
    read: Vec<Read>,
    shape: &Shape,
    explanation: &mut Explanation,
) -> Result<(), RunError> {
    let dialect = publication.database.dialect;
    explanation.incremental = true;
    explanation.key = shape.key_columns().to_vec();
    shape.key_reason().clone_into(&mut explanation.key_reason);
    explanation.how = shape.explain().iter().map(|line| called(line)).collect();
    explanation.ties = shape.notes().to_vec();
    let current = read.iter().map(|(name, _, relation)| (name.clone(), relation.clone())).collect();
    let mut inputs = Inputs { current, ..Inputs::default() };
    for (name, id, _) in read {
        let change = stand_in(&id);
        let alone = Inputs {
            changed: [(name.clone(), change.clone())].into(),
            current: inputs.current.clone(),
            ..Inputs::default()
        };
        let (statements, remark) = match shape
            .discover(dialect, &alone, SHOWN_PREFIX)
            .map_err(|error| publication.database.bad_name(error))?
        {
            Discovery::Nothing => (Vec::new(), Some("no row of the model can differ by it".to_owned())),
            Discovery::Everything(obstacle) => (Vec::new(), Some(format!("computed anew: {}", obstacle.reason))),
            Discovery::Keys(statements) => (
                statements
                    .iter()
                    .map(|statement| format!("create temporary table {} as\n{}", statement.creates, statement.select))
                    .collect(),
                None,
            ),
        };
        inputs.changed.insert(name, change);
        explanation.changes.push(ExplainedChange { table: id.to_string(), statements, remark });
    }
    let nulls = vec![false; explanation.key.len()];
    let fresh = shape
        .restrict(dialect, &inputs, SHOWN_PREFIX, AFFECTED, &nulls)
        .map_err(|error| publication.database.bad_name(error))?;
    let mut parts: Vec<String> = fresh
        .before
        .iter()
        .map(|statement| format!("create temporary table {} as\n{};\n", statement.creates, statement.select))
        .collect();
    parts.push(fresh.select);
    explanation.restricted = Some(parts.join("\n"));
    explanation.restrictions = fresh.restrictions.iter().map(restriction).collect();
    Ok(())
}

/// Names under which the changes of a table stand in what is shown.
fn stand_in(table: &TableName) -> ChangedInput {
    let name = format!("{}_{}", table.schema, table.name);
    ChangedInput {
        before: format!("\"gone_from_{name}\""),
        after: format!("\"came_to_{name}\""),
        old: Some(format!("\"{name}_before\"")),
    }
}

/// A line with stages called what people call them.
fn called(line: &str) -> String {
    line.replace(&format!("{STAGE_SCHEMA}."), "stage ")
}

/// What was done at a place, in words.
fn restriction(restriction: &Restriction) -> String {
    let table = called(&restriction.table.join("."));
    if let Some(why) = &restriction.whole {
        return format!("{table}: all rows are read: {why}");
    }
    let uses: Vec<String> = restriction
        .uses
        .iter()
        .map(|choices| {
            let choices: Vec<String> = choices.iter().map(|columns| columns.join(", ")).collect();
            choices.join(" and ")
        })
        .collect();
    if uses.is_empty() {
        format!("{table}: all rows are read")
    } else {
        format!("{table}: only rows by {}", uses.join(", or by "))
    }
}

/// An obstacle with its place in the file of the model, or of one that stands in its place in the model's text.
pub fn place(
    project: &Project,
    compiled: &Compiled,
    file_text: &dyn Fn(&str) -> Option<String>,
    node: usize,
    obstacle: &Obstacle,
) -> Diagnostic {
    let text = compiled.refresh_sql(node).unwrap_or_default();
    let mut found = None;
    for candidate in std::iter::once(node).chain(inlined(project, compiled, node)) {
        let NodeKind::Model(index) = compiled.nodes[candidate].kind else { continue };
        let model = &project.models[index];
        let Some(file) = file_text(&model.file) else { continue };
        // Where the words are the same, the place is the same.
        if let Some(span) = locate(&file, text, obstacle.span.clone())
            && words(&file[span.clone()]) == words(text.get(obstacle.span.clone()).unwrap_or_default())
        {
            found = Some(Location::new(&model.file, span));
            break;
        }
    }
    let (location, rendered) = match found {
        Some(location) => (location, None),
        None => match compiled.nodes[node].kind {
            NodeKind::Model(index) => {
                (Location::new(&project.models[index].file, obstacle.span.clone()), Some(text.to_owned()))
            }
            _ => (Location::file(""), None),
        },
    };
    let message = format!("{} is computed anew at each change: {}", compiled.nodes[node].id, obstacle.reason);
    let mut diagnostic = Diagnostic::warning("full-refresh", message, location);
    diagnostic.help.clone_from(&obstacle.instead);
    diagnostic.rendered = rendered;
    diagnostic
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Ephemeral models and views that stand in a model's text.
fn inlined(project: &Project, compiled: &Compiled, node: usize) -> Vec<usize> {
    let (mut found, mut waiting) = (Vec::new(), compiled.nodes[node].inputs.clone());
    while let Some(input) = waiting.pop() {
        let NodeKind::Model(index) = compiled.nodes[input].kind else { continue };
        if project.models[index].materialized != Materialized::Table && !found.contains(&input) {
            found.push(input);
            waiting.extend(&compiled.nodes[input].inputs);
        }
    }
    found
}
