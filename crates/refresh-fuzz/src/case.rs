//! A case: tables, a query, a history. Made at random or read from a file.
//!
//! The file:
//!
//! ```text
//! -- what it shows
//! expect incremental
//! table store.orders (id INTEGER, k INTEGER) key id
//!   1, null
//! query
//!   select k, count(*) as n from store.orders group by k
//! round
//!   store.orders - 1, null
//!   store.orders + 1, 2
//! round unread
//!   store.orders + 2, 2
//! ```
//!
//! `replace by a, b` beside `key` chooses K, which else is chosen by the program. `on postgres` says whose words the query is in; without it they are DuckDB's, which others may understand. `with sums` keeps counts and sums by adding and subtracting. `expect` is `incremental`, `full: PART OF THE REASON`, or is not there. After a `round unread` the model is not refreshed.

use crate::choice::Choices;
use crate::history::{Change, Round, history};
use crate::schema::{Column, Row, Table, quoted};

/// How the model is to be refreshed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Expected {
    /// Either way.
    #[default]
    Any,
    /// By affected keys, in every round that changes something.
    Incremental,
    /// In full, and the reason holds this.
    Full(String),
}

/// One case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Case {
    /// What it shows; lines.
    pub about: Vec<String>,
    /// The engine whose words the query is in, as `type:` of a target names it; DuckDB's, where it is not said.
    pub engine: Option<String>,
    /// How the model is to be refreshed.
    pub expected: Expected,
    /// The model's declared key, or empty.
    pub key: Vec<String>,
    /// The columns by which rows are replaced, K, where they are known in discovery; empty for the program's own choice.
    pub replaced_by: Vec<String>,
    /// Counts and sums are kept by adding and subtracting wherever that is possible.
    pub sums: bool,
    /// The tables.
    pub tables: Vec<Table>,
    /// Their first contents.
    pub contents: Vec<Vec<Row>>,
    /// The model.
    pub query: String,
    /// What happens.
    pub rounds: Vec<Round>,
}

impl Case {
    /// Reads a file's text. The error names the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut case = Self::default();
        let mut place = Place::Head;
        for (number, line) in text.lines().enumerate() {
            case.line(line, &mut place).map_err(|error| format!("line {}: {error}: `{line}`", number + 1))?;
        }
        case.query = case.query.trim_end().to_owned();
        if case.query.is_empty() {
            return Err("no query".to_owned());
        }
        Ok(case)
    }

    fn line(&mut self, line: &str, place: &mut Place) -> Result<(), String> {
        if let Some(about) = line.strip_prefix("-- ") {
            self.about.push(about.to_owned());
        } else if line == "expect incremental" {
            self.expected = Expected::Incremental;
        } else if let Some(reason) = line.strip_prefix("expect full: ") {
            self.expected = Expected::Full(reason.to_owned());
        } else if line == "with sums" {
            self.sums = true;
        } else if let (Some(engine), Place::Head) = (line.strip_prefix("on "), &place) {
            self.engine = Some(engine.to_owned());
        } else if let Some(key) = line.strip_prefix("key ") {
            self.key = names(key);
        } else if let Some(columns) = line.strip_prefix("replace by ") {
            self.replaced_by = names(columns);
        } else if let Some(table) = line.strip_prefix("table ") {
            self.tables.push(read_table(table)?);
            self.contents.push(Vec::new());
            *place = Place::Rows;
        } else if line == "query" {
            *place = Place::Query;
        } else if line == "round" || line == "round unread" {
            let changes = vec![Change::default(); self.tables.len()];
            self.rounds.push(Round { changes, refreshed: line == "round" });
            *place = Place::Round;
        } else if line.trim().is_empty() && *place != Place::Query {
        } else {
            match place {
                Place::Head => return Err("expected `table`, `query` or `round`".to_owned()),
                Place::Rows => self.contents.last_mut().ok_or("no table")?.push(values(line)),
                Place::Query => {
                    self.query.push_str(line.strip_prefix("  ").unwrap_or(line));
                    self.query.push('\n');
                }
                Place::Round => self.change(line.trim())?,
            }
        }
        Ok(())
    }

    fn change(&mut self, line: &str) -> Result<(), String> {
        let round = self.rounds.last_mut().ok_or("no round")?;
        for (table, change) in self.tables.iter().zip(&mut round.changes) {
            let Some(rest) = line.strip_prefix(&table.sql_name()) else { continue };
            if let Some(row) = rest.strip_prefix(" - ") {
                change.before.push(values(row));
                return Ok(());
            }
            if let Some(row) = rest.strip_prefix(" + ") {
                change.after.push(values(row));
                return Ok(());
            }
        }
        Err("no such table".to_owned())
    }

    /// A case of a model over tables given as lines of such a file, with a random history.
    pub fn of_model(tables: &str, query: &str, choices: &mut Choices, rounds: usize) -> Result<Self, String> {
        let mut case = Self::parse(&format!("{tables}\nquery\n{query}"))?;
        (case.contents, case.rounds) = history(choices, &case.tables, rounds);
        Ok(case)
    }

    /// The text of the file.
    pub fn print(&self) -> String {
        let mut text = String::new();
        let mut push = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        for about in &self.about {
            push(&format!("-- {about}"));
        }
        if let Some(engine) = &self.engine {
            push(&format!("on {engine}"));
        }
        match &self.expected {
            Expected::Any => {}
            Expected::Incremental => push("expect incremental"),
            Expected::Full(reason) => push(&format!("expect full: {reason}")),
        }
        if !self.key.is_empty() {
            push(&format!("key {}", self.key.join(", ")));
        }
        if !self.replaced_by.is_empty() {
            push(&format!("replace by {}", self.replaced_by.join(", ")));
        }
        if self.sums {
            push("with sums");
        }
        for (table, rows) in self.tables.iter().zip(&self.contents) {
            let columns: Vec<String> =
                table.columns.iter().map(|column| format!("{} {}", quoted(&column.name), column.engine_type)).collect();
            let key = if table.key.is_empty() { String::new() } else { format!(" key {}", table.key.join(", ")) };
            push(&format!("table {} ({}){key}", table.sql_name(), columns.join(", ")));
            rows.iter().for_each(|row| push(&format!("  {}", row.join(", "))));
        }
        push("query");
        self.query.lines().for_each(|line| push(&format!("  {line}")));
        for round in &self.rounds {
            push(if round.refreshed { "round" } else { "round unread" });
            for (table, change) in self.tables.iter().zip(&round.changes) {
                let name = table.sql_name();
                change.before.iter().for_each(|row| push(&format!("  {name} - {}", row.join(", "))));
                change.after.iter().for_each(|row| push(&format!("  {name} + {}", row.join(", "))));
            }
        }
        text
    }

    /// The contents of the tables after each round. The error names a row that is taken away without being there.
    pub fn versions(&self) -> Result<Vec<Vec<Vec<Row>>>, String> {
        let mut versions = vec![self.contents.clone()];
        let mut now = self.contents.clone();
        for round in &self.rounds {
            for (rows, (table, change)) in now.iter_mut().zip(self.tables.iter().zip(&round.changes)) {
                rows.extend(change.after.iter().cloned());
                for gone in &change.before {
                    let at = rows.iter().position(|row| row == gone).ok_or_else(|| {
                        format!("{} has no row ({}) that could go", table.sql_name(), gone.join(", "))
                    })?;
                    rows.remove(at);
                }
            }
            versions.push(now.clone());
        }
        Ok(versions)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Head,
    Rows,
    Query,
    Round,
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(|name| name.trim().trim_matches('"').to_owned()).collect()
}

