//! One case from end to end: each refresh beside the full answer.

use std::collections::BTreeMap;

use thalweg_duck::EngineError;
use thalweg_sql::dialect::duckdb::DuckDb;
use thalweg_sql::refresh::split::STAGE_SCHEMA;
use thalweg_sql::refresh::{ChangedInput, InputTable, InputTables, Inputs, Shape, Split, WithStages};

use crate::case::Case;
use crate::database::{Database, Rows, except_all};
use crate::history::Change;
use crate::refresh::{Refresh, shown};
use crate::schema::{Table, quoted};
use crate::stock::Stock;

/// How one refresh went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refreshed {
    /// Nothing could differ.
    Nothing,
    /// By keys: how many were affected, of how many.
    Keys {
        /// Affected keys.
        affected: usize,
        /// Keys of the model before and after.
        all: usize,
        /// Keys whose rows really differ.
        different: usize,
    },
    /// In full, with the reason.
    Full(String),
    /// In full, because a generated statement failed: its error, and the statement.
    Failed(String, String),
}

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every refresh was right.
    Right {
        /// The replacement key.
        key: Vec<String>,
        /// Each refresh of the model, or of what is left of it beside its stages.
        refreshes: Vec<Refreshed>,
        /// Each refresh of a stage.
        stages: Vec<Refreshed>,
    },
    /// The model cannot be refreshed incrementally; the reason.
    Obstacle(String),
    /// The engine does not take the query, so that it says nothing.
    Invalid(String),
    /// A refresh was wrong.
    Wrong(Fault),
}

/// A wrong refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// In a few words: what kind.
    pub kind: &'static str,
    /// Which refresh, from 1.
    pub refresh: usize,
    /// What was seen.
    pub message: String,
    /// The statements of that refresh.
    pub statements: Vec<String>,
}

/// The tables of a case as the reader of queries sees them.
struct Known<'a>(&'a [Table]);

impl InputTables for Known<'_> {
    fn table(&self, name: &[String]) -> Option<InputTable> {
        let same = |table: &&Table| match name {
            [schema, table_name] => table.schema == *schema && table.name.eq_ignore_ascii_case(table_name),
            [table_name] => table.schema.is_empty() && table.name.eq_ignore_ascii_case(table_name),
            _ => false,
        };
        self.0.iter().find(same).map(|table| InputTable {
            columns: table.columns.iter().map(|column| (column.name.clone(), column.engine_type.clone())).collect(),
            key: table.key.clone(),
        })
    }
}

/// Reads a query; for those who only want to know whether it can be refreshed.
pub fn read(case: &Case) -> Result<Shape, String> {
    Shape::read(&case.query, &DuckDb, &Known(&case.tables), &case.key).map_err(|obstacle| obstacle.reason)
}

/// Runs a case.
pub fn check(database: &mut Database, case: &Case) -> Verdict {
    check_by(database, case, &|shape| shape)
}

/// Runs a case with another K, or with rules switched off.
pub fn check_by(database: &mut Database, case: &Case, change: &dyn Fn(Shape) -> Shape) -> Verdict {
    let verdict = database
        .begin()
        .and_then(|()| run(database, case, change))
        .unwrap_or_else(|error| Verdict::Invalid(error.message));
    if let Err(error) = database.clear() {
        return Verdict::Invalid(error.message);
    }
    verdict
}

/// A part of the model: a stage, or what is left of the text.
struct Part {
    /// The name of the stage; `None` for the model itself.
    stage: Option<String>,
    text: String,
    shape: Result<Shape, String>,
    stored: Rows,
}

