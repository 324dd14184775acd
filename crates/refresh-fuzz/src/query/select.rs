//! SELECT: its list, and what makes it a grouping, a windowed or a plain one.

use super::scope::Scope;
use super::{Field, Generator, Text};
use crate::schema::{Family, quoted};

/// The names of columns, separated by commas.
pub(super) fn list(fields: &[Field]) -> String {
    fields.iter().map(|field| quoted(&field.name)).collect::<Vec<_>>().join(", ")
}

impl Generator<'_> {
    /// A select. `first` names the CTE it must read.
    pub(super) fn select(&mut self, depth: usize, first: Option<String>) -> Text {
        let (from, scope) = self.from(depth, None, first);
        let filter = self.filter(&scope);
        match self.choices.weighted(&[(5, 0), (5, 1), (3, 2), (1, 3), (1, 4)]) {
            1 => {
                self.feature("group by");
                let (items, rest) = self.grouped(&scope);
                self.finish("select ", items, &format!(" from {from}{filter}{rest}"))
            }
            2 => self.windowed(&scope, &from, &filter),
            3 => {
                self.feature("distinct");
                let mut items = self.items(&scope);
                items.retain(|(_, field)| field.family.is_exact());
                if items.is_empty() {
                    return self.starred(&scope, &from, &filter);
                }
                self.finish("select distinct ", items, &format!(" from {from}{filter}"))
            }
            4 => {
                let Some((by, order)) = self.distinct_on(&scope) else { return self.starred(&scope, &from, &filter) };
                let items = self.plain_items(&scope);
                self.finish(
                    &format!("select distinct on ({by}) "),
                    items,
                    &format!(" from {from}{filter} order by {by}, {order}"),
                )
            }
            _ => self.starred(&scope, &from, &filter),
        }
    }

    fn finish(&mut self, word: &str, items: Vec<(String, Field)>, rest: &str) -> Text {
        let list: Vec<String> = items
            .iter()
            .map(|(text, field)| {
                let name = quoted(&field.name);
                let same = *text == name || text.ends_with(&format!(".{name}")) && !text.contains('(');
                if same { text.clone() } else { format!("{text} as {name}") }
            })
            .collect();
        Text {
            sql: format!("{word}{}{rest}", list.join(", ")),
            fields: items.into_iter().map(|(_, field)| field).collect(),
        }
    }

    fn filter(&mut self, scope: &Scope) -> String {
        let mut conditions = Vec::new();
        if self.choices.chance(25) {
            conditions.push(self.predicate(scope, 2));
        }
        for _ in 0..self.choices.weighted(&[(14, 0), (4, 1), (1, 2)]) {
            conditions.push(self.subquery_condition(scope));
        }
        // Without a choice of its own, so that a seed keeps its cases.
        let number = scope.of(Family::Integer).into_iter().find(|column| !column.qualifier.is_empty());
        if let (Some(number), 4) = (number, self.number % 7) {
            self.feature("time of the run");
            let value = format!("{}.{}", quoted(&number.qualifier), quoted(&number.field.name));
            conditions.push(format!("({} + coalesce({value}, 0)) % 3 > 0", self.spelling.milliseconds()));
        }
        if conditions.is_empty() { String::new() } else { format!(" where {}", conditions.join(" and ")) }
    }

    /// A select that hands rows on: with stars, or a list.
    fn starred(&mut self, scope: &Scope, from: &str, filter: &str) -> Text {
        let rest = format!(" from {from}{filter}");
        if scope.star_is_clear() && self.choices.chance(35) {
            if scope.star.len() > 2 && self.choices.chance(30) {
                self.feature("star with EXCLUDE");
                let out = self.choices.pick(&scope.star).clone();
                let fields: Vec<Field> = scope.star.iter().filter(|field| **field != out).cloned().collect();
                let sql = if !self.spelling.has_shorthands() {
                    format!("select {}{rest}", list(&fields))
                } else {
                    format!("select * exclude ({}){rest}", quoted(&out.name))
                };
                return Text { sql, fields };
            }
            return Text { sql: format!("select *{rest}"), fields: scope.star.clone() };
        }
        if self.choices.chance(25) {
            self.feature("table.*");
            let table = self.choices.pick(&scope.tables).clone();
            let mut fields: Vec<Field> = scope
                .columns
                .iter()
                .filter(|column| column.qualifier == table)
                .map(|column| column.field.clone())
                .collect();
            if !fields.is_empty() {
                let extra = self.computed_items(scope);
                let list: Vec<String> =
                    extra.iter().map(|(text, field)| format!(", {text} as {}", quoted(&field.name))).collect();
                fields.extend(extra.into_iter().map(|(_, field)| field));
                return Text { sql: format!("select {}.*{}{rest}", quoted(&table), list.concat()), fields };
            }
        }
        let items = self.items(scope);
        self.finish("select ", items, &rest)
    }

    /// Some columns under their own names.
    fn plain_items(&mut self, scope: &Scope) -> Vec<(String, Field)> {
        let count = 1 + self.choices.below(4);
        let mut items: Vec<(String, Field)> = Vec::new();
        for column in self.choices.sample(&scope.columns, count) {
            let text = scope.reference(self.choices, &column);
            let taken = items.iter().any(|(_, field)| field.name.eq_ignore_ascii_case(&column.field.name));
            let name = if taken || self.choices.chance(20) { self.name("c") } else { column.field.name.clone() };
            items.push((text, Field { name, family: column.field.family }));
        }
        items
    }

    fn computed_items(&mut self, scope: &Scope) -> Vec<(String, Field)> {
        let mut items = Vec::new();
        for _ in 0..self.choices.weighted(&[(3, 0), (3, 1), (1, 2)]) {
            let family = *self.choices.pick(&[Family::Integer, Family::Text, Family::Boolean, Family::Date]);
            let text = self.expression(scope, family, 2);
            items.push(self.named_item(text, family, "c"));
        }
        if self.choices.chance(12) {
            let (text, family) = self.subquery_value(scope);
            items.push(self.named_item(text, family, "q"));
        }
        items
    }

    fn items(&mut self, scope: &Scope) -> Vec<(String, Field)> {
        let mut items = self.plain_items(scope);
        items.extend(self.computed_items(scope));
        if scope.columns.iter().any(|column| column.field.family == Family::List) && self.choices.chance(20) {
            self.feature("unnest in SELECT");
            let list = self.column(scope, Family::List);
            items.push(self.named_item(format!("unnest({list})"), Family::Integer, "e"));
        }
        items
    }

    fn windowed(&mut self, scope: &Scope, from: &str, filter: &str) -> Text {
        self.feature("window");
        let with_qualify = self.choices.chance(30);
        let mut rest = format!(" from {from}{filter}");
        let mut kept = None;
        if with_qualify {
            let (window, is) = self.qualify(scope);
            // Without QUALIFY the window is a column of a subquery.
            if !self.spelling.has_shorthands() {
                kept = Some((window, is));
            } else {
                rest.push_str(&format!(" qualify {window} {is}"));
            }
        }
        let (call, family) = self.window(scope);
        // Without a choice of its own, so that a seed keeps its cases.
        let named = if self.number % 6 == 3 && !with_qualify { self.with_named_window(&call) } else { None };
        let call = match named {
            Some((call, window)) => {
                rest.push_str(&format!(" window {window}"));
                call
            }
            None => call,
        };
        let mut windows = vec![self.named_item(call, family, "w")];
        if self.choices.chance(25) {
            let (call, family) = self.window(scope);
            windows.push(self.named_item(call, family, "w"));
        }
        if !self.spelling.sorts_stably() {
            // Of rows that are the same in everything each order takes another one first, and which answers stand together is open.
            let is_ordered = |text: &str| text.contains("order by");
            let mut ordered = kept.as_ref().is_some_and(|(window, _)| is_ordered(window));
            windows.retain(|(text, _)| {
                let one = is_ordered(text) || !text.contains("over (") && is_ordered(&rest);
                let first = !(one && ordered);
                ordered |= one;
                first
            });
        }
        let last = kept.map(|(window, is)| (self.named_item(window, Family::Integer, "n"), is));
        let column = last.as_ref().map(|(column, _)| column.clone());
        let text = if scope.star_is_clear() && self.choices.chance(40) {
            let mut fields = scope.star.clone();
            windows.extend(column);
            let list: Vec<String> =
                windows.iter().map(|(text, field)| format!(", {text} as {}", quoted(&field.name))).collect();
            fields.extend(windows.into_iter().map(|(_, field)| field));
            Text { sql: format!("select *{}{rest}", list.concat()), fields }
        } else {
            let mut items = self.plain_items(scope);
            if with_qualify && self.choices.chance(50) {
                windows.clear();
            }
            items.extend(windows);
            items.extend(column);
            self.finish("select ", items, &rest)
        };
        let Some(((_, number), is)) = last else { return text };
        let mut fields = text.fields;
        fields.pop();
        let alias = self.name("d");
        let sql = format!("select {} from ({}) as {alias} where {} {is}", list(&fields), text.sql, number.name);
        Text { sql, fields }
    }
}
