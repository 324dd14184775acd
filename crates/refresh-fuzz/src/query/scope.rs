//! What names mean at a place of a query.

use crate::choice::Choices;
use crate::schema::{Family, quoted};

/// A column of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name, unquoted.
    pub name: String,
    /// What it holds.
    pub family: Family,
}

/// A column that can be named, and by which table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The table's name in this place; empty for what USING made of two.
    pub qualifier: String,
    /// The column.
    pub field: Field,
}

/// The columns that can be named in a select.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// All of them.
    pub columns: Vec<Named>,
    /// What `*` stands for.
    pub star: Vec<Field>,
    /// Names of the tables in FROM.
    pub tables: Vec<String>,
    /// Whether every column is named with its table: more is in sight than this scope knows.
    pub strict: bool,
    /// Whether FROM holds a comma.
    pub after_comma: bool,
}

impl Scope {
    /// A column in the words of SQL; without its table where that is clear, now and then.
    pub fn reference(&self, choices: &mut Choices, column: &Named) -> String {
        let name = quoted(&column.field.name);
        if column.qualifier.is_empty() {
            return name;
        }
        let alone = self.columns.iter().filter(|other| other.field.name == column.field.name).count() == 1;
        if alone && !self.strict && choices.chance(40) { name } else { format!("{}.{name}", quoted(&column.qualifier)) }
    }

    /// The columns of a family.
    pub fn of(&self, family: Family) -> Vec<Named> {
        self.columns.iter().filter(|column| column.field.family == family).cloned().collect()
    }

    /// Columns that can be grouped by, compared and ordered by.
    pub fn exact(&self) -> Vec<Named> {
        self.columns.iter().filter(|column| column.field.family.is_exact()).cloned().collect()
    }

    /// All columns as an order without ties but among identical rows.
    pub fn order(&self, first: Option<String>) -> String {
        let mut parts: Vec<String> = first.into_iter().collect();
        for column in &self.columns {
            let name = quoted(&column.field.name);
            let name = if column.qualifier.is_empty() { name } else { format!("{}.{name}", quoted(&column.qualifier)) };
            parts.push(order_key(&name, column.field.family));
        }
        parts.join(", ")
    }

    /// Whether `*` has a name for each column.
    pub fn star_is_clear(&self) -> bool {
        let mut names: Vec<String> = self.star.iter().map(|field| field.name.to_lowercase()).collect();
        names.sort();
        names.windows(2).all(|pair| pair[0] != pair[1])
    }
}

/// A key to order by that tells values apart which only compare equal.
pub fn order_key(name: &str, family: Family) -> String {
    if family.is_exact() { format!("{name} nulls last") } else { format!("cast({name} as varchar) nulls last") }
}
