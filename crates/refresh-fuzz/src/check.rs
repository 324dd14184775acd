//! One case from end to end: each refresh beside the full answer.

use std::collections::BTreeMap;

use thalweg_sql::dialect::Dialect;
use thalweg_sql::refresh::split::STAGE_SCHEMA;
use thalweg_sql::refresh::summed::{self, Summing, Typing};
use thalweg_sql::refresh::{
    ChangedInput, ClockChange, InputTable, InputTables, Inputs, Shape, Split, WithStages, read_settled,
};

use crate::case::Case;
use crate::database::{Database, Rows, except_all};
use crate::engine::Refusal;
use crate::history::Change;
use crate::refresh::{Refresh, shown};
use crate::schema::{Row, Table, quoted};
use crate::stock::Stock;
use crate::sums::Sums;

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
        /// Values of stored rows that were known without reading them, since the change could not touch them.
        steady: usize,
    },
    /// By adding and subtracting: how many groups changed.
    Added(usize),
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
struct Known<'a> {
    dialect: &'static dyn Dialect,
    tables: Vec<(&'a Table, InputTable)>,
}

impl<'a> Known<'a> {
    fn of(database: &Database, case: &'a Case) -> Self {
        let seen = |table: &Table| InputTable {
            columns: table
                .columns
                .iter()
                .map(|column| (column.name.clone(), database.type_name(&column.engine_type)))
                .collect(),
            key: table.key.clone(),
        };
        let tables = case.tables.iter().map(|table| (table, seen(table))).collect();
        Self { dialect: database.dialect(), tables }
    }
}

impl InputTables for Known<'_> {
    fn table(&self, name: &[String]) -> Option<InputTable> {
        let same = |table: &Table| match name {
            [schema, table_name] => table.schema == *schema && table.name.eq_ignore_ascii_case(table_name),
            [table_name] => table.schema.is_empty() && table.name.eq_ignore_ascii_case(table_name),
            _ => false,
        };
        self.tables.iter().find(|(table, _)| same(table)).map(|(_, seen)| seen.clone())
    }
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
pub(crate) struct Part {
    /// The name of the stage; `None` for the model itself.
    pub(crate) stage: Option<String>,
    pub(crate) text: String,
    pub(crate) shape: Result<Shape, String>,
    /// How it is kept by adding and subtracting, with its columns and their types.
    pub(crate) summing: Option<(Summing, Vec<(String, String)>)>,
    pub(crate) stored: Rows,
}

