//! FROM: tables, derived tables, joins.

use super::scope::{Named, Scope};
use super::{Field, Generator, Source, Text};
use crate::schema::{Family, quoted};

/// Something that stands in FROM.
#[derive(Debug, Clone)]
struct Item {
    sql: String,
    qualifier: String,
    fields: Vec<Field>,
}

impl Item {
    fn scope(&self) -> Scope {
        let columns =
            self.fields.iter().map(|field| Named { qualifier: self.qualifier.clone(), field: field.clone() }).collect();
        Scope { columns, star: self.fields.clone(), tables: vec![self.qualifier.clone()], ..Scope::default() }
    }
}

impl Generator<'_> {
    /// FROM without the word, and what can be named behind it. `first` is a source that must be there.
    pub(super) fn from(&mut self, depth: usize, outer: Option<&Scope>, first: Option<String>) -> (String, Scope) {
        let first = first.and_then(|name| self.ctes.iter().find(|source| source.sql == name).cloned());
        let empty = Scope::default();
        let item = match first {
            Some(source) => self.named(&source, outer, &empty),
            None => self.item(depth, outer, &empty),
        };
        let mut scope = item.scope();
        let mut sql = item.sql;
        let joins = self.choices.weighted(&[(4, 0), (5, 1), (2, 2), (1, 3)]);
        for _ in 0..joins {
            // What stands behind a comma sees nothing of what stands before it.
            if !scope.after_comma {
                self.join(depth, outer, &mut sql, &mut scope);
            }
        }
        (sql, scope)
    }

    /// One table, for subqueries.
    pub(super) fn simple_from(&mut self, outer: &Scope) -> (String, Scope) {
        let item = self.item(0, Some(outer), &Scope::default());
        (item.sql.clone(), item.scope())
    }

    fn item(&mut self, depth: usize, outer: Option<&Scope>, beside: &Scope) -> Item {
        if depth > 0 && self.choices.chance(35) {
            let text = self.any(depth - 1);
            return self.derived(text);
        }
        if self.choices.chance(2) {
            self.feature("values");
            let alias = self.name("v");
            return Item {
                sql: format!("(values (0, 'a'), (1, null), (2, 'B')) as {alias}(x, y)"),
                qualifier: alias,
                fields: vec![
                    Field { name: "x".into(), family: Family::Integer },
                    Field { name: "y".into(), family: Family::Text },
                ],
            };
        }
        if depth > 0 && self.choices.chance(2) {
            return if self.choices.chance(50) { self.recursion() } else { self.pivot() };
        }
        let source = if !self.ctes.is_empty() && self.choices.chance(60) {
            // The latest are the likeliest: steps build on one another.
            let back = self.choices.weighted(&[(4, 0), (2, 1), (1, 2), (1, 3)]).min(self.ctes.len() - 1);
            self.ctes[self.ctes.len() - 1 - back].clone()
        } else {
            self.choices.pick(&self.sources).clone()
        };
        self.named(&source, outer, beside)
    }

    fn derived(&mut self, text: Text) -> Item {
        self.feature("derived table");
        let alias = self.name("d");
        Item { sql: format!("({}) as {alias}", text.sql), qualifier: alias, fields: text.fields }
    }

    /// Numbers counted up from those of a table.
    fn recursion(&mut self) -> Item {
        let source = self.choices.pick(&self.sources).clone();
        let Some(number) = source.fields.iter().find(|field| field.family == Family::Integer).cloned() else {
            return self.named(&source, None, &Scope::default());
        };
        self.feature("recursion");
        let (cte, alias, column) = (self.name("r"), self.name("d"), quoted(&number.name));
        let sql = format!(
            "(with recursive {cte}(n) as (select {column} from {} union select n + 1 from {cte} where n < 3) select n from {cte}) as {alias}",
            source.sql
        );
        Item { sql, qualifier: alias, fields: vec![Field { name: "n".into(), family: Family::Integer }] }
    }

    /// Rows of a table counted by a number, with a column for each of some numbers.
    fn pivot(&mut self) -> Item {
        let source = self.choices.pick(&self.sources).clone();
        let mut exact = source.fields.iter().filter(|field| field.family.is_exact());
        let number = source.fields.iter().find(|field| field.family == Family::Integer);
        let (Some(number), Some(group)) = (number, exact.find(|field| Some(*field) != number)) else {
            return self.named(&source, None, &Scope::default());
        };
        self.feature("pivot");
        let (alias, number, by) = (self.name("d"), quoted(&number.name), quoted(&group.name));
        let sql = if !self.spelling.has_shorthands() {
            let count = |value| format!("count(*) filter (where {number} = {value}) as \"{value}\"");
            format!("(select {by}, {}, {} from {} group by {by}) as {alias}", count(0), count(1), source.sql)
        } else {
            format!(
                "(pivot (select {by}, {number} from {}) on {number} in (0, 1) using count(*) group by {by}) as {alias}",
                source.sql
            )
        };
        let counts = ["0", "1"].map(|name| Field { name: name.into(), family: Family::Integer });
        let fields = std::iter::once(group.clone()).chain(counts).collect();
        Item { sql, qualifier: alias, fields }
    }

    fn named(&mut self, source: &Source, outer: Option<&Scope>, beside: &Scope) -> Item {
        let seen = |scope: &Scope| scope.tables.contains(&source.own_name);
        let free = !seen(beside) && !outer.is_some_and(seen);
        if free && self.choices.chance(40) {
            return Item { sql: source.sql.clone(), qualifier: source.own_name.clone(), fields: source.fields.clone() };
        }
        let alias = self.name("t");
        let word = if self.choices.chance(50) { " as" } else { "" };
        Item { sql: format!("{}{word} {alias}", source.sql), qualifier: alias, fields: source.fields.clone() }
    }

    fn join(&mut self, depth: usize, outer: Option<&Scope>, sql: &mut String, scope: &mut Scope) {
        match self.choices.weighted(&[(20, 0), (3, 1), (2, 2), (3, 3), (2, 4), (1, 5), (1, 6)]) {
            1 => self.using(sql, scope, outer),
            2 => self.unnest(sql, scope),
            3 => self.lateral(sql, scope),
            4 => self.as_of(sql, scope),
            5 => self.natural(sql, scope),
            6 => {
                self.feature("cross join");
                let alias = self.name("n");
                sql.push_str(&format!(" cross join {} as {alias}(step)", self.spelling.two_steps()));
                self.beside(scope, &alias, vec![Field { name: "step".into(), family: Family::Integer }]);
            }
            _ => self.plain_join(depth, outer, sql, scope),
        }
    }

    fn beside(&mut self, scope: &mut Scope, qualifier: &str, fields: Vec<Field>) {
        // What USING merged is no longer clear when the name comes again.
        scope.columns.retain(|column| {
            !column.qualifier.is_empty() || !fields.iter().any(|field| field.name == column.field.name)
        });
        scope.tables.push(qualifier.to_owned());
        scope.star.extend(fields.iter().cloned());
        scope.columns.extend(fields.into_iter().map(|field| Named { qualifier: qualifier.to_owned(), field }));
    }

    fn plain_join(&mut self, depth: usize, outer: Option<&Scope>, sql: &mut String, scope: &mut Scope) {
        let item = self.item(depth, outer, scope);
        let kind = self.choices.weighted(&[
            (5, "join"),
            (7, "left join"),
            (2, "right join"),
            (2, "full join"),
            (1, ","),
            (1, "inner join"),
            (1, "left outer join"),
        ]);
        self.feature(match kind {
            "join" | "inner join" => "inner join",
            "left join" | "left outer join" => "left join",
            "right join" => "right join",
            "full join" => "full join",
            _ => "comma",
        });
        if kind == "," {
            sql.push_str(&format!(", {}", item.sql));
            scope.after_comma = true;
            self.beside(scope, &item.qualifier, item.fields);
            return;
        }
        let right = item.scope();
        let mut conditions = self.link(scope, &right, kind == "full join");
        let mut both = scope.clone();
        both.columns.extend(right.columns.iter().cloned());
        if kind != "full join" && self.choices.chance(25) {
            conditions.push(self.predicate(&both, 1));
        }
        if kind != "full join" && self.choices.chance(6) {
            self.feature("join with OR");
            let other = self.link(scope, &right, true);
            conditions = vec![format!("({} or {})", conditions.join(" and "), other.join(" and "))];
        }
        sql.push_str(&format!(" {kind} {} on {}", item.sql, conditions.join(" and ")));
        self.beside(scope, &item.qualifier, item.fields);
    }

    /// The conditions that link two sides: mostly one equality.
    fn link(&mut self, left: &Scope, right: &Scope, equality_only: bool) -> Vec<String> {
        let pairs: Vec<(Named, Named)> = left
            .exact()
            .into_iter()
            .flat_map(|ours| right.exact().into_iter().map(move |theirs| (ours.clone(), theirs)))
            .filter(|(ours, theirs)| ours.field.family == theirs.field.family)
            .collect();
        if pairs.is_empty() {
            return vec!["true".to_owned()];
        }
        let likely: Vec<(Named, Named)> = pairs
            .iter()
            .filter(|(ours, theirs)| {
                ["id", "k", "g"].contains(&ours.field.name.as_str())
                    && ["id", "k", "g"].contains(&theirs.field.name.as_str())
            })
            .cloned()
            .collect();
        let from = if likely.is_empty() || self.choices.chance(25) { &pairs } else { &likely };
        let (ours, theirs) = self.choices.pick(from).clone();
        let name = |column: &Named| {
            let name = quoted(&column.field.name);
            if column.qualifier.is_empty() { name } else { format!("{}.{name}", quoted(&column.qualifier)) }
        };
        let (ours_sql, theirs_sql) = (name(&ours), name(&theirs));
        if equality_only {
            return vec![format!("{ours_sql} = {theirs_sql}")];
        }
        match self.choices.weighted(&[(12, 0), (2, 1), (1, 2), (1, 3), (1, 4), (1, 5)]) {
            1 => vec![format!("{theirs_sql} = {ours_sql}")],
            2 => {
                self.feature("range join");
                vec![format!("{ours_sql} < {theirs_sql}")]
            }
            3 => {
                self.feature("join on an expression");
                let left = Scope { strict: true, ..left.clone() };
                let other = self.expression(&left, ours.field.family, 1);
                vec![format!("coalesce({ours_sql}, {other}) = {theirs_sql}")]
            }
            4 => {
                self.feature("two equalities");
                let (a, b) = self.choices.pick(&pairs).clone();
                vec![format!("{ours_sql} = {theirs_sql}"), format!("{} = {}", name(&a), name(&b))]
            }
            5 => {
                self.feature("join with IS NOT DISTINCT FROM");
                vec![format!("{ours_sql} is not distinct from {theirs_sql}")]
            }
            _ => vec![format!("{ours_sql} = {theirs_sql}")],
        }
    }

    fn using(&mut self, sql: &mut String, scope: &mut Scope, outer: Option<&Scope>) {
        let source = self.choices.pick(&self.sources).clone();
        let item = self.named(&source, outer, scope);
        let both: Vec<Field> = item
            .fields
            .iter()
            .filter(|field| {
                field.family.is_exact()
                    && scope.columns.iter().filter(|column| column.field.name == field.name).count() == 1
                    && scope.columns.iter().any(|column| column.field == **field)
                    && scope.star.iter().filter(|other| other.name == field.name).count() == 1
            })
            .cloned()
            .collect();
        if both.is_empty() {
            return;
        }
        let kind = self.choices.weighted(&[(3, "join"), (3, "left join"), (1, "full join")]);
        let field = self.choices.pick(&both).clone();
        self.feature("using");
        sql.push_str(&format!(" {kind} {} using ({})", item.sql, quoted(&field.name)));
        self.merge(scope, item, &[field]);
    }

    fn merge(&mut self, scope: &mut Scope, item: Item, merged: &[Field]) {
        let star: Vec<Field> = item.fields.iter().filter(|field| !merged.contains(field)).cloned().collect();
        let before = scope.star.clone();
        self.beside(scope, &item.qualifier, item.fields);
        scope.star = before.into_iter().chain(star).collect();
        scope.columns.extend(merged.iter().map(|field| Named { qualifier: String::new(), field: field.clone() }));
    }

    fn natural(&mut self, sql: &mut String, scope: &mut Scope) {
        if scope.tables.len() != 1 {
            return;
        }
        let source = self.choices.pick(&self.sources).clone();
        let name = *self.choices.pick(&["k", "g"]);
        if !scope.star.iter().any(|field| field.name == name) || !source.fields.iter().any(|field| field.name == name) {
            return;
        }
        let alias = self.name("d");
        let kind = self.choices.weighted(&[(2, "natural join"), (2, "natural left join"), (1, "natural full join")]);
        self.feature("natural");
        let field = Field { name: name.to_owned(), family: Family::Integer };
        let other = Field { name: format!("{alias}_id"), family: Family::Integer };
        if !source.fields.iter().any(|field| field.name == "id") {
            return;
        }
        sql.push_str(&format!(" {kind} (select {name}, id as {alias}_id from {}) as {alias}", source.sql));
        if scope.columns.iter().filter(|column| column.field.name == name).count() != 1
            || !scope.columns.iter().any(|column| column.field == field)
        {
            return self.beside(scope, &alias, vec![]);
        }
        self.merge(scope, Item { sql: String::new(), qualifier: alias, fields: vec![field.clone(), other] }, &[field]);
    }

    fn unnest(&mut self, sql: &mut String, scope: &mut Scope) {
        let lists = scope.of(Family::List);
        let Some(list) = (!lists.is_empty()).then(|| self.choices.pick(&lists).clone()) else { return };
        self.feature("unnest in FROM");
        let alias = self.name("u");
        sql.push_str(&format!(
            " cross join unnest({}.{}) as {alias}(tag)",
            quoted(&list.qualifier),
            quoted(&list.field.name)
        ));
        self.beside(scope, &alias, vec![Field { name: "tag".into(), family: Family::Integer }]);
    }

    /// The best row of another table for each row.
    fn lateral(&mut self, sql: &mut String, scope: &mut Scope) {
        let source = self.choices.pick(&self.sources).clone();
        let inner = self.name("x");
        let right =
            Item { sql: format!("{} as {inner}", source.sql), qualifier: inner.clone(), fields: source.fields.clone() }
                .scope();
        let links = self.link(scope, &right, true);
        let local = if self.choices.chance(40) { format!(" and {}", self.predicate(&right, 0)) } else { String::new() };
        let alias = self.name("l");
        let kind = self.choices.weighted(&[(3, "left join lateral"), (1, "join lateral")]);
        self.feature("lateral");
        let (body, fields) = if self.choices.chance(30) {
            self.feature("lateral aggregate");
            let names = [("n", Family::Integer), ("best", Family::Integer)];
            (
                format!(
                    "select count(*) as n, max({inner}.v) as best from {} as {inner} where {}{local}",
                    source.sql,
                    links.join(" and ")
                ),
                names.map(|(name, family)| Field { name: name.into(), family }).to_vec(),
            )
        } else {
            let first = right.exact();
            let first = self.choices.pick(&first).clone();
            let first = format!("{inner}.{} desc nulls last", quoted(&first.field.name));
            let limit = 1 + self.choices.below(2);
            (
                format!(
                    "select {inner}.* from {} as {inner} where {}{local} order by {} limit {limit}",
                    source.sql,
                    links.join(" and "),
                    right.order(Some(first))
                ),
                source.fields.clone(),
            )
        };
        // The sources of the body need columns it names.
        if !source.fields.iter().any(|field| field.name == "v" && field.family == Family::Integer) {
            return;
        }
        sql.push_str(&format!(" {kind} ({body}) as {alias} on true"));
        self.beside(scope, &alias, fields);
    }

    /// The row at or before a moment.
    fn as_of(&mut self, sql: &mut String, scope: &mut Scope) {
        let source = self.choices.pick(&self.sources).clone();
        let has = |name: &str| source.fields.iter().any(|field| field.name == name && field.family == Family::Integer);
        if !has("k") || !has("v") || !has("id") {
            return;
        }
        let ours = scope.of(Family::Integer);
        if ours.is_empty() {
            return;
        }
        let name = |column: &Named| {
            let name = quoted(&column.field.name);
            if column.qualifier.is_empty() { name } else { format!("{}.{name}", quoted(&column.qualifier)) }
        };
        let (link, moment) = (name(self.choices.pick(&ours)), name(self.choices.pick(&ours)));
        let kind = self.choices.weighted(&[(2, "asof left join"), (1, "asof join")]);
        self.feature("asof");
        let alias = self.name("f");
        // One row a moment: otherwise the engine may take any of them.
        let body = format!(
            "select k, v, max(id) as last from {} where k is not null and v is not null group by k, v",
            source.sql
        );
        sql.push_str(&if !self.spelling.has_shorthands() {
            let kind = if kind.contains("left") { "left join" } else { "join" };
            let latest = format!("({body}) as b where {link} = b.k and {moment} >= b.v order by b.v desc limit 1");
            format!(" {kind} lateral (select * from {latest}) as {alias} on true")
        } else {
            format!(" {kind} ({body}) as {alias} on {link} = {alias}.k and {moment} >= {alias}.v")
        });
        let fields = ["k", "v", "last"].map(|name| Field { name: name.into(), family: Family::Integer }).to_vec();
        self.beside(scope, &alias, fields);
    }
}
