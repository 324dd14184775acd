//! Subqueries in expressions.

use super::Generator;
use super::scope::{Named, Scope};
use crate::schema::{Family, quoted};

fn full_name(column: &Named) -> String {
    let name = quoted(&column.field.name);
    if column.qualifier.is_empty() { name } else { format!("{}.{name}", quoted(&column.qualifier)) }
}

impl Generator<'_> {
    /// A pair of columns that can be compared, of the subquery and of what is around it.
    fn pair(&mut self, inner: &Scope, outer: &Scope) -> Option<(Named, Named)> {
        let pairs: Vec<(Named, Named)> = outer
            .exact()
            .into_iter()
            .filter(|column| !column.qualifier.is_empty())
            .flat_map(|ours| inner.exact().into_iter().map(move |theirs| (theirs, ours.clone())))
            .filter(|(theirs, ours)| ours.field.family == theirs.field.family)
            .collect();
        let likely: Vec<(Named, Named)> = pairs
            .iter()
            .filter(|(theirs, _)| ["k", "g", "id"].contains(&theirs.field.name.as_str()))
            .cloned()
            .collect();
        let from = if likely.is_empty() || self.choices.chance(25) { &pairs } else { &likely };
        (!from.is_empty()).then(|| self.choices.pick(from).clone())
    }

    /// WHERE of a subquery.
    fn correlated_where(&mut self, inner: &Scope, outer: &Scope, percent: u32) -> String {
        let mut conditions = Vec::new();
        if self.choices.chance(percent)
            && let Some((theirs, ours)) = self.pair(inner, outer)
        {
            let operator = self.choices.weighted(&[(8, "="), (1, "<="), (1, "is not distinct from")]);
            conditions.push(format!("{} {operator} {}", full_name(&theirs), full_name(&ours)));
        }
        if self.choices.chance(45) {
            conditions.push(self.predicate(inner, 1));
        }
        if conditions.is_empty() { String::new() } else { format!(" where {}", conditions.join(" and ")) }
    }

    /// A condition that asks a subquery.
    pub(super) fn subquery_condition(&mut self, outer: &Scope) -> String {
        let kind = self.choices.weighted(&[(4, 0), (4, 1), (4, 2), (3, 3), (2, 4), (2, 5), (1, 6), (1, 7), (1, 8)]);
        let (from, inner) = self.simple_from(outer);
        match kind {
            0 => {
                self.feature("exists");
                format!("exists (select 1 from {from}{})", self.correlated_where(&inner, outer, 92))
            }
            1 => {
                self.feature("not exists");
                format!("not exists (select * from {from}{})", self.correlated_where(&inner, outer, 92))
            }
            2 | 3 => {
                let Some((theirs, ours)) = self.pair(&inner, outer) else { return "true".to_owned() };
                let word = if kind == 2 { "in" } else { "not in" };
                self.feature(if kind == 2 { "in subquery" } else { "not in subquery" });
                if kind == 2 && self.choices.chance(25) {
                    self.feature("in with having");
                    let name = full_name(&theirs);
                    return format!(
                        "{} in (select {name} from {from} group by {name} having count(*) > 1)",
                        full_name(&ours)
                    );
                }
                let filter = self.correlated_where(&inner, outer, 12);
                format!("{} {word} (select {} from {from}{filter})", full_name(&ours), full_name(&theirs))
            }
            4 => {
                self.feature("scalar in a condition");
                let value = self.scalar_body(&from, &inner, outer, 85);
                format!("{} >= {value}", self.column(outer, Family::Integer))
            }
            5 => {
                self.feature("subquery under OR");
                let other = self.predicate(outer, 1);
                let filter = self.correlated_where(&inner, outer, 92);
                let not = if self.choices.chance(40) { "not " } else { "" };
                format!("({other} or {not}exists (select 1 from {from}{filter}))")
            }
            6 => {
                self.feature("any, all");
                let Some((theirs, ours)) = self.pair(&inner, outer) else { return "true".to_owned() };
                let word = *self.choices.pick(&["= any", ">= all", "<> all", "< any"]);
                let filter = self.correlated_where(&inner, outer, 12);
                format!("{} {word} (select {} from {from}{filter})", full_name(&ours), full_name(&theirs))
            }
            7 => {
                self.feature("in of two columns");
                let (Some((a, x)), Some((b, y))) = (self.pair(&inner, outer), self.pair(&inner, outer)) else {
                    return "true".to_owned();
                };
                format!(
                    "({}, {}) in (select {}, {} from {from})",
                    full_name(&x),
                    full_name(&y),
                    full_name(&a),
                    full_name(&b)
                )
            }
            _ => {
                self.feature("negated in");
                let Some((theirs, ours)) = self.pair(&inner, outer) else { return "true".to_owned() };
                format!("not ({} in (select {} from {from}))", full_name(&ours), full_name(&theirs))
            }
        }
    }

    /// A scalar subquery: an aggregate, or the first row of an order without ties.
    fn scalar_body(&mut self, from: &str, inner: &Scope, outer: &Scope, correlated: u32) -> String {
        let filter = self.correlated_where(inner, outer, correlated);
        let column = self.column(inner, Family::Integer);
        if self.choices.chance(30) {
            return format!("(select {column} from {from}{filter} order by {} limit 1)", inner.order(None));
        }
        let function = *self.choices.pick(&["max", "sum", "count", "min"]);
        format!("(select {function}({column}) from {from}{filter})")
    }

    /// A subquery as a value, with its family.
    pub(super) fn subquery_value(&mut self, outer: &Scope) -> (String, Family) {
        let (from, inner) = self.simple_from(outer);
        match self.choices.below(4) {
            0 | 1 => {
                self.feature("scalar subquery");
                (self.scalar_body(&from, &inner, outer, 90), Family::Integer)
            }
            2 => {
                self.feature("exists as a value");
                (format!("exists (select 1 from {from}{})", self.correlated_where(&inner, outer, 92)), Family::Boolean)
            }
            _ => {
                self.feature("in as a value");
                let Some((theirs, ours)) = self.pair(&inner, outer) else {
                    return ("true".to_owned(), Family::Boolean);
                };
                let word = *self.choices.pick(&["in", "not in"]);
                (format!("{} {word} (select {} from {from})", full_name(&ours), full_name(&theirs)), Family::Boolean)
            }
        }
    }
}