fn run(database: &mut Database, case: &Case, change: &dyn Fn(Shape) -> Shape) -> Result<Verdict, Refusal> {
    database.vary(case.query.len());
    let known = &Known::of(database, case);
    let versions = match case.versions() {
        Ok(versions) => versions,
        Err(error) => return Ok(Verdict::Invalid(error)),
    };
    for (number, table) in case.tables.iter().enumerate() {
        database.create(&table.sql_name(), table)?;
        database.create(&format!("changes.b{number}"), table)?;
        database.create(&format!("changes.a{number}"), table)?;
        database.create(&format!("changes.o{number}"), table)?;
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
        stock.fill(database, &format!("changes.o{number}"), &case.contents[number])?;
        stocks.push(stock);
    }
    database.at(&time(0));
    // That the engine takes it matters in any case: a query that is none proves nothing.
    let written = database.ask(&case.query)?;
    let text = match text_of(case, known) {
        Ok(text) => text,
        Err(reason) => return Ok(Verdict::Obstacle(reason)),
    };
    let first = if text.sql == case.query {
        written
    } else {
        let wrong = |message| {
            let message = format!("{message}\n{}", text.sql);
            Ok(Verdict::Wrong(Fault { kind: "settled text", refresh: 0, message, statements: Vec::new() }))
        };
        match database.ask(&text.sql) {
            Ok(first) if (&first.names, &first.types) == (&written.names, &written.types) => first,
            Ok(first) => return wrong(format!("its columns are {:?} {:?}", first.names, first.types)),
            Err(error) => return wrong(error.message),
        }
    };
    let (mut parts, typed) = match parts(database, case, known, &text, change, first)? {
        Ok(parts) => parts,
        Err(verdict) => return Ok(verdict),
    };
    let (mut refreshes, mut stages) = (Vec::new(), Vec::new());
    let mut last = time(0);
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
        let unread = std::mem::replace(&mut unread, vec![Change::default(); case.tables.len()]);
        let now = time(refreshes.len() * 2 / 3);
        database.at(&now);
        let mut clock = BTreeMap::new();
        if text.reads_clock && now != last {
            clock.insert("now()".to_owned(), ClockChange { before: last, now: now.clone() });
        }
        last = now;
        // Every other time a change set is what the text can see of it.
        let pruned = refreshes.len() % 2 == 1;
        let given = if pruned { Inputs::default() } else { give(database, case, &stocks, &unread, None)? };
        let wrong = |kind, message, statements| {
            Ok(Verdict::Wrong(Fault { kind, refresh: refreshes.len() + 1, message, statements }))
        };
        let whole = if parts.len() > 1 { Some(database.ask(&text.sql)?) } else { None };
        let mut changed_stages: BTreeMap<Vec<String>, ChangedInput> = BTreeMap::new();
        let mut over = false;
        let mut of_model = None;
        let with_stages = WithStages { inputs: known, stages: typed.clone() };
        for (number, part) in parts.iter_mut().enumerate() {
            let full = database.ask(&part.text)?;
            if let Some(other) = database.contradicted(&part.text, &full) {
                let (gone, come) = (except_all(&full.rows, &other), except_all(&other, &full.rows));
                return wrong("unoptimized", format!("{}\n{}", shown(&gone, &come), part.text), Vec::new());
            }
            if let (Some(whole), None) = (&whole, &part.stage)
                && *whole != full
            {
                let (gone, come) = (except_all(&whole.rows, &full.rows), except_all(&full.rows, &whole.rows));
                return wrong("stages", format!("{}\n{}", shown(&gone, &come), part.text), Vec::new());
            }
            if part.stage.is_none() && text.sql != case.query {
                // Rows come in another order, and the answer is the same.
                for (stock, (table, rows)) in stocks.iter().zip(case.tables.iter().zip(contents)) {
                    let turned: Vec<Row> = rows.iter().rev().cloned().collect();
                    stock.fill(database, &table.sql_name(), &turned)?;
                }
                let turned = database.ask(&text.sql)?;
                if turned.rows != full.rows {
                    let (gone, come) = (except_all(&full.rows, &turned.rows), except_all(&turned.rows, &full.rows));
                    return wrong("order of rows", format!("{}\n{}", shown(&gone, &come), text.sql), Vec::new());
                }
            }
            let mut added = None;
            if part.summing.is_some() {
                let shape = part.shape.as_ref().ok().filter(|_| pruned);
                let mut inputs = give(database, case, &stocks, &unread, shape)?;
                inputs.changed.extend(changed_stages.clone());
                let part = &*part;
                let mut sums = Sums { database, part, inputs: &inputs, tables: &with_stages, number, full: &full };
                added = match sums.run() {
                    Ok(added) => added,
                    Err((message, statements)) => return wrong("sums", message, statements),
                };
            }
            let refreshed = match &part.shape {
                _ if added.is_some() => added.unwrap_or(Refreshed::Nothing),
                Err(reason) => Refreshed::Full(reason.clone()),
                Ok(shape) => {
                    let mut inputs =
                        if pruned { give(database, case, &stocks, &unread, Some(shape))? } else { given.clone() };
                    inputs.changed.extend(changed_stages.clone());
                    inputs.clock.clone_from(&clock);
                    let mut refresh = Refresh {
                        database,
                        shape,
                        inputs,
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
            over = matches!(refreshed, Refreshed::Failed(..));
            match &part.stage {
                Some(name) => {
                    stages.push(refreshed);
                    if !over && part.stored.rows != full.rows {
                        // The engine's table of it, as it was.
                        let changed = renew(database, number, name, &part.text)?;
                        changed_stages.insert(vec![STAGE_SCHEMA.to_owned(), name.clone()], changed);
                    }
                }
                None => of_model = Some(refreshed),
            }
            part.stored = full;
            if over {
                break;
            }
        }
        refreshes.extend(of_model);
        if over {
            break;
        }
        for (number, contents) in contents.iter().enumerate() {
            stocks[number].fill(database, &format!("changes.o{number}"), contents)?;
        }
    }
    Ok(Verdict::Right { key: key(&parts), refreshes, stages })
}

/// The text whose answer is kept.
struct Text {
    sql: String,
    reads_clock: bool,
}

/// Full builds and refreshes answer the same text, in which ties are settled.
fn text_of(case: &Case, known: &Known<'_>) -> Result<Text, String> {
    match read_settled(&case.query, known.dialect, known) {
        Ok(settled) if settled.open.is_empty() => {
            Ok(Text { reads_clock: !settled.tree.clock.is_empty(), sql: settled.tree.text })
        }
        Ok(_) => Err("it leaves an order open, which nothing settles".to_owned()),
        // It may be followed in parts.
        Err(_) => Ok(Text { sql: case.query.clone(), reads_clock: false }),
    }
}

fn key(parts: &[Part]) -> Vec<String> {
    let shape = parts.last().and_then(|part| part.shape.as_ref().ok());
    shape.map(|shape| shape.key_columns().to_vec()).unwrap_or_default()
}

/// The stages of a model, which are made here, and what is left of it. `first` is the answer of the whole text.
fn parts(
    database: &mut Database,
    case: &Case,
    known: &Known<'_>,
    text: &Text,
    change: &dyn Fn(Shape) -> Shape,
    first: Rows,
) -> Result<Result<(Vec<Part>, Stages), Verdict>, Refusal> {
    let dialect = known.dialect;
    // What a part reads of the time is not followed.
    let split = if text.reads_clock { Split::default() } else { Split::of(&text.sql, dialect, known, &case.key) };
    let split = if text.reads_clock { split } else { with_sums(database, case, &text.sql, known, split)? };
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
        return Ok(match Shape::read(&case.query, dialect, known, &case.key) {
            Ok(shape) => {
                let shape = keyed(shape, &first.names);
                let shape = Ok(change(shape));
                let part = Part { stage: None, text: text.sql.clone(), shape, summing: None, stored: first };
                Ok((vec![part], Stages::new()))
            }
            Err(obstacle) => Err(Verdict::Obstacle(obstacle.reason)),
        });
    }
    let mut inputs = WithStages { inputs: known, stages: BTreeMap::new() };
    let mut parts = Vec::with_capacity(split.stages.len() + 1);
    for stage in &split.stages {
        let shape = stage.shape(dialect, &inputs);
        let name = stage_name(&stage.name);
        database.make(&name, &stage.text)?;
        let columns = database.describe(&format!("select * from {name}"))?;
        let summing = stage.summing.clone().map(|summing| (summing, columns.clone()));
        inputs.stages.insert(stage.name.clone(), InputTable { columns, key: stage.key.clone() });
        parts.push(Part {
            stage: Some(stage.name.clone()),
            text: stage.text.clone(),
            summing,
            shape: shape.map(change).map_err(|obstacle| obstacle.reason),
            stored: database.ask(&stage.text)?,
        });
    }
    let shape = Shape::read(&split.rest, dialect, &inputs, &case.key);
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
        summing: None,
        stored,
    });
    let stages = inputs.stages;
    Ok(Ok((parts, stages)))
}