/// `store.orders (id INTEGER, k INTEGER) key id`
fn read_table(text: &str) -> Result<Table, String> {
    let (name, rest) = text.split_once(" (").ok_or("expected `(`")?;
    let end = rest.rfind(')').ok_or("expected `)`")?;
    // A type may end with a bracket, too; the key comes behind the last.
    let (columns, tail) = rest.split_at(end);
    let key = tail.trim_start_matches(')').trim().strip_prefix("key ").map(names).unwrap_or_default();
    let columns = values(columns)
        .iter()
        .map(|column| {
            let (name, engine_type) = column.trim().rsplit_once(' ').ok_or("expected a type")?;
            Ok(Column { name: name.trim_matches('"').to_owned(), engine_type: engine_type.to_owned() })
        })
        .collect::<Result<_, &str>>()?;
    let (schema, name) = name.split_once('.').unwrap_or(("", name));
    Ok(Table { schema: schema.to_owned(), name: name.trim_matches('"').to_owned(), columns, key })
}

/// Splits at commas outside of quotes and brackets.
fn values(line: &str) -> Row {
    let mut parts = vec![String::new()];
    let (mut depth, mut quoted) = (0_i32, false);
    for character in line.trim().chars() {
        match character {
            '\'' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(character);
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let text = "-- it shows this\non postgres\nexpect full: a reason\nkey id\nreplace by id, b\nwith sums\ntable store.\"Odd name\" (id INTEGER, a DECIMAL(10,2), \
                    t INTEGER[]) key id\n  1, 'it''s, so', [1, 2]\ntable b (x DATE)\nquery\n  select 1\n\n  from b\nround unread\n  \
                    store.\"Odd name\" - 1, 'it''s, so', [1, 2]\n  b + null\nround\n";
        let case = Case::parse(text).unwrap();
        assert_eq!(case.contents[0], [["1", "'it''s, so'", "[1, 2]"]]);
        assert_eq!(case.tables[0].columns[1].engine_type, "DECIMAL(10,2)");
        assert_eq!(Case::parse(&case.print()).unwrap(), case);
        let versions = case.versions().unwrap();
        assert_eq!((versions[2][0].len(), versions[2][1].len()), (0, 1));
    }
}
