//! What is to be added to the rows of a stage.

use std::collections::{BTreeMap, BTreeSet};

use super::Summing;
use crate::dialect::{Dialect, InvalidName};
use crate::parser::parse_select;
use crate::refresh::relation::{InputTables, Kind, Relation, Tree};
use crate::refresh::restricted::{OWN, replaced};
use crate::refresh::rule::{Rule, SwitchedOff};
use crate::refresh::shape::Inputs;

/// The change of a stage that is kept by adding and subtracting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// Nothing it reads changed.
    Nothing,
    /// A query of the stage's columns: what is to be added to each. Groups in which nothing changes are left out.
    Rows(String),
    /// It is not a linear function of what changed; the tables.
    NotLinear(Vec<Vec<String>>),
}

impl Summing {
    /// What is to be added to a stage's rows. `text` is the stage's.
    pub fn delta(
        &self,
        text: &str,
        dialect: &dyn Dialect,
        tables: &dyn InputTables,
        inputs: &Inputs,
        off: &SwitchedOff,
    ) -> Result<Delta, InvalidName> {
        let changed: Vec<Vec<String>> = {
            let query = parse_select(text, dialect);
            let names: BTreeSet<Vec<String>> =
                query.map(|query| query.tables.into_iter().map(|table| table.name).collect()).unwrap_or_default();
            names.into_iter().filter(|name| inputs.changed.contains_key(name)).collect()
        };
        if !changed.iter().all(|name| self.linear.contains(name)) {
            return Ok(Delta::NotLinear(changed.into_iter().filter(|name| !self.linear.contains(name)).collect()));
        }
        let Ok(tree) = crate::parser::parse_relation(text, dialect, tables) else {
            return Ok(Delta::NotLinear(changed));
        };
        let untold = |name: &&Vec<String>| inputs.changed.get(*name).is_some_and(|changed| changed.old.is_none());
        if let Some(name) = changed.iter().find(untold) {
            return Ok(Delta::NotLinear(vec![name.clone()]));
        }
        let changing: Vec<usize> = (0..tree.tables.len())
            .filter(|place| inputs.changed.contains_key(&tree.tables[*place].name) && is_read(&tree.root, *place))
            .collect();
        if changing.is_empty() {
            return Ok(Delta::Nothing);
        }
        let keys: Result<Vec<String>, InvalidName> =
            self.keys.iter().map(|key| dialect.quote_identifier(key)).collect();
        let keys = keys?;
        let mut numbers = Vec::new();
        for name in self.all_counts() {
            numbers.push(Number { name: dialect.quote_identifier(name)?, scale: None });
        }
        for sum in &self.sums {
            let scale = sum.scale.as_ref().map(|scale| dialect.quote_identifier(scale)).transpose()?;
            numbers.push(Number { name: dialect.quote_identifier(&sum.name)?, scale });
        }
        let mut selects = Vec::new();
        let mut united = BTreeSet::new();
        in_unions(&tree.root, false, &mut united);
        for term in terms(dialect, &changing, off) {
            if term.is_empty(&tree, inputs, &united) {
                continue;
            }
            let sign = if term.taken { "-" } else { "" };
            let query = read_with(&tree, dialect, inputs, &term.places)?;
            let list = keys.iter().map(|key| format!("q.{key}"));
            let list: Vec<String> = list.chain(numbers.iter().map(|number| number.term(dialect, sign))).collect();
            selects.push(format!("select {} from ({query}\n) q", list.join(", ")));
        }
        if selects.is_empty() {
            return Ok(Delta::Nothing);
        }
        let mut list: Vec<String> = keys.iter().map(|key| format!("d.{key}")).collect();
        list.extend(numbers.iter().map(|number| format!("{} as {}", number.added(dialect), number.name)));
        let differs: Vec<String> = numbers.iter().map(|number| number.differs(dialect)).collect();
        let groups: Vec<String> = keys.iter().map(|key| format!("d.{key}")).collect();
        let group_by = if groups.is_empty() { String::new() } else { format!(" group by {}", groups.join(", ")) };
        Ok(Delta::Rows(format!(
            "select {} from ({}) d{group_by} having {}",
            list.join(", "),
            selects.join(" union all "),
            differs.join(" or ")
        )))
    }
}

/// A count or a sum of a stage.
struct Number {
    /// Its quoted column.
    name: String,
    /// The quoted column with its scale, where it has one.
    scale: Option<String>,
}

impl Number {
    fn is_scale(&self, dialect: &dyn Dialect, alias: &str) -> Option<String> {
        self.scale.as_ref().map(|scale| dialect.is_scale(&format!("{alias}.{scale}")))
    }

    /// What came, or with `-` what went. What cannot be taken away stays what it is: it is the sum of all rows that hold it.
    fn term(&self, dialect: &dyn Dialect, sign: &str) -> String {
        let name = &self.name;
        match self.is_scale(dialect, "q") {
            Some(is_scale) if !sign.is_empty() => {
                format!("case when {is_scale} then {sign}q.{name} else q.{name} end as {name}")
            }
            _ => format!("{sign}q.{name} as {name}"),
        }
    }

    /// All of its terms.
    fn added(&self, dialect: &dyn Dialect) -> String {
        let name = &self.name;
        match self.is_scale(dialect, "d") {
            Some(is_scale) => format!("case when {is_scale} then coalesce(sum(d.{name}), 0) else max(d.{name}) end"),
            None => format!("coalesce(sum(d.{name}), 0)"),
        }
    }

