//! From the text of a query to its relational form ([`Tree`]).
//!
//! Every name is resolved as the engine resolves it, or the answer is an [`Obstacle`]: nothing is guessed. The syntax tree stays here.

mod blocks;
mod expression;
mod from;
mod functions;
mod group;
mod items;
mod order;
mod places;
mod query;
mod scope;
mod select;
mod subquery;
mod summed;
mod ties;
mod window;
mod window_ties;
mod windowed;

use std::collections::HashMap;
use std::ops::Range;

use sqlparser::ast::{Cte, Expr};

use crate::dialect::{Dialect, Grammar};
use crate::parser::engine_syntax::Hidden;
use crate::parser::positions::Positions;
use crate::query::Query;
use crate::refresh::{
    ColumnId, Expression, InputTables, Kind, Obstacle, OutputColumn, Relation, Scalar, Tree, TreeTable,
};
pub use blocks::parse_blocks;
use places::{Extent, Places};

/// How many selects a query may have once every CTE stands in the place of each of its uses.
const MOST_SELECTS: usize = 4000;
/// How many columns all of them may have together.
const MOST_COLUMNS: usize = 400_000;
/// How deeply selects may nest.
const NESTING: usize = 60;

/// Bytes of stack for reading a query: expressions may be thousands of operators long, and the syntax tree is as deep as they are long.
const STACK: usize = 64 << 20;

/// The relational form of a query in whose text every table is a stored one.
///
/// Never panics, whatever the text.
pub fn parse_relation(sql: &str, dialect: &dyn Dialect, inputs: &dyn InputTables) -> Result<Tree, Obstacle> {
    parse_within(sql, dialect, inputs, false)
}

/// As [`parse_relation`], with what selects group by in the text, and the pieces of those that only count and add ([`crate::refresh::Aggregate`]).
pub fn parse_summed(sql: &str, dialect: &dyn Dialect, inputs: &dyn InputTables) -> Result<Tree, Obstacle> {
    parse_within(sql, dialect, inputs, true)
}

fn parse_within(
    sql: &str,
    dialect: &dyn Dialect,
    inputs: &dyn InputTables,
    with_summed: bool,
) -> Result<Tree, Obstacle> {
    stacker::grow(STACK, || read_whole(sql, dialect, inputs, with_summed))
}

fn read_whole(sql: &str, dialect: &dyn Dialect, inputs: &dyn InputTables, with_summed: bool) -> Result<Tree, Obstacle> {
    let positions = Positions::new(sql);
    let grammar = super::grammar_of(dialect);
    let reading = super::read(sql, &grammar, &positions).map_err(|error| Obstacle {
        reason: error.message,
        span: error.span,
        instead: None,
    })?;
    if let Some(span) = reading.facts.volatile.first() {
        let what = sql.get(span.clone()).unwrap_or_default();
        return Err(Obstacle {
            reason: format!("`{what}` answers differently each time"),
            span: span.clone(),
            instead: Some("compute it in a model of its own that is refreshed in full".to_owned()),
        });
    }
    let mut hidden = Vec::new();
    for (span, what) in reading.adapted.hidden {
        let span = positions.range(span);
        let (reason, instead) = match what {
            Hidden::StructStar => ("`.*` of a struct has as many columns as the struct has fields", "name the fields"),
            Hidden::UnpackedColumns => ("`*columns(...)` is not followed", "name the columns"),
            Hidden::Ordinal => ("`#1` names a column by its position", "write the column's name"),
            Hidden::StarPattern => ("columns by a pattern are not followed", "name the columns"),
            Hidden::Comprehension { list, variables } => {
                hidden.push((span, positions.range(list), variables));
                continue;
            }
        };
        return Err(Obstacle { reason: reason.to_owned(), span, instead: Some(instead.to_owned()) });
    }
    let mut reader = Reader {
        sql,
        places: Places::new(&positions, reading.parser, grammar.dialect(), reading.adapted.tokens),
        facts: &reading.facts,
        inputs,
        tables: vec![None; reading.facts.tables.len()],
        comprehensions: hidden,
        next_column: 0,
        selects: 0,
        depth: 0,
        bounds: Vec::new(),
        ctes: Vec::new(),
        local: Vec::new(),
        looking_beyond: Vec::new(),
        bodies: HashMap::new(),
        with_summed,
        grammar: dialect.grammar(),
        ties: ties::Ties::new(dialect),
    };
    let (root, names) = match reader.top(&reading.tree) {
        Ok(found) => found,
        Err(Stop::Obstacle(obstacle)) => return Err(obstacle),
        Err(Stop::Correlated(_)) => {
            return Err(Obstacle {
                reason: "a column of no table is named".to_owned(),
                span: reading.facts.body,
                instead: None,
            });
        }
    };
    let within = |places: &[Range<usize>], span: &Range<usize>| {
        places.iter().any(|place| place.start <= span.start && span.end <= place.end)
    };
    let ties = std::mem::take(&mut reader.ties.found);
    let clock = reading
        .facts
        .clock
        .iter()
        .map(|span| (span.clone(), within(&reader.local, span) && !within(&reader.looking_beyond, span)))
        .collect();
    let mut tables = Vec::with_capacity(reader.tables.len());
    for (table, reference) in reader.tables.into_iter().zip(&reading.facts.tables) {
        match table {
            Some(table) => tables.push(table),
            // A CTE that nobody reads.
            None => tables.push(TreeTable {
                name: reference.name.clone(),
                span: reference.span.clone(),
                own_name: reference.own_name().to_owned(),
                aliased: reference.alias.is_some(),
                fixed: Some("nothing in the query's result depends on it".to_owned()),
                input: inputs
                    .table(&reference.name)
                    .unwrap_or(crate::refresh::InputTable { columns: Vec::new(), key: Vec::new() }),
            }),
        }
    }
    let needs_types = dialect.needs_types();
    Ok(Tree { text: sql.to_owned(), root, names, tables, clock, ties, needs_types })
}

