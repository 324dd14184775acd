//! Random queries as text.
//!
//! Expressions are typed, so that nearly every query is one the engine accepts. Whatever has several right answers is left out, but for
//! orders that are left open, which refresh settles: a difference is always a fault.

mod aggregate;
mod expression;
mod from;
mod scope;
mod select;
mod spelling;
mod subquery;
mod window;

use std::collections::BTreeSet;

use thalweg_sql::dialect::Grammar;

use self::select::list;
use self::spelling::Spelling;
use crate::choice::Choices;
use crate::schema::{Family, Table, family, quoted};

pub use scope::{Field, Scope};

/// A query and what is known of it.
#[derive(Debug, Clone)]
pub struct Text {
    /// Its text.
    pub sql: String,
    /// Its columns.
    pub fields: Vec<Field>,
}

/// A thing that can stand in FROM by name.
#[derive(Debug, Clone)]
struct Source {
    sql: String,
    own_name: String,
    fields: Vec<Field>,
}

/// Makes queries.
#[derive(Debug)]
pub struct Generator<'a> {
    choices: &'a mut Choices,
    spelling: Spelling,
    /// Tables, or in the dbt idiom CTEs that import them.
    sources: Vec<Source>,
    /// CTEs that can be named here, latest last.
    ctes: Vec<Source>,
    number: usize,
    features: BTreeSet<&'static str>,
}

/// A random query over tables, for engines that read a grammar, and the constructs it uses.
pub fn query(choices: &mut Choices, tables: &[Table], grammar: Grammar) -> (Text, BTreeSet<&'static str>) {
    let sources = tables
        .iter()
        .map(|table| Source {
            sql: table.sql_name(),
            own_name: table.name.clone(),
            fields: table
                .columns
                .iter()
                .map(|column| Field { name: column.name.clone(), family: family(&column.engine_type) })
                .collect(),
        })
        .collect();
    let mut generator = Generator {
        choices,
        spelling: Spelling(grammar),
        sources,
        ctes: Vec::new(),
        number: 0,
        features: BTreeSet::new(),
    };
    let depth = generator.choices.weighted(&[(3, 0), (5, 1), (4, 2), (1, 3)]);
    let text = match generator.choices.weighted(&[(5, 0), (4, 1), (2, 2)]) {
        0 => generator.any(depth),
        1 => generator.imports(depth),
        _ => generator.with(depth),
    };
    let mut sql = text.sql.clone();
    if generator.choices.chance(4) {
        let fields = if generator.number % 3 == 1 { &text.fields[..text.fields.len().min(1)] } else { &text.fields };
        let order = generator.order_of_fields(fields);
        let limit = 1 + generator.choices.below(4);
        generator.feature("limit");
        sql = format!("select * from ({sql}) as limited order by {order} limit {limit}");
    }
    (Text { sql, fields: text.fields }, generator.features)
}

