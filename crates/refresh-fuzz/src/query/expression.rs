//! Expressions on one row, by family of types.

use super::Generator;
use super::scope::{Named, Scope};
use crate::schema::{Family, literal};

impl Generator<'_> {
    /// A column of a family, or a literal where there is none.
    pub(super) fn column(&mut self, scope: &Scope, family: Family) -> String {
        let columns = scope.of(family);
        if columns.is_empty() {
            return self.constant(family);
        }
        let column = self.choices.pick(&columns).clone();
        scope.reference(self.choices, &column)
    }

    pub(super) fn constant(&mut self, family: Family) -> String {
        let engine_type = match family {
            Family::Integer => "INTEGER",
            Family::Decimal => "DECIMAL(10,2)",
            Family::Text => "VARCHAR",
            Family::Date => "DATE",
            Family::Timestamp => "TIMESTAMP",
            Family::Boolean => "BOOLEAN",
            Family::Double | Family::Inexact => return self.spelling.double(&literal(self.choices, "DOUBLE")),
            Family::List => return self.spelling.list(&literal(self.choices, "INTEGER[]")),
        };
        literal(self.choices, engine_type)
    }

    /// An expression of a family.
    pub(super) fn expression(&mut self, scope: &Scope, family: Family, depth: usize) -> String {
        if depth == 0 || self.choices.chance(35) {
            return self.column(scope, family);
        }
        let below = depth - 1;
        // What every family has.
        match self.choices.below(9) {
            1 => {
                let (first, second) = (self.expression(scope, family, below), self.expression(scope, family, below));
                return format!("coalesce({first}, {second})");
            }
            2 => {
                let condition = self.predicate(scope, below);
                let (yes, no) = (self.expression(scope, family, below), self.expression(scope, family, below));
                return match self.choices.below(3) {
                    0 => format!("case when {condition} then {yes} else {no} end"),
                    1 => format!("case when {condition} then {yes} end"),
                    _ => self.spelling.choice(&condition, &yes, &no),
                };
            }
            3 if family.is_exact() => {
                let (first, second) = (self.expression(scope, family, below), self.constant(family));
                return format!("nullif({first}, {second})");
            }
            _ => {}
        }
        let own = self.expression(scope, family, below);
        let choice = self.choices.below(6);
        match family {
            Family::Integer => match choice {
                0 => format!("({own} + 1)"),
                1 => format!("({own} % 2)"),
                2 => self.spelling.half(&own),
                3 => format!("length({})", self.expression(scope, Family::Text, below)),
                4 => self.spelling.month(&self.expression(scope, Family::Date, below)),
                _ => format!("cast({own} as integer)"),
            },
            Family::Decimal => match choice {
                0 => format!("round({own}, 1)"),
                1 => format!("abs({own})"),
                2 => format!("cast({} as decimal(10,2))", self.expression(scope, Family::Integer, below)),
                _ => own,
            },
            Family::Text => match choice {
                0 => format!("upper({own})"),
                1 => format!("({own} || '-')"),
                2 => self.spelling.text(&self.expression(scope, Family::Integer, below)),
                3 => self.spelling.year_and_month(&self.expression(scope, Family::Date, below)),
                4 => self.spelling.trimmed(&own),
                _ => format!("left({own}, 1)"),
            },
            Family::Date => match choice {
                0 => format!("cast(date_trunc('month', {own}) as date)"),
                1 => format!("({own} + 1)"),
                2 => format!("cast({} as date)", self.expression(scope, Family::Timestamp, below)),
                _ => own,
            },
            Family::Timestamp => match choice {
                0 => format!("date_trunc('hour', {own})"),
                1 => format!("({own} + interval '30' minute)"),
                2 => format!("cast({} as timestamp)", self.expression(scope, Family::Date, below)),
                _ => own,
            },
            Family::Boolean => match choice {
                0..=3 => format!("({})", self.predicate(scope, below)),
                _ => own,
            },
            Family::Double => match choice {
                0 => format!("({own} * 2)"),
                _ => own,
            },
            Family::Inexact => own,
            Family::List => match choice {
                0 => self.spelling.other_list(&own),
                _ => own,
            },
        }
    }

    /// A condition on one row.
    pub(super) fn predicate(&mut self, scope: &Scope, depth: usize) -> String {
        let columns: Vec<Named> =
            scope.columns.iter().filter(|column| column.field.family != Family::Inexact).cloned().collect();
        if columns.is_empty() {
            return "true".to_owned();
        }
        let column = self.choices.pick(&columns).clone();
        let name = scope.reference(self.choices, &column);
        let family = column.field.family;
        match self.choices.weighted(&[(3, 0), (3, 1), (2, 2), (2, 3), (1, 4), (1, 5), (2, 6), (1, 7), (1, 8)]) {
            0 => format!("{name} is not null"),
            1 => format!("{name} > {}", self.constant(family)),
            2 => format!("{name} is null"),
            3 if depth > 0 => {
                let other = self.expression(scope, family, depth - 1);
                let operator = *self.choices.pick(&["=", "<=", "<>", "is distinct from"]);
                format!("{name} {operator} {other}")
            }
            4 if depth > 0 => format!("({} or {})", self.predicate(scope, depth - 1), self.predicate(scope, depth - 1)),
            5 if depth > 0 => format!("not ({})", self.predicate(scope, depth - 1)),
            6 => format!("{name} in ({}, {})", self.constant(family), self.constant(family)),
            7 if family == Family::Text => format!("{name} like '%b%'"),
            7 if family == Family::List => format!("1 = any({name})"),
            8 if family != Family::List => {
                format!("{name} between {} and {}", self.constant(family), self.constant(family))
            }
            _ => format!("coalesce({name}, {}) <> {}", self.constant(family), self.constant(family)),
        }
    }
}
