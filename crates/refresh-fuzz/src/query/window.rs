//! Window functions, QUALIFY, DISTINCT ON.

use super::scope::{Named, Scope};
use super::{Field, Generator};
use crate::schema::Family;

impl Generator<'_> {
    /// The columns of a partition list; at least one where the scope has one to group by.
    pub(super) fn partition(&mut self, scope: &Scope) -> Vec<String> {
        let exact = scope.exact();
        let likely: Vec<Named> = exact
            .iter()
            .filter(|column| ["k", "g", "name", "day"].contains(&column.field.name.as_str()))
            .cloned()
            .collect();
        let from = if likely.is_empty() || self.choices.chance(30) { exact } else { likely };
        let count = self.choices.weighted(&[(5, 1), (2, 2)]);
        let columns = self.choices.sample(&from, count);
        columns.iter().map(|column| scope.reference(self.choices, column)).collect()
    }

    fn ordered(&mut self, scope: &Scope) -> String {
        let exact = scope.exact();
        let first = (!exact.is_empty()).then(|| {
            let column = self.choices.pick(&exact).clone();
            let way = *self.choices.pick(&["", " desc"]);
            format!("{}{way} nulls last", scope.reference(self.choices, &column))
        });
        // Without a choice of its own, so that a seed keeps its cases.
        if self.number % 3 == 1 {
            self.feature("order left open");
            return first.unwrap_or_else(|| "1".to_owned());
        }
        scope.order(first)
    }

    /// The inside of OVER.
    fn over(&mut self, scope: &Scope, order: bool) -> String {
        let mut parts = Vec::new();
        let partition = self.partition(scope);
        if partition.is_empty() || self.choices.chance(2) {
            self.feature("window without PARTITION BY");
        } else if self.choices.chance(8) {
            self.feature("partition by an expression");
            parts.push(format!("partition by coalesce({0}, {0})", partition[0]));
        } else {
            parts.push(format!("partition by {}", partition.join(", ")));
        }
        if order {
            parts.push(format!("order by {}", self.ordered(scope)));
        }
        parts.join(" ")
    }

    /// One window function.
    pub(super) fn window(&mut self, scope: &Scope) -> (String, Family) {
        let value = self.column(scope, Family::Integer);
        match self.choices.weighted(&[(5, 0), (4, 1), (2, 2), (2, 3), (1, 4), (1, 5), (1, 6)]) {
            0 => (format!("row_number() over ({})", self.over(scope, true)), Family::Integer),
            1 => (format!("sum({value}) over ({})", self.over(scope, false)), Family::Integer),
            2 => {
                self.feature("lag, lead");
                let function = *self.choices.pick(&["lag", "lead"]);
                (format!("{function}({value}) over ({})", self.over(scope, true)), Family::Integer)
            }
            3 => {
                self.feature("window with a frame");
                let frame = *self.choices.pick(&[
                    "rows between unbounded preceding and current row",
                    "rows between 1 preceding and 1 following",
                    "rows 1 preceding",
                ]);
                // Frames that count what is equal in the order need one that is not settled.
                match self.number % 7 {
                    1 => {
                        let (partition, key) = (self.over(scope, false), self.column(scope, Family::Integer));
                        let frame = "groups between 1 preceding and current row exclude ties";
                        (format!("sum({value}) over ({partition} order by {key} nulls last {frame})"), Family::Integer)
                    }
                    3 => {
                        let (partition, key) = (self.over(scope, false), self.column(scope, Family::Integer));
                        let frame = "range between 1 preceding and 1 following";
                        (format!("sum({value}) over ({partition} order by {key} nulls last {frame})"), Family::Integer)
                    }
                    5 => {
                        let condition = self.predicate(scope, 0);
                        let over = self.over(scope, true);
                        let frame = format!("{frame} exclude current row");
                        (format!("sum({value}) filter (where {condition}) over ({over} {frame})"), Family::Integer)
                    }
                    _ => (format!("sum({value}) over ({} {frame})", self.over(scope, true)), Family::Integer),
                }
            }
            4 => {
                let partition = self.over(scope, false);
                let order = self.column(scope, Family::Integer);
                (format!("dense_rank() over ({partition} order by {order} nulls last)"), Family::Integer)
            }
            5 => (format!("first_value({value}) over ({})", self.over(scope, true)), Family::Integer),
            _ => (
                format!("coalesce({value}, 0) - coalesce(max({value}) over ({}), 0)", self.over(scope, false)),
                Family::Integer,
            ),
        }
    }

    /// A call whose window is named, and the definition of the name; `None` for a call without a window of its own.
    pub(super) fn with_named_window(&mut self, call: &str) -> Option<(String, String)> {
        let start = call.find("over (")? + "over ".len();
        let mut depth = 0;
        let length = call[start..].char_indices().find_map(|(at, letter)| {
            depth += i32::from(letter == '(') - i32::from(letter == ')');
            (depth == 0).then_some(at + 1)
        })?;
        let (name, window) = (self.name("w"), &call[start..start + length]);
        self.feature("named window");
        Some((format!("{}{name}{}", &call[..start], &call[start + length..]), format!("{name} as {window}")))
    }

    /// What QUALIFY asks: a window, and what its value must be.
    pub(super) fn qualify(&mut self, scope: &Scope) -> (String, &'static str) {
        self.feature("qualify");
        let order = self.over(scope, true);
        match self.choices.below(3) {
            0 => (format!("row_number() over ({order})"), "= 1"),
            1 => (format!("row_number() over ({order})"), "<= 2"),
            _ => (format!("count(*) over ({})", self.over(scope, false)), "> 1"),
        }
    }

    /// `DISTINCT ON`: its columns and the order.
    pub(super) fn distinct_on(&mut self, scope: &Scope) -> Option<(String, String)> {
        let by = self.partition(scope);
        if by.is_empty() {
            return None;
        }
        self.feature("distinct on");
        let order = self.ordered(scope);
        Some((by.join(", "), order))
    }

    /// Columns with names of their own.
    pub(super) fn named_item(&mut self, text: String, family: Family, letter: &str) -> (String, Field) {
        let name = self.name(letter);
        (text, Field { name, family })
    }
}
