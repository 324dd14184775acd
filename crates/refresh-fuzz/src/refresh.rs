//! One refresh beside the full answer.

use std::collections::BTreeSet;

use thalweg_sql::refresh::{Answers, Discovery, Inputs, Shape};

use crate::check::Refreshed;
use crate::database::{Cells, Database, Rows, except_all};
use crate::engine::Refusal;
use crate::schema::quoted;

pub(crate) struct Refresh<'a> {
    pub(crate) database: &'a mut Database,
    pub(crate) shape: &'a Shape,
    pub(crate) inputs: Inputs,
    /// How the names of temporary tables begin.
    pub(crate) prefix: String,
    /// What was sent.
    pub(crate) statements: Vec<String>,
    /// The rows before.
    pub(crate) stored: &'a Rows,
    /// The rows there must be.
    pub(crate) full: &'a Rows,
}

/// The kind of fault and what was seen.
pub(crate) type Wrong = (&'static str, String);

impl Refresh<'_> {
    pub(crate) fn run(&mut self) -> Result<Refreshed, Wrong> {
        let gone = except_all(&self.stored.rows, &self.full.rows);
        let come = except_all(&self.full.rows, &self.stored.rows);
        let found = self.shape.discover(self.database.dialect(), &self.inputs, &self.prefix);
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
                    if let Err(error) = self.database.make_temporary(&statement.creates, &statement.select) {
                        return self.failed(&error);
                    }
                }
                self.by_keys(&affected, &gone, &come)
            }
        }
    }

    fn failed(&self, error: &Refusal) -> Result<Refreshed, Wrong> {
        Ok(Refreshed::Failed(error.message.clone(), self.statements.last().cloned().unwrap_or_default()))
    }

    fn by_keys(&mut self, affected: &str, gone: &[Cells], come: &[Cells]) -> Result<Refreshed, Wrong> {
        let columns = self.shape.key_columns().to_vec();
        let places: Option<Vec<usize>> = columns
            .iter()
            .map(|name| self.full.names.iter().position(|other| other.eq_ignore_ascii_case(name)))
            .collect();
        let Some(places) = places else {
            return Err(("key columns", format!("K {columns:?} is not among {:?}", self.full.names)));
        };
        // Compared are values: of a branch of a union they may have fewer digits behind the point than in what it ends up in.
        let typed = |(name, place): (&String, &usize)| match self.full.types[*place].strip_prefix("Decimal128") {
            Some(digits) => format!("cast({} as decimal{digits})", quoted(name)),
            None => quoted(name),
        };
        let list: Vec<String> = columns.iter().zip(&places).map(typed).collect();
        let keys = match self.database.ask(&format!("select {} from {affected}", list.join(", "))) {
            Ok(keys) => keys,
            Err(error) => return Err(("affected keys", format!("cannot be read: {}", error.message))),
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
        let fresh = self.shape.restrict(self.database.dialect(), &self.inputs, &self.prefix, affected, &nulls);
        let fresh = fresh.map_err(|error| ("names", error.to_string()))?;
        for statement in &fresh.before {
            self.statements.push(format!("create temporary table {} as {}", statement.creates, statement.select));
            if let Err(error) = self.database.make_temporary(&statement.creates, &statement.select) {
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
        let steady = self.steady()?;
        Ok(Refreshed::Keys { affected: set.len(), all: all.len(), different: different.len(), steady })
    }

    /// Whether what is said not to be touched by the change is the same before and after it; of how many values it is said.
    fn steady(&mut self) -> Result<usize, Wrong> {
        let dialect = self.database.dialect();
        let questions = self.shape.steady_questions(dialect, &self.inputs);
        let Some(questions) = questions.map_err(|error| ("names", error.to_string()))? else { return Ok(0) };
        let mut answers = Answers::new();
        for question in &questions {
            self.statements.push(question.select.clone());
            let answer = self.database.ask(&question.select).map_err(|error| ("steady columns", error.message))?;
            let numbers = answer.rows.iter().flatten().map(|cell| cell.as_deref().unwrap_or_default().parse().ok());
            let numbers: Option<Vec<u64>> = numbers.collect();
            let Some(numbers) = numbers else { return Err(("steady columns", "an answer is no number".to_owned())) };
            answers.insert(question.table.clone(), numbers);
        }
        let Some(steady) = self.shape.steady(dialect, &self.inputs, &questions, &answers) else { return Ok(0) };
        let places = |names: &[String]| -> Option<Vec<usize>> {
            names.iter().map(|name| self.full.names.iter().position(|other| other.eq_ignore_ascii_case(name))).collect()
        };
        let (Some(key), Some(columns)) = (places(&steady.key), places(&steady.columns)) else {
            return Err(("steady columns", format!("{steady:?} are not among {:?}", self.full.names)));
        };
        let of = |row: &Cells, places: &[usize]| -> Cells { places.iter().map(|place| row[*place].clone()).collect() };
        let mut known = 0;
        for old in &self.stored.rows {
            let whole = key.iter().all(|place| old[*place].is_some());
            let same = |new: &&Cells| whole && of(new, &key) == of(old, &key);
            let new: Vec<&Cells> = self.full.rows.iter().filter(same).collect();
            if new.len() > 1 {
                return Err((
                    "steady columns",
                    format!("{:?} is no key: {}", steady.key, show(std::slice::from_ref(old))),
                ));
            }
            if let Some(new) = new.first() {
                if of(new, &columns) != of(old, &columns) {
                    let rows = shown(std::slice::from_ref(old), &[(*new).clone()]);
                    return Err(("steady columns", format!("{:?} beside {:?}: {rows}", steady.columns, steady.key)));
                }
                known += columns.len();
            }
        }
        Ok(known)
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

/// A difference for a person.
pub(crate) fn shown(gone: &[Cells], come: &[Cells]) -> String {
    format!("- {} + {}", show(gone), show(come))
}
