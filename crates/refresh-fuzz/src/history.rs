//! Dense histories: every round changes nearly every table, half of what happens are deletions.

use crate::choice::Choices;
use crate::schema::{Row, Table, row};

/// What happens to one table in a round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Rows that go, as a bag.
    pub before: Vec<Row>,
    /// Rows that come, as a bag. A row in both is an update that changes nothing.
    pub after: Vec<Row>,
}

/// What happens between two looks at the tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Round {
    /// One for each table.
    pub changes: Vec<Change>,
    /// Whether the model is refreshed after it; otherwise the next refresh finds the changes of both.
    pub refreshed: bool,
}

/// How many different identifiers there are.
const IDENTIFIERS: usize = 6;

/// First contents of the tables, and rounds of changes.
pub fn history(choices: &mut Choices, tables: &[Table], rounds: usize) -> (Vec<Vec<Row>>, Vec<Round>) {
    let mut contents: Vec<Vec<Row>> = tables
        .iter()
        .map(|table| {
            let count = *choices.pick(&[4, 5, 3, 6, 2, 5, 1, 4, 0]);
            let all: Vec<usize> = (0..IDENTIFIERS).collect();
            let mut rows: Vec<Row> =
                choices.sample(&all, count).into_iter().map(|id| row(choices, table, id)).collect();
            if table.key.is_empty() && !rows.is_empty() && choices.chance(50) {
                rows.push(rows[0].clone());
            }
            rows
        })
        .collect();
    let first = contents.clone();
    let mut history = Vec::new();
    for round in 0..rounds {
        let mut changes: Vec<Change> =
            tables.iter().zip(&mut contents).map(|(table, rows)| change(choices, table, rows)).collect();
        if choices.chance(20) {
            rekey(choices, tables, &mut contents, &mut changes);
        }
        // What a run records is the least difference; several steps in a row, or updates that change nothing, are rarer.
        if !choices.chance(25) {
            changes.iter_mut().for_each(net);
        }
        history.push(Round { changes, refreshed: round + 1 == rounds || !choices.chance(25) });
    }
    (first, history)
}

/// Takes out what is in both.
fn net(change: &mut Change) {
    let mut left = Vec::new();
    for row in std::mem::take(&mut change.before) {
        match change.after.iter().position(|other| *other == row) {
            Some(at) => drop(change.after.remove(at)),
            None => left.push(row),
        }
    }
    change.before = left;
}

fn change(choices: &mut Choices, table: &Table, rows: &mut Vec<Row>) -> Change {
    let mut change = Change::default();
    if choices.chance(15) {
        return change;
    }
    if choices.chance(6) {
        change.before = std::mem::take(rows);
        return change;
    }
    for _ in 0..1 + choices.below(3) {
        match choices.below(10) {
            0..=3 if !rows.is_empty() => {
                let at = choices.below(rows.len());
                change.before.push(rows.remove(at));
            }
            4..=6 if !rows.is_empty() => update(choices, table, rows, &mut change),
            7 if table.key.is_empty() && !rows.is_empty() => {
                let copy = choices.pick(rows).clone();
                change.after.push(copy.clone());
                rows.push(copy);
            }
            8 if !rows.is_empty() => {
                let same = choices.pick(rows).clone();
                change.before.push(same.clone());
                change.after.push(same);
            }
            _ => {
                let fresh = {
                    let id = choices.below(IDENTIFIERS);
                    row(choices, table, id)
                };
                if !taken(table, rows, &fresh) {
                    change.after.push(fresh.clone());
                    rows.push(fresh);
                }
            }
        }
    }
    change
}

/// Changes one or two values of a row; often from or to NULL.
fn update(choices: &mut Choices, table: &Table, rows: &mut Vec<Row>, change: &mut Change) {
    let at = choices.below(rows.len());
    let old = rows.remove(at);
    let mut new = old.clone();
    let fresh = row(choices, table, choices_id(&old, table));
    for _ in 0..1 + choices.below(2) {
        let column = choices.below(new.len());
        if !table.key.contains(&table.columns[column].name) {
            new[column] = if choices.chance(25) { "null".to_owned() } else { fresh[column].clone() };
        }
    }
    if taken(table, rows, &new) {
        rows.push(old);
        return;
    }
    change.before.push(old);
    change.after.push(new.clone());
    rows.push(new);
}

fn choices_id(row: &Row, table: &Table) -> usize {
    let at = table.columns.iter().position(|column| column.name == "id").unwrap_or(0);
    row.get(at).and_then(|id| id.parse().ok()).unwrap_or(0)
}

fn taken(table: &Table, rows: &[Row], fresh: &Row) -> bool {
    let key = |row: &Row| -> Vec<String> {
        table
            .columns
            .iter()
            .zip(row)
            .filter(|(column, _)| table.key.contains(&column.name))
            .map(|(_, value)| value.clone())
            .collect()
    };
    !table.key.is_empty() && rows.iter().any(|row| key(row) == key(fresh))
}

/// Gives every row of a value in `k` or `g` another one, in all tables at once: both sides of joins move together.
fn rekey(choices: &mut Choices, tables: &[Table], contents: &mut [Vec<Row>], changes: &mut [Change]) {
    let column = *choices.pick(&["g", "k"]);
    let (from, to) = (choices.below(3).to_string(), choices.below(4).to_string());
    for (index, table) in tables.iter().enumerate() {
        if table.key.iter().any(|name| name == column) {
            continue;
        }
        let Some(at) = table.columns.iter().position(|other| other.name == column) else { continue };
        for row in &mut contents[index] {
            if row[at] == from {
                changes[index].before.push(row.clone());
                row[at].clone_from(&to);
                changes[index].after.push(row.clone());
            }
        }
    }
}
