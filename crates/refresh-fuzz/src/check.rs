//! One case from end to end: each refresh beside the full answer.

use std::collections::{BTreeMap, BTreeSet};

use thalweg_duck::EngineError;
use thalweg_sql::dialect::duckdb::DuckDb;
use thalweg_sql::refresh::{ChangedInput, Discovery, InputTable, InputTables, Inputs, Shape};

use crate::case::Case;
use crate::database::{Cells, Database, Rows, except_all};
use crate::history::Change;
use crate::schema::{Table, quoted};

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
        /// Each refresh.
        refreshes: Vec<Refreshed>,
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
    let verdict = run(database, case, change).unwrap_or_else(|error| Verdict::Invalid(error.message));
    if let Err(error) = database.clear() {
        return Verdict::Invalid(error.message);
    }
    verdict
}

const PREFIX: &str = "_fuzz_";

fn run(database: &mut Database, case: &Case, change: &dyn Fn(Shape) -> Shape) -> Result<Verdict, EngineError> {
    let versions = match case.versions() {
        Ok(versions) => versions,
        Err(error) => return Ok(Verdict::Invalid(error)),
    };
    for (table, rows) in case.tables.iter().zip(&case.contents) {
        database.create(&table.sql_name(), table)?;
        database.fill(&table.sql_name(), rows)?;
    }
    for (number, table) in case.tables.iter().enumerate() {
        database.create(&format!("changes.b{number}"), table)?;
        database.create(&format!("changes.a{number}"), table)?;
    }
    let mut stored = database.ask(&case.query)?;
    let shape = match read(case) {
        Ok(shape) => change(shape),
        // That the engine takes it matters still: a query that is none proves nothing.
        Err(reason) => return Ok(Verdict::Obstacle(reason)),
    };
    let mut refreshes = Vec::new();
    let mut unread = vec![Change::default(); case.tables.len()];
    for (round, contents) in case.rounds.iter().zip(&versions[1..]) {
        for ((table, change), (unread, rows)) in
            case.tables.iter().zip(&round.changes).zip(unread.iter_mut().zip(contents))
        {
            unread.before.extend(change.before.iter().cloned());
            unread.after.extend(change.after.iter().cloned());
            if !change.before.is_empty() || !change.after.is_empty() {
                database.fill(&table.sql_name(), rows)?;
            }
        }
        if !round.refreshed {
            continue;
        }
        let inputs = give(database, case, &unread)?;
        unread = vec![Change::default(); case.tables.len()];
        let full = database.ask(&case.query)?;
        let mut refresh =
            Refresh { database, shape: &shape, inputs, statements: Vec::new(), stored: &stored, full: &full };
        match refresh.run() {
            Ok(refreshed) => refreshes.push(refreshed),
            Err((kind, message)) => {
                let statements = refresh.statements;
                return Ok(Verdict::Wrong(Fault { kind, refresh: refreshes.len() + 1, message, statements }));
            }
        }
        stored = full;
    }
    Ok(Verdict::Right { key: shape.key_columns().to_vec(), refreshes })
}

/// Writes the change sets.
fn give(database: &mut Database, case: &Case, unread: &[Change]) -> Result<Inputs, EngineError> {
    let mut inputs = Inputs::default();
    for (number, (table, change)) in case.tables.iter().zip(unread).enumerate() {
        let name: Vec<String> =
            [&table.schema, &table.name].into_iter().filter(|part| !part.is_empty()).cloned().collect();
        inputs.current.insert(name.clone(), table.sql_name());
        if change.before.is_empty() && change.after.is_empty() {
            continue;
        }
        let (before, after) = (format!("changes.b{number}"), format!("changes.a{number}"));
        database.fill(&before, &change.before)?;
        database.fill(&after, &change.after)?;
        inputs.changed.insert(name, ChangedInput { before, after });
    }
    Ok(inputs)
}

struct Refresh<'a> {
    database: &'a mut Database,
    shape: &'a Shape,
    inputs: Inputs,
    statements: Vec<String>,
    stored: &'a Rows,
    full: &'a Rows,
}