fn run(database: &mut Database, case: &Case, change: &dyn Fn(Shape) -> Shape) -> Result<Verdict, EngineError> {
    let versions = match case.versions() {
        Ok(versions) => versions,
        Err(error) => return Ok(Verdict::Invalid(error)),
    };
    for (number, table) in case.tables.iter().enumerate() {
        database.create(&table.sql_name(), table)?;
        database.create(&format!("changes.b{number}"), table)?;
        database.create(&format!("changes.a{number}"), table)?;
    }
    let mut stocks = Vec::with_capacity(case.tables.len());
    for (number, table) in case.tables.iter().enumerate() {
        let rows = case.contents[number].iter();
        let changes = case.rounds.iter().flat_map(|round| {
            let change = &round.changes[number];
            change.before.iter().chain(&change.after)
        });
        let stock = Stock::of(database, table, rows.chain(changes))?;
        stock.fill(database, &table.sql_name(), &case.contents[number])?;
        stocks.push(stock);
    }
    // That the engine takes it matters in any case: a query that is none proves nothing.
    let first = database.ask(&case.query)?;
    let mut parts = match parts(database, case, change, first)? {
        Ok(parts) => parts,
        Err(verdict) => return Ok(verdict),
    };
    let mut refreshes = Vec::new();
    let mut stages = Vec::new();
    let mut unread = vec![Change::default(); case.tables.len()];
    for (round, contents) in case.rounds.iter().zip(&versions[1..]) {
        for (number, change) in round.changes.iter().enumerate() {
            let unread = &mut unread[number];
            unread.before.extend(change.before.iter().cloned());
            unread.after.extend(change.after.iter().cloned());
            if !change.before.is_empty() || !change.after.is_empty() {
                stocks[number].fill(database, &case.tables[number].sql_name(), &contents[number])?;
            }
        }
        if !round.refreshed {
            continue;
        }
        let mut inputs = give(database, case, &stocks, &unread)?;
        unread = vec![Change::default(); case.tables.len()];
        let whole = if parts.len() > 1 { Some(database.ask(&case.query)?) } else { None };
        for (number, part) in parts.iter_mut().enumerate() {
            let full = database.ask(&part.text)?;
            let wrong = |kind, message, statements| {
                Ok(Verdict::Wrong(Fault { kind, refresh: refreshes.len() + 1, message, statements }))
            };
            if let (Some(whole), None) = (&whole, &part.stage)
                && *whole != full
            {
                let (gone, come) = (except_all(&whole.rows, &full.rows), except_all(&full.rows, &whole.rows));
                return wrong("stages", format!("{}\n{}", shown(&gone, &come), part.text), Vec::new());
            }
            let refreshed = match &part.shape {
                Err(reason) => Refreshed::Full(reason.clone()),
                Ok(shape) => {
                    let mut refresh = Refresh {
                        database,
                        shape,
                        inputs: inputs.clone(),
                        prefix: format!("_fuzz_{number}"),
                        statements: Vec::new(),
                        stored: &part.stored,
                        full: &full,
                    };
                    match refresh.run() {
                        Ok(refreshed) => refreshed,
                        Err((kind, message)) => {
                            let statements = std::mem::take(&mut refresh.statements);
                            return wrong(kind, message, statements);
                        }
                    }
                }
            };
            // The engine lets nothing more be done in this transaction.
            let over = matches!(refreshed, Refreshed::Failed(..));
            match &part.stage {
                Some(name) => {
                    stages.push(refreshed);
                    if !over && part.stored.rows != full.rows {
                        let changed = renew(database, number, name, &part.text, &full)?;
                        inputs.changed.insert(vec![STAGE_SCHEMA.to_owned(), name.clone()], changed);
                    }
                }
                None => refreshes.push(refreshed),
            }
            part.stored = full;
            if over {
                return Ok(Verdict::Right { key: key(&parts), refreshes, stages });
            }
        }
    }
    Ok(Verdict::Right { key: key(&parts), refreshes, stages })
}

fn key(parts: &[Part]) -> Vec<String> {
    let shape = parts.last().and_then(|part| part.shape.as_ref().ok());
    shape.map(|shape| shape.key_columns().to_vec()).unwrap_or_default()
}