/// The stages of a model, as texts know them.
type Stages = BTreeMap<String, InputTable>;

/// A split with sums in all the places where they can be, if the case is one with sums.
fn with_sums(
    database: &mut Database,
    case: &Case,
    text: &str,
    known: &Known<'_>,
    split: Split,
) -> Result<Split, Refusal> {
    if !case.sums {
        return Ok(split);
    }
    let parts = if split.is_whole() { Split { stages: Vec::new(), rest: text.to_owned() } } else { split.clone() };
    let mut chosen = Vec::new();
    for candidate in summed::candidates(&parts, known.dialect, known) {
        let Some(summing) = &candidate.stage.summing else { continue };
        // Of two ways to keep a select each is taken now and then.
        let passed_over = !summing.pieces_of.is_empty() && text.len().is_multiple_of(2);
        if candidate.stage.text.contains(STAGE_SCHEMA) || passed_over {
            continue;
        }
        let types = database.describe(&summing.probe)?;
        let typing =
            Typing::of_probe(known.dialect, summing, types.iter().map(|(_, engine_type)| engine_type.as_str()));
        chosen.extend(typing.and_then(|typing| candidate.typed(known.dialect, &typing)));
    }
    Ok(if chosen.is_empty() { split } else { summed::with(&parts, &chosen) })
}