type Wrong = (&'static str, String);

impl Refresh<'_> {
    fn run(&mut self) -> Result<Refreshed, Wrong> {
        let gone = except_all(&self.stored.rows, &self.full.rows);
        let come = except_all(&self.full.rows, &self.stored.rows);
        let found = self.shape.discover(&DuckDb, &self.inputs, PREFIX);
        match found.map_err(|error| ("names", error.to_string()))? {
            Discovery::Nothing if gone.is_empty() && come.is_empty() => Ok(Refreshed::Nothing),
            Discovery::Nothing => {
                Err(("change overlooked", format!("nothing was to do, but {} differ", shown(&gone, &come))))
            }
            Discovery::Everything(obstacle) => Ok(Refreshed::Full(obstacle.reason)),
            Discovery::Keys(statements) => {
                let Some(affected) = statements.last().map(|statement| statement.creates.clone()) else {
                    return Err(("no statement", "discovery has no statement".to_owned()));
                };
                for statement in &statements {
                    self.statements
                        .push(format!("create temporary table {} as {}", statement.creates, statement.select));
                    if let Err(error) = self.database.create_as(&statement.creates, &statement.select) {
                        return self.failed(&error);
                    }
                }
                self.by_keys(&affected, &gone, &come)
            }
        }
    }

    fn failed(&self, error: &EngineError) -> Result<Refreshed, Wrong> {
        Ok(Refreshed::Failed(error.message.clone(), self.statements.last().cloned().unwrap_or_default()))
    }

    fn by_keys(&mut self, affected: &str, gone: &[Cells], come: &[Cells]) -> Result<Refreshed, Wrong> {
        let columns = self.shape.key_columns().to_vec();
        let list: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
        let keys = match self.database.ask(&format!("select {} from {affected}", list.join(", "))) {
            Ok(keys) => keys,
            Err(error) => return Err(("affected keys", format!("cannot be read: {}", error.message))),
        };
        let places: Option<Vec<usize>> = columns
            .iter()
            .map(|name| self.full.names.iter().position(|other| other.eq_ignore_ascii_case(name)))
            .collect();
        let Some(places) = places else {
            return Err(("key columns", format!("K {columns:?} is not among {:?}", self.full.names)));
        };
        let key_of = |row: &Cells| -> Cells { places.iter().map(|at| row[*at].as_deref().map(plain)).collect() };
        let set: BTreeSet<Cells> =
            keys.rows.iter().map(|row| row.iter().map(|cell| cell.as_deref().map(plain)).collect()).collect();
        if set.len() != keys.rows.len() {
            return Err(("affected keys", "hold a key twice".to_owned()));
        }
        let missed: Vec<Cells> = gone.iter().chain(come).filter(|row| !set.contains(&key_of(row))).cloned().collect();
        if !missed.is_empty() {
            return Err(("missed key", format!("K {columns:?}, {} affected; not found: {}", set.len(), show(&missed))));
        }
        let nulls: Vec<bool> = (0..columns.len()).map(|at| keys.rows.iter().any(|row| row[at].is_none())).collect();
        let fresh = self.shape.restrict(&DuckDb, &self.inputs, PREFIX, affected, &nulls);
        let fresh = fresh.map_err(|error| ("names", error.to_string()))?;
        for statement in &fresh.before {
            self.statements.push(format!("create temporary table {} as {}", statement.creates, statement.select));
            if let Err(error) = self.database.create_as(&statement.creates, &statement.select) {
                return self.failed(&error);
            }
        }
        self.statements.push(fresh.select.clone());
        let fresh = match self.database.ask(&fresh.select) {
            Ok(fresh) => fresh,
            Err(error) => return self.failed(&error),
        };
        if (&fresh.names, &fresh.types) != (&self.full.names, &self.full.types) {
            return Err((
                "columns",
                format!("{:?} {:?} instead of {:?} {:?}", fresh.names, fresh.types, self.full.names, self.full.types),
            ));
        }
        let wanted: Vec<Cells> = self.full.rows.iter().filter(|row| set.contains(&key_of(row))).cloned().collect();
        let (missing, surplus) = (except_all(&wanted, &fresh.rows), except_all(&fresh.rows, &wanted));
        if !missing.is_empty() || !surplus.is_empty() {
            let why = format!("K {columns:?}; missing {}; too many {}", show(&missing), show(&surplus));
            return Err(("wrong rows", why));
        }
        self.apply(&key_of, &set, &fresh)?;
        let all: BTreeSet<Cells> = self.stored.rows.iter().chain(&self.full.rows).map(&key_of).collect();
        let different: BTreeSet<Cells> = gone.iter().chain(come).map(&key_of).collect();
        Ok(Refreshed::Keys { affected: set.len(), all: all.len(), different: different.len() })
    }

    /// Old rows without those that go, with those that come, are the new ones; doing it again finds nothing to do.
    fn apply(&self, key_of: &dyn Fn(&Cells) -> Cells, set: &BTreeSet<Cells>, fresh: &Rows) -> Result<(), Wrong> {
        let of_keys =
            |rows: &[Cells]| -> Vec<Cells> { rows.iter().filter(|row| set.contains(&key_of(row))).cloned().collect() };
        let stored = of_keys(&self.stored.rows);
        let (before, after) = (except_all(&stored, &fresh.rows), except_all(&fresh.rows, &stored));
        let mut result = except_all(&self.stored.rows, &before);
        result.extend(after);
        result.sort();
        if result != self.full.rows {
            return Err(("application", "old rows and change set are not the new rows".to_owned()));
        }
        let stored = of_keys(&result);
        if !except_all(&stored, &fresh.rows).is_empty() || !except_all(&fresh.rows, &stored).is_empty() {
            return Err(("application", "a second refresh would change something".to_owned()));
        }
        Ok(())
    }
}