    /// Whether there is something to add.
    fn differs(&self, dialect: &dyn Dialect) -> String {
        let differs = format!("coalesce(sum(d.{}), 0) <> 0", self.name);
        match self.is_scale(dialect, "d") {
            Some(is_scale) => format!("({is_scale} and {differs})"),
            None => differs,
        }
    }
}

/// A text with another relation in the places of one of its tables; `None` where that cannot be.
pub fn over(
    text: &str,
    dialect: &dyn Dialect,
    tables: &dyn InputTables,
    table: &[String],
    relation: &str,
) -> Result<Option<String>, InvalidName> {
    let Ok(tree) = crate::parser::parse_relation(text, dialect, tables) else { return Ok(None) };
    let inputs = Inputs { current: BTreeMap::from([(table.to_vec(), relation.to_owned())]), ..Inputs::default() };
    read_with(&tree, dialect, &inputs, &BTreeMap::new()).map(Some)
}

fn is_read(relation: &Relation, place: usize) -> bool {
    matches!(&relation.kind, Kind::Scan { table } if *table == place)
        || relation.inputs().into_iter().any(|input| is_read(input, place))
}

/// The places of tables in unions.
fn in_unions(relation: &Relation, inside: bool, found: &mut BTreeSet<usize>) {
    match &relation.kind {
        Kind::Scan { table } if inside => {
            found.insert(*table);
        }
        kind => {
            let inside = inside || matches!(kind, Kind::SetOperation { .. });
            relation.inputs().into_iter().for_each(|input| in_unions(input, inside, found));
        }
    }
}

/// What is read at the place of a changed table, where that is not the table as it is.
#[derive(Debug, Clone, Copy)]
enum Reading {
    Came,
    Went,
    /// The table as it was.
    Old,
}

/// The text over what some places read, to be added or taken away.
#[derive(Debug, Clone, Default)]
struct Term {
    taken: bool,
    places: BTreeMap<usize, Reading>,
}

impl Term {
    fn with(&self, place: usize, reading: Reading, taken: bool) -> Self {
        let mut term = Self { taken: self.taken != taken, places: self.places.clone() };
        term.places.insert(place, reading);
        term
    }

    /// Whether it joins with what holds no rows. In a union, other rows stand beside those of a place.
    fn is_empty(&self, tree: &Tree, inputs: &Inputs, united: &BTreeSet<usize>) -> bool {
        self.places.iter().filter(|(place, _)| !united.contains(place)).any(|(place, reading)| {
            let changed = tree.tables.get(*place).and_then(|table| inputs.changed.get(&table.name));
            let relation = match (reading, changed) {
                (Reading::Came, Some(changed)) => &changed.after,
                (Reading::Went, Some(changed)) => &changed.before,
                _ => return false,
            };
            inputs.empty.contains(relation)
        })
    }
}

/// So many changed places are read in terms without tables as they were: for each of them three times as many.
const APART: usize = 3;

/// What came and what went at each place; places before it are read as they are now, places after it as they were. An engine that looks rows
/// up by indexes finds them in the table, not in a union: there a table as it was is what it is, less what came, and what went.
fn terms(dialect: &dyn Dialect, changing: &[usize], off: &SwitchedOff) -> Vec<Term> {
    let apart = dialect.has_indexes() && changing.len() <= APART;
    let mut all = Vec::new();
    for (index, at) in changing.iter().enumerate() {
        let new = Term::default();
        let mut terms = vec![new.with(*at, Reading::Came, false), new.with(*at, Reading::Went, true)];
        for after in changing.iter().skip(index + 1).filter(|_| off.holds(Rule::TablesAsTheyWere)) {
            terms = if apart {
                let was = |term: &Term| {
                    [term.clone(), term.with(*after, Reading::Came, true), term.with(*after, Reading::Went, false)]
                };
                terms.iter().flat_map(was).collect()
            } else {
                terms.iter().map(|term| term.with(*after, Reading::Old, false)).collect()
            };
        }
        all.extend(terms);
    }
    all
}

/// The text with other relations in the places of some of its tables.
fn read_with(
    tree: &Tree,
    dialect: &dyn Dialect,
    inputs: &Inputs,
    places: &BTreeMap<usize, Reading>,
) -> Result<String, InvalidName> {
    let mut replacements = Vec::with_capacity(tree.tables.len());
    for (place, table) in tree.tables.iter().enumerate() {
        let changed = inputs.changed.get(&table.name);
        let relation = match (places.get(&place), changed) {
            (Some(Reading::Came), Some(changed)) => Some(&changed.after),
            (Some(Reading::Went), Some(changed)) => Some(&changed.before),
            (Some(Reading::Old), Some(changed)) => changed.old.as_ref(),
            _ => inputs.current.get(&table.name),
        };
        let Some(relation) = relation else { continue };
        if table.fixed.is_some() {
            continue;
        }
        let mut columns = Vec::with_capacity(table.input.columns.len());
        for (column, _) in &table.input.columns {
            columns.push(format!("{OWN}.{}", dialect.quote_identifier(column)?));
        }
        let own =
            if table.aliased { String::new() } else { format!(" as {}", dialect.quote_identifier(&table.own_name)?) };
        replacements.push((table.span.clone(), format!("(select {} from {relation} {OWN}){own}", columns.join(", "))));
    }
    Ok(replaced(&tree.text, replacements).trim_end().trim_end_matches(';').to_owned())
}