/// The stages of a model, which are made here, and what is left of it. `first` is the answer of the whole text.
fn parts(
    database: &mut Database,
    case: &Case,
    change: &dyn Fn(Shape) -> Shape,
    first: Rows,
) -> Result<Result<Vec<Part>, Verdict>, EngineError> {
    let known = Known(&case.tables);
    let split = Split::of(&case.query, &DuckDb, &known, &case.key);
    // K as the case asks for, if it is known.
    let keyed = |shape: Shape, names: &[String]| -> Shape {
        let places: Option<Vec<usize>> = case
            .replaced_by
            .iter()
            .map(|wanted| names.iter().position(|name| name.eq_ignore_ascii_case(wanted)))
            .collect();
        places.and_then(|places| shape.clone().with_key(&places)).unwrap_or(shape)
    };
    if split.is_whole() {
        return Ok(match read(case) {
            Ok(shape) => {
                let shape = keyed(shape, &first.names);
                Ok(vec![Part { stage: None, text: case.query.clone(), shape: Ok(change(shape)), stored: first }])
            }
            Err(reason) => Err(Verdict::Obstacle(reason)),
        });
    }
    let mut inputs = WithStages { inputs: &known, stages: BTreeMap::new() };
    let mut parts = Vec::with_capacity(split.stages.len() + 1);
    for stage in &split.stages {
        let shape = Shape::read(&stage.text, &DuckDb, &inputs, &stage.key);
        let name = stage_name(&stage.name);
        database.run(&format!("create or replace table {name} as {}", stage.text))?;
        let columns = database.describe(&format!("select * from {name}"))?;
        inputs.stages.insert(stage.name.clone(), InputTable { columns, key: stage.key.clone() });
        parts.push(Part {
            stage: Some(stage.name.clone()),
            text: stage.text.clone(),
            shape: shape.map(change).map_err(|obstacle| obstacle.reason),
            stored: database.ask(&stage.text)?,
        });
    }
    let shape = Shape::read(&split.rest, &DuckDb, &inputs, &case.key);
    let stored = database.ask(&split.rest)?;
    if stored != first {
        let (gone, come) = (except_all(&first.rows, &stored.rows), except_all(&stored.rows, &first.rows));
        let message = format!("{}\n{}", shown(&gone, &come), split.rest);
        let fault = Fault { kind: "stages", refresh: 0, message, statements: Vec::new() };
        return Ok(Err(Verdict::Wrong(fault)));
    }
    let shape = shape.map(|shape| keyed(shape, &first.names));
    parts.push(Part {
        stage: None,
        text: split.rest,
        shape: shape.map(change).map_err(|obstacle| obstacle.reason),
        stored,
    });
    Ok(Ok(parts))
}

fn stage_name(stage: &str) -> String {
    format!("{STAGE_SCHEMA}.\"{}\"", stage.replace('"', "\"\""))
}

/// Gives a stage its new rows; what changed.
fn renew(
    database: &mut Database,
    number: usize,
    stage: &str,
    text: &str,
    full: &Rows,
) -> Result<ChangedInput, EngineError> {
    let name = stage_name(stage);
    let (before, after) = (format!("changes.sb{number}"), format!("changes.sa{number}"));
    // `-0.0` and `0.0` are equal to the engine, and not identical.
    let images: String = full
        .names
        .iter()
        .zip(&full.types)
        .filter(|(_, engine_type)| engine_type.starts_with("Float"))
        .map(|(name, _)| format!(", {}::varchar", quoted(name)))
        .collect();
    let columns = full.names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    let count = full.names.len() + images.matches("::varchar").count();
    let places = (1..=count).map(|place| format!("c{place}")).collect::<Vec<_>>().join(", ");
    let named =
        full.names.iter().zip(1..).map(|(name, place)| format!("c{place} as {}", quoted(name))).collect::<Vec<_>>();
    let named = named.join(", ");
    database.run(&format!("create or replace table changes.new as {text}"))?;
    for (made, from, without) in [(&before, &*name, "changes.new"), (&after, "changes.new", &*name)] {
        database.run(&format!(
            "create or replace table {made} as select {named} from (select {columns}{images} from {from} except all \
             select {columns}{images} from {without}) as d({places})"
        ))?;
    }
    database.run(&format!("create or replace table {name} as select * from changes.new"))?;
    Ok(ChangedInput { before, after, old: None })
}

/// Writes the change sets.
fn give(database: &mut Database, case: &Case, stocks: &[Stock], unread: &[Change]) -> Result<Inputs, EngineError> {
    let mut inputs = Inputs::default();
    for (number, (table, change)) in case.tables.iter().zip(unread).enumerate() {
        let name: Vec<String> =
            [&table.schema, &table.name].into_iter().filter(|part| !part.is_empty()).cloned().collect();
        inputs.current.insert(name.clone(), table.sql_name());
        if change.before.is_empty() && change.after.is_empty() {
            continue;
        }
        let (before, after) = (format!("changes.b{number}"), format!("changes.a{number}"));
        stocks[number].fill(database, &before, &change.before)?;
        stocks[number].fill(database, &after, &change.after)?;
        inputs.changed.insert(name, ChangedInput { before, after, old: None });
    }
    Ok(inputs)
}
