//! GROUP BY and aggregates.

use super::scope::Scope;
use super::{Field, Generator};
use crate::schema::Family;

impl Generator<'_> {
    /// An aggregate whose answer does not depend on the order of rows.
    pub(super) fn aggregate(&mut self, scope: &Scope) -> (String, Family) {
        let filter = if self.choices.chance(15) {
            self.feature("aggregate with FILTER");
            format!(" filter (where {})", self.predicate(scope, 1))
        } else {
            String::new()
        };
        let (call, family) = match self.choices.weighted(&[
            (4, 0),
            (4, 1),
            (3, 2),
            (3, 3),
            (2, 4),
            (2, 5),
            (1, 6),
            (1, 7),
            (1, 8),
            (1, 9),
            (1, 10),
            (1, 11),
        ]) {
            0 => ("count(*)".to_owned(), Family::Integer),
            1 => (format!("sum({})", self.expression(scope, Family::Integer, 1)), Family::Integer),
            2 => {
                let family = *self.choices.pick(&[Family::Integer, Family::Text, Family::Date, Family::Decimal]);
                (format!("min({})", self.expression(scope, family, 1)), family)
            }
            3 => {
                let family = *self.choices.pick(&[Family::Integer, Family::Text, Family::Date, Family::Timestamp]);
                (format!("max({})", self.expression(scope, family, 1)), family)
            }
            4 => {
                self.feature("count distinct");
                let family = *self.choices.pick(&[Family::Integer, Family::Text]);
                (format!("count(distinct {})", self.expression(scope, family, 1)), Family::Integer)
            }
            5 => {
                self.feature("pivot by case");
                let condition = self.predicate(scope, 0);
                (
                    format!("sum(case when {condition} then {} else 0 end)", self.column(scope, Family::Integer)),
                    Family::Integer,
                )
            }
            6 => (format!("avg({})", self.column(scope, Family::Integer)), Family::Inexact),
            7 => (format!("sum({})", self.column(scope, Family::Double)), Family::Inexact),
            8 if !scope.of(Family::Text).is_empty() => {
                self.feature("ordered aggregate");
                let text = self.column(scope, Family::Text);
                let call = match self.number % 6 {
                    1 => format!("string_agg({text}, ',')"),
                    3 => format!("string_agg(distinct {text}, ',')"),
                    5 => self.spelling.any_value(&text),
                    _ => format!("string_agg({text}, ',' order by {text})"),
                };
                (call, Family::Text)
            }
            9 if !scope.of(Family::Integer).is_empty() => {
                self.feature("list aggregate");
                let value = self.column(scope, Family::Integer);
                match self.number % 6 {
                    1 => (self.spelling.collected(&value), Family::List),
                    2 if !scope.of(Family::Date).is_empty() => {
                        let day = self.column(scope, Family::Date);
                        (self.spelling.latest(&value, &day), Family::Integer)
                    }
                    3 => (self.spelling.collected(&format!("distinct {value}")), Family::List),
                    4 => (self.spelling.first(&value), Family::Integer),
                    5 if self.number % 4 == 1 => (self.spelling.quantile(&value), Family::Integer),
                    5 => (self.spelling.mode(&value), Family::Integer),
                    _ => (self.spelling.collected(&format!("{value} order by {value} nulls last")), Family::List),
                }
            }
            10 => {
                let condition = self.predicate(scope, 1);
                (format!("bool_or({condition})"), Family::Boolean)
            }
            _ => (format!("sum({})", self.column(scope, Family::Decimal)), Family::Decimal),
        };
        (self.spelling.filtered(&call, &filter), family)
    }

    /// SELECT list, GROUP BY and HAVING of a grouping select.
    pub(super) fn grouped(&mut self, scope: &Scope) -> (Vec<(String, Field)>, String) {
        let exact = scope.exact();
        let wanted = self.choices.weighted(&[(6, 1), (4, 2), (1, 3), (1, 0)]);
        let columns = self.choices.sample(&exact, wanted);
        let mut groups: Vec<(String, Field)> = Vec::new();
        for column in columns {
            let plain = scope.reference(self.choices, &column);
            let family = column.field.family;
            if family != Family::List && self.choices.chance(20) {
                self.feature("group by an expression");
                let expression = self.expression(scope, family, 2);
                // A constant in GROUP BY would be taken for the ordinal of a column.
                let expression = if expression.parse::<i64>().is_ok() { plain } else { expression };
                let name = self.name("g");
                groups.push((expression, Field { name, family }));
            } else {
                let taken = groups.iter().any(|(_, other)| other.name == column.field.name);
                let name = if taken || self.choices.chance(30) { self.name("g") } else { column.field.name.clone() };
                groups.push((plain, Field { name, family }));
            }
        }
        let mut items = Vec::new();
        for _ in 0..1 + self.choices.below(3) {
            let (mut call, mut family) = self.aggregate(scope);
            if family == Family::Integer && self.choices.chance(20) {
                (call, family) = (format!("coalesce({call}, 0) + 1"), Family::Integer);
            }
            let name = self.name("m");
            items.push((call, Field { name, family }));
        }
        let having = if self.choices.chance(15) {
            self.feature("having");
            let condition = *self.choices.pick(&["count(*) > 1", "count(*) < 3", "max(1) = 1"]);
            format!(" having {condition}")
        } else {
            String::new()
        };
        if groups.is_empty() {
            self.feature("aggregate without GROUP BY");
            return (items, having);
        }
        let texts: Vec<String> = groups.iter().map(|(text, _)| text.clone()).collect();
        let ordinals: Vec<String> = (1..=groups.len()).map(|number| number.to_string()).collect();
        let mut hidden = false;
        let by = match self.choices.weighted(&[(5, 0), (5, 1), (2, 2), (1, 3), (1, 4), (1, 5), (1, 6)]) {
            1 => ordinals.join(", "),
            2 if !self.spelling.has_shorthands() => ordinals.join(", "),
            2 => {
                self.feature("group by all");
                "all".to_owned()
            }
            3 => {
                self.feature("rollup");
                format!("rollup ({})", texts.join(", "))
            }
            4 => {
                self.feature("cube");
                format!("cube ({})", texts.join(", "))
            }
            5 => {
                self.feature("grouping sets");
                format!("grouping sets (({}), ({}), ())", texts.join(", "), texts[0])
            }
            6 => {
                hidden = true;
                texts.join(", ")
            }
            _ => texts.join(", "),
        };
        if hidden {
            self.feature("grouping column left out");
            groups.pop();
        }
        if self.choices.chance(18) && by != "all" {
            self.feature("window over an aggregate");
            let name = self.name("w");
            let call =
                self.window_over_groups(&texts, by.contains("rollup") || by.contains("cube") || by.contains("sets"));
            items.push((call, Field { name, family: Family::Integer }));
        }
        groups.extend(items);
        (groups, format!(" group by {by}{having}"))
    }

    /// A window over groups, whose order is always settled.
    fn window_over_groups(&mut self, by: &[String], with_totals: bool) -> String {
        if with_totals {
            return format!("sum(count(*)) over (partition by {})", by[0]);
        }
        let last = &by[by.len() - 1];
        let order = by.iter().filter(|text| *text != last).chain([last]).map(|text| format!("{text} nulls last"));
        let order = order.collect::<Vec<_>>().join(", ");
        if self.choices.chance(50) {
            return format!("row_number() over (partition by {} order by count(*) desc, {order})", by[0]);
        }
        self.feature("window over all groups");
        match self.choices.below(4) {
            0 => format!("row_number() over (order by count(*) desc, {order})"),
            1 => format!(
                "cast(sum(count(*)) over (order by {order} rows between 1 preceding and current row) as bigint)"
            ),
            2 => "cast(count(*) - min(count(*)) over () as bigint)".to_owned(),
            _ => "dense_rank() over (order by count(*) filter (where 1 = 1) desc)".to_owned(),
        }
    }
}