fn stage_name(stage: &str) -> String {
    format!("{STAGE_SCHEMA}.\"{}\"", stage.replace('"', "\"\""))
}

/// Gives a stage its new rows; what changed.
fn renew(database: &mut Database, number: usize, stage: &str, text: &str) -> Result<ChangedInput, Refusal> {
    let name = stage_name(stage);
    let (before, after) = (format!("changes.sb{number}"), format!("changes.sa{number}"));
    let typed = database.describe(&format!("select * from {name}"))?;
    let columns: Vec<String> = typed.iter().map(|(name, _)| quoted(name)).collect();
    let columns = columns.join(", ");
    // What is equal to the engine, and not identical, as `-0.0` and `0.0`.
    let images: Vec<String> = typed
        .iter()
        .map(|(name, engine_type)| (quoted(name), engine_type))
        .filter_map(|(name, engine_type)| {
            let image = database.dialect().identity_image(&name, engine_type);
            (image != name).then(|| format!(", {image}"))
        })
        .collect();
    let places: Vec<String> = (1..=typed.len() + images.len()).map(|place| format!("c{place}")).collect();
    let named: Vec<String> =
        typed.iter().zip(&places).map(|((name, _), place)| format!("{place} as {}", quoted(name))).collect();
    let (images, places, named) = (images.concat(), places.join(", "), named.join(", "));
    database.make("changes.new", text)?;
    for (made, from, without) in [(&before, &*name, "changes.new"), (&after, "changes.new", &*name)] {
        database.make(
            made,
            &format!(
                "select {named} from (select {columns}{images} from {from} except all select {columns}{images} from {without}) as d({places})"
            ),
        )?;
    }
    let old = format!("changes.so{number}");
    database.make(&old, &format!("select * from {name}"))?;
    database.make(&name, "select * from changes.new")?;
    Ok(ChangedInput { before, after, old: Some(old) })
}

/// The time of a refresh; several share one.
fn time(number: usize) -> String {
    format!("timestamptz '2020-01-01 00:00:00.{:03}+00'", number * 7 % 1000)
}

/// Rows of one bag that another does not have, looked at by some columns.
fn surplus(one: &[Row], other: &[Row], places: &[usize]) -> Vec<Row> {
    let seen = |row: &Row| -> Vec<String> { places.iter().map(|place| row[*place].clone()).collect() };
    let mut there = BTreeMap::<Vec<String>, usize>::new();
    other.iter().for_each(|row| *there.entry(seen(row)).or_default() += 1);
    let gone = |row: &&Row| match there.get_mut(&seen(row)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    one.iter().filter(gone).cloned().collect()
}

/// Writes the change sets: where a part's shape is given, only what its text can see of them.
fn give(
    database: &mut Database,
    case: &Case,
    stocks: &[Stock<'_>],
    unread: &[Change],
    shape: Option<&Shape>,
) -> Result<Inputs, Refusal> {
    let mut inputs = Inputs::default();
    for (number, (table, change)) in case.tables.iter().zip(unread).enumerate() {
        let name: Vec<String> =
            [&table.schema, &table.name].into_iter().filter(|part| !part.is_empty()).cloned().collect();
        inputs.current.insert(name.clone(), table.sql_name());
        // What is small is read as a whole: any table may be, now and then.
        if (number + change.before.len()).is_multiple_of(2) {
            inputs.small.insert(name.clone());
        }
        let mut change = change.clone();
        if let Some(read) = shape.map(|shape| shape.columns_read(&name)).filter(|read| !read.is_empty()) {
            let places: Vec<usize> =
                (0..table.columns.len()).filter(|at| read.contains(&table.columns[*at].name)).collect();
            change = Change {
                before: surplus(&change.before, &change.after, &places),
                after: surplus(&change.after, &change.before, &places),
            };
        }
        if change.before.is_empty() && change.after.is_empty() {
            continue;
        }
        let (before, after) = (format!("changes.b{number}"), format!("changes.a{number}"));
        stocks[number].fill(database, &before, &change.before)?;
        stocks[number].fill(database, &after, &change.after)?;
        let old = Some(format!("changes.o{number}"));
        inputs.changed.insert(name, ChangedInput { before, after, old });
    }
    Ok(inputs)
}