impl Generator<'_> {
    fn feature(&mut self, name: &'static str) {
        self.features.insert(name);
    }

    /// A new name.
    fn name(&mut self, letter: &str) -> String {
        self.number += 1;
        format!("{letter}{}", self.number)
    }

    /// A select, or a set operation.
    fn any(&mut self, depth: usize) -> Text {
        if depth > 0 && self.choices.chance(14) { self.set_operation(depth) } else { self.select(depth, None) }
    }

    /// dbt's idiom: every table is imported by a CTE, every step is a CTE, the last is selected.
    fn imports(&mut self, depth: usize) -> Text {
        self.feature("import CTEs");
        let mut ctes = Vec::new();
        let tables = std::mem::take(&mut self.sources);
        for (number, table) in tables.iter().enumerate() {
            // Mostly named like the table it imports.
            let name = if self.choices.chance(30) { format!("source_{number}") } else { table.own_name.clone() };
            let comment = if self.choices.chance(10) { " -- größer; 'als'\n" } else { "" };
            ctes.push(format!("{} as ({comment}select * from {})", quoted(&name), table.sql));
            self.ctes.push(Source { sql: quoted(&name), own_name: name, fields: table.fields.clone() });
        }
        // Only what the imports name can be read, as in a model.
        self.sources = self.ctes.clone();
        self.steps(depth, &mut ctes)
    }

    /// CTEs of any kind, used once, many times or never.
    fn with(&mut self, depth: usize) -> Text {
        self.feature("CTEs");
        let mut ctes = Vec::new();
        self.steps(depth, &mut ctes)
    }

    fn steps(&mut self, depth: usize, ctes: &mut Vec<String>) -> Text {
        for _ in 0..1 + self.choices.below(depth + 1) {
            let name = self.name("step_");
            let text = self.any(depth.saturating_sub(1).min(1));
            // Without a choice of its own, so that a seed keeps its cases.
            let kept = if self.number % 5 == 2 { "materialized " } else { "" };
            ctes.push(format!("{name} as {kept}({})", text.sql));
            self.ctes.push(Source { sql: name.clone(), own_name: name, fields: text.fields });
        }
        let last = self.ctes.last().cloned();
        let text = match last {
            Some(last) if self.choices.chance(40) => {
                Text { sql: format!("select * from {}", last.sql), fields: last.fields }
            }
            last => self.select(depth.saturating_sub(1), last.map(|last| last.sql)),
        };
        Text { sql: format!("with {} {}", ctes.join(", "), text.sql), fields: text.fields }
    }

    fn set_operation(&mut self, depth: usize) -> Text {
        let left = self.select(depth - 1, None);
        let right = self.select(depth - 1, None);
        let operator = *self.choices.pick(&[
            "union all",
            "union",
            "except",
            "intersect",
            "union all by name",
            "except all",
            "intersect all",
            "union by name",
        ]);
        self.feature(match operator {
            "union all" => "union all",
            "union" => "union",
            "except" => "except",
            "intersect" => "intersect",
            "except all" => "except all",
            "intersect all" => "intersect all",
            _ => "by name",
        });
        if operator.ends_with("by name") {
            return self.by_name(left, right, operator);
        }
        let keep_all = operator == "union all";
        let usable = |fields: &[Field]| -> Vec<Field> {
            fields.iter().filter(|field| keep_all || field.family.is_exact()).cloned().collect()
        };
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let mut rest = usable(&right.fields);
        for field in usable(&left.fields) {
            if let Some(at) = rest.iter().position(|other| other.family == field.family) {
                theirs.push(rest.remove(at));
                ours.push(field);
            }
        }
        if ours.is_empty() {
            return left;
        }
        let (a, b) = (self.name("s"), self.name("s"));
        let sql = format!(
            "select {} from ({}) as {a} {operator} select {} from ({}) as {b}",
            list(&ours),
            left.sql,
            list(&theirs),
            right.sql
        );
        Text { sql, fields: ours }
    }

    /// `UNION BY NAME`: columns of one side are NULL in the rows of the other.
    fn by_name(&mut self, left: Text, right: Text, operator: &str) -> Text {
        let exact = operator == "union all by name";
        let mut fields: Vec<Field> = Vec::new();
        let mut sides = Vec::new();
        for text in [&left, &right] {
            let mut list = Vec::new();
            for field in text.fields.iter().filter(|field| exact || field.family.is_exact()) {
                // Names are made comparable: by family and ordinal among it.
                let count =
                    list.iter().filter(|(_, other, _): &&(String, Family, String)| *other == field.family).count();
                let name = format!("{:?}_{count}", field.family).to_lowercase();
                if !fields.iter().any(|other| other.name == name) {
                    fields.push(Field { name: name.clone(), family: field.family });
                }
                list.push((name, field.family, quoted(&field.name)));
            }
            sides.push(list);
        }
        if sides.iter().any(Vec::is_empty) {
            return left;
        }
        let by_name = self.spelling.has_shorthands();
        let operator = if by_name { operator } else { operator.trim_end_matches(" by name") };
        let sides = sides.iter().map(|side| {
            let own: Vec<String> = side.iter().map(|(name, _, own)| format!("{own} as {name}")).collect();
            // What matches by place has all columns.
            let all = fields.iter().map(|field| match side.iter().find(|(name, ..)| *name == field.name) {
                Some((name, _, own)) => format!("{own} as {name}"),
                None => format!("null as {}", field.name),
            });
            if by_name { own.join(", ") } else { all.collect::<Vec<_>>().join(", ") }
        });
        let sides: Vec<String> = sides.collect();
        let (a, b) = (self.name("s"), self.name("s"));
        let sql = format!(
            "select {} from ({}) as {a} {operator} select {} from ({}) as {b}",
            sides[0], left.sql, sides[1], right.sql
        );
        Text { sql, fields }
    }

    /// An order without ties, but among rows that are identical.
    fn order_of_fields(&mut self, fields: &[Field]) -> String {
        let parts: Vec<String> =
            fields.iter().map(|field| scope::order_key(&quoted(&field.name), field.family)).collect();
        parts.join(", ")
    }
}