/// Why the reading of a part ends.
#[derive(Debug)]
enum Stop {
    /// For good.
    Obstacle(Obstacle),
    /// The part names a column of a select of this level, outside of it.
    Correlated(usize),
}

type Outcome<T> = Result<T, Stop>;

/// A CTE and what it sees.
struct CteEntry<'a> {
    name: String,
    cte: &'a Cte,
    recursive: bool,
    /// The CTE before it.
    before: Env,
    /// Whether its query is being read.
    under_way: bool,
}

/// The last CTE that is visible.
type Env = Option<usize>;

struct Reader<'a> {
    sql: &'a str,
    places: Places<'a>,
    facts: &'a Query,
    inputs: &'a dyn InputTables,
    tables: Vec<Option<TreeTable>>,
    /// List comprehensions: the whole, the list in it, and the variables.
    comprehensions: Vec<(Range<usize>, Range<usize>, Vec<String>)>,
    next_column: u32,
    selects: usize,
    depth: usize,
    /// Levels of the subqueries being read that must not name columns of lower levels.
    bounds: Vec<usize>,
    ctes: Vec<CteEntry<'a>>,
    /// Expressions on one row.
    local: Vec<Range<usize>>,
    /// Expressions that look at other rows.
    looking_beyond: Vec<Range<usize>>,
    /// Queries that are one select, by the place of its SELECT.
    bodies: HashMap<usize, &'a sqlparser::ast::Query>,
    /// Whether the pieces of selects that count and add are wanted.
    with_summed: bool,
    grammar: Grammar,
    ties: ties::Ties<'a>,
}

impl<'a> Reader<'a> {
    fn column(&mut self) -> ColumnId {
        self.next_column += 1;
        ColumnId(self.next_column)
    }

    /// A new column of unknown type.
    fn output(&mut self) -> OutputColumn {
        OutputColumn { id: self.column(), engine_type: None }
    }

    fn enter(&mut self, place: Range<usize>) -> Outcome<()> {
        self.selects += 1;
        self.depth += 1;
        if self.depth > NESTING {
            return Err(stop(
                format!("the query nests deeper than {NESTING} levels"),
                place,
                Some("split it into several models"),
            ));
        }
        if self.selects > MOST_SELECTS || self.next_column as usize > MOST_COLUMNS {
            return Err(stop(
                "the query is too large once every CTE stands where it is used",
                place,
                Some("make models of the CTEs that are used several times"),
            ));
        }
        Ok(())
    }

    /// The place of an expression, which must be known.
    fn place(&mut self, expression: &Expr, extent: Extent) -> Outcome<Range<usize>> {
        self.places.of(expression, extent).ok_or_else(|| {
            stop(
                "the place of this expression in the text is not known",
                self.places.near(expression),
                Some("write it in a simpler way"),
            )
        })
    }

    fn text(&self, span: &Range<usize>) -> &'a str {
        self.sql.get(span.clone()).unwrap_or_default()
    }
}

fn stop(reason: impl Into<String>, span: Range<usize>, instead: Option<&str>) -> Stop {
    Stop::Obstacle(Obstacle { reason: reason.into(), span, instead: instead.map(str::to_owned) })
}

/// A relation with the computed columns added to those of its input.
fn extend(input: Relation, computed: Vec<(ColumnId, Scalar)>) -> Relation {
    if computed.is_empty() {
        return input;
    }
    let mut columns = input.columns.clone();
    for (id, scalar) in &computed {
        let engine_type = match scalar {
            Scalar::Column(from) => {
                input.columns.iter().find(|column| column.id == *from).and_then(|column| column.engine_type.clone())
            }
            _ => None,
        };
        columns.push(OutputColumn { id: *id, engine_type });
    }
    Relation { kind: Kind::Project { input: Box::new(input), computed }, columns }
}

/// The relation with its rows restricted.
fn filter(input: Relation, conditions: Vec<Scalar>) -> Relation {
    if conditions.is_empty() {
        return input;
    }
    let columns = input.columns.clone();
    Relation { kind: Kind::Filter { input: Box::new(input), conditions }, columns }
}

/// A relation that takes the place of one that is being worked on.
fn nothing_at_all() -> Relation {
    Relation { kind: Kind::Constant { text: expression(0..0, Vec::new()), query: true }, columns: Vec::new() }
}

fn has(relation: &Relation, column: ColumnId) -> bool {
    relation.columns.iter().any(|one| one.id == column)
}

fn expression(span: Range<usize>, mut columns: Vec<(Range<usize>, ColumnId)>) -> Expression {
    columns.sort_by_key(|(span, _)| span.start);
    Expression { span, columns }
}