/// A value of a key: the engine takes `-0.0` and `0.0` for the same.
fn plain(value: &str) -> String {
    if value == "-0.00000000000e0" { "0.00000000000e0".to_owned() } else { value.to_owned() }
}

fn show(rows: &[Cells]) -> String {
    let rows: Vec<String> = rows
        .iter()
        .take(4)
        .map(|row| {
            let cells: Vec<&str> = row.iter().map(|cell| cell.as_deref().unwrap_or("null")).collect();
            format!("({})", cells.join(", "))
        })
        .collect();
    if rows.is_empty() { "none".to_owned() } else { rows.join(" ") }
}

fn shown(gone: &[Cells], come: &[Cells]) -> String {
    format!("- {} + {}", show(gone), show(come))
}

/// What many cases were like.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Cases.
    pub cases: usize,
    /// Queries the engine does not take, by error.
    pub invalid: BTreeMap<String, usize>,
    /// Queries that are not refreshed incrementally, by reason.
    pub obstacles: BTreeMap<String, usize>,
    /// Cases with at least one refresh by keys.
    pub incremental: usize,
    /// Refreshes with nothing to do.
    pub nothing: usize,
    /// Refreshes by keys.
    pub keys: usize,
    /// Keys affected, keys there are, keys that differ.
    pub affected: (usize, usize, usize),
    /// Refreshes in full, by reason.
    pub full: BTreeMap<String, usize>,
    /// Generated statements that failed, by error, with one statement.
    pub failed: BTreeMap<String, (usize, String)>,
    /// By construct of the query: cases refreshed by keys, cases refreshed in full.
    pub constructs: BTreeMap<&'static str, (usize, usize)>,
}

impl Tally {
    /// Counts a case.
    pub fn add(&mut self, verdict: &Verdict, constructs: &BTreeSet<&'static str>) {
        self.cases += 1;
        match verdict {
            Verdict::Invalid(error) => {
                let line = error.lines().next().unwrap_or_default().to_owned();
                *self.invalid.entry(line).or_default() += 1;
            }
            Verdict::Obstacle(reason) => {
                *self.obstacles.entry(reason.clone()).or_default() += 1;
                constructs.iter().for_each(|construct| self.constructs.entry(construct).or_default().1 += 1);
            }
            Verdict::Wrong(_) => {}
            Verdict::Right { refreshes, .. } => {
                let mut by_keys = false;
                for refresh in refreshes {
                    match refresh {
                        Refreshed::Nothing => self.nothing += 1,
                        Refreshed::Keys { affected, all, different } => {
                            self.keys += 1;
                            by_keys = true;
                            self.affected.0 += affected;
                            self.affected.1 += all;
                            self.affected.2 += different;
                        }
                        Refreshed::Full(reason) => *self.full.entry(reason.clone()).or_default() += 1,
                        Refreshed::Failed(error, statement) => {
                            let line = error.lines().next().unwrap_or_default().to_owned();
                            let entry = self.failed.entry(line).or_insert_with(|| (0, statement.clone()));
                            entry.0 += 1;
                        }
                    }
                }
                self.incremental += usize::from(by_keys);
                for construct in constructs {
                    let entry = self.constructs.entry(construct).or_default();
                    if by_keys { entry.0 += 1 } else { entry.1 += 1 }
                }
            }
        }
    }

    /// Refreshes whose outcome was compared with the full answer.
    pub fn refreshes(&self) -> usize {
        self.nothing + self.keys
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sum = |map: &BTreeMap<String, usize>| map.values().sum::<usize>();
        let failed: usize = self.failed.values().map(|(count, _)| count).sum();
        writeln!(
            f,
            "{} queries: {} refreshed by keys, {} with an obstacle, {} the engine does not take",
            self.cases,
            self.incremental,
            sum(&self.obstacles),
            sum(&self.invalid)
        )?;
        writeln!(
            f,
            "{} refreshes by keys ({} keys affected, {} differ, of {}), {} with nothing to do, {} in full, {failed} failed",
            self.keys,
            self.affected.0,
            self.affected.2,
            self.affected.1,
            self.nothing,
            sum(&self.full)
        )?;
        for (title, map) in
            [("obstacles", &self.obstacles), ("in full", &self.full), ("not taken by the engine", &self.invalid)]
        {
            let mut list: Vec<_> = map.iter().collect();
            list.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
            if !list.is_empty() {
                writeln!(f, "{title}:")?;
            }
            for (reason, count) in list.iter().take(25) {
                writeln!(f, "  {count:6} {reason}")?;
            }
        }
        for (error, (count, statement)) in &self.failed {
            writeln!(f, "failed: {count} {error}\n    {statement}")?;
        }
        writeln!(f, "constructs (by keys, in full):")?;
        for (construct, (keys, full)) in &self.constructs {
            writeln!(f, "  {keys:6} {full:6} {construct}")?;
        }
        Ok(())
    }
}
