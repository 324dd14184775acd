//! The user's own text with restricted subqueries in the places of its tables.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::columns::{Columns, Definition};
use super::key::Key;
use super::push::{Member, Term, Use, Wave};
use super::relation::{ColumnId, Scalar, Tree};
use super::render::{ChosenRows, TableSql, Writer, name};
use super::rule::{Rule, SwitchedOff};
use super::shape::{Fresh, Restriction, Statement};
use crate::dialect::{Dialect, InvalidName};

/// The alias of a table within its restriction.
pub(super) const OWN: &str = "_t";

pub(super) struct Restricted<'a> {
    pub(super) tree: &'a Tree,
    pub(super) columns: &'a Columns,
    pub(super) off: &'a SwitchedOff,
    pub(super) dialect: &'a dyn Dialect,
    pub(super) tables: &'a [TableSql],
    pub(super) prefix: &'a str,
    pub(super) uses: Vec<Use>,
    pub(super) waves: Vec<Wave>,
    /// For each of the tree's tables, whether reading all of it is cheap.
    pub(super) small: &'a [bool],
    /// For each of the tree's tables the places of the columns its text needs.
    pub(super) used: Vec<Vec<usize>>,
    /// For each scan, by its first column, what the text asks of its rows alone.
    pub(super) filters: BTreeMap<ColumnId, Vec<&'a Scalar>>,
    /// Scans in subqueries of expressions, by their first columns.
    pub(super) in_subqueries: BTreeSet<ColumnId>,
}

impl Restricted<'_> {
    /// `nulls` says for each column of the key whether a NULL is among those that are affected.
    pub(super) fn write(&self, affected: &str, key: &Key, nulls: &[bool]) -> Result<Fresh, InvalidName> {
        let before = self.statements()?;
        let mut replacements = Vec::new();
        let mut restrictions = Vec::with_capacity(self.tree.tables.len());
        for table in 0..self.tree.tables.len() {
            let (restriction, text) = self.table(table)?;
            restrictions.push(restriction);
            replacements.extend(text.map(|text| (self.tree.tables[table].span.clone(), text)));
        }
        let text = replaced(&self.tree.text, replacements);
        // The text ends with a line end of its own: its last line may be a comment.
        let body = text.trim_end().trim_end_matches(';');
        let writer = self.writer(&|_, _| Err(InvalidName::Empty));
        // Where the engine gives a name, it is left to give it again.
        let named = self.tree.names.iter().all(|name| !name.is_empty());
        let mut same = Vec::with_capacity(key.positions.len());
        for (index, position) in key.positions.iter().enumerate() {
            let source = self.dialect.quote_identifier(&self.tree.names[*position])?;
            let own = if named { format!("_o{position}") } else { source.clone() };
            let may_be_null = nulls.get(index) != Some(&false);
            let column = self.tree.root.columns[*position].id;
            same.push(writer.same((&format!("f.{source}"), column), (&format!("q.{own}"), column), may_be_null));
        }
        let same = same.join(" and ");
        let select = if named {
            let outputs: Vec<String> = (0..self.tree.names.len()).map(|index| format!("_o{index}")).collect();
            let mut selected = Vec::with_capacity(outputs.len());
            for (output, name) in outputs.iter().zip(&self.tree.names) {
                selected.push(format!("q.{output} as {}", self.dialect.quote_identifier(name)?));
            }
            format!(
                "select {} from ({body}\n) q({}) where exists (select 1 from {affected} f where {same})",
                selected.join(", "),
                outputs.join(", "),
            )
        } else {
            format!("select q.* from ({body}\n) q where exists (select 1 from {affected} f where {same})")
        };
        Ok(Fresh { before, select, restrictions })
    }

    /// The waves in order, each after the chosen rows it reads.
    fn statements(&self) -> Result<Vec<Statement>, InvalidName> {
        let chosen = |number: usize, columns: &[(ColumnId, usize)]| self.chosen(number, columns);
        let writer = self.writer(&chosen);
        let mut statements = Vec::with_capacity(self.waves.len());
        let mut made: BTreeSet<usize> = BTreeSet::new();
        for wave in &self.waves {
            let mut read = BTreeSet::new();
            numbers(&wave.found, &mut read);
            for number in read.into_iter().filter(|number| self.is_kept(*number)) {
                if made.insert(number) {
                    let select = self.kept_rows(number)?;
                    let looked_up = self.looked_up(number);
                    statements.push(Statement { creates: self.use_name(number)?, select, looked_up });
                }
            }
            // Two columns that are found by may be one.
            let mut selected: Vec<String> = Vec::with_capacity(wave.columns.len());
            for column in wave.columns.iter().map(|column| name(*column)) {
                if !selected.contains(&column) {
                    selected.push(column);
                }
            }
            let condition: Vec<String> = if wave.without_null {
                selected.iter().map(|column| format!("{column} is not null")).collect()
            } else {
                Vec::new()
            };
            let select = writer.distinct(&wave.found, &selected.join(", "), &condition.join(" and "))?;
            statements.push(Statement { creates: wave.name.clone(), select, looked_up: Vec::new() });
        }
        for number in (0..self.uses.len()).filter(|number| self.is_kept(*number)) {
            if made.insert(number) {
                let select = self.kept_rows(number)?;
                let looked_up = self.looked_up(number);
                statements.push(Statement { creates: self.use_name(number)?, select, looked_up });
            }
        }
        Ok(statements)
    }

    /// Whether the rows of a use are kept in a temporary table: because several waves read them, or because the text does. Engines
    /// plan a join of tables whose size they know better than one of many semi-joins.
    fn is_kept(&self, number: usize) -> bool {
        let read = &self.uses[number];
        let joined = self.tree.tables.len() > 1;
        read.waves > 1 || self.text_reads(number) && (read.waves > 0 || joined && !self.small[read.table])
    }

    /// Whether the text reads the rows of this use and no others of its table.
    fn text_reads(&self, number: usize) -> bool {
        let read = &self.uses[number];
        read.in_text
            && !read.members.is_empty()
            && self.tree.tables[read.table].fixed.is_none()
            && self
                .uses
                .iter()
                .enumerate()
                .all(|(other, beside)| other == number || beside.table != read.table || !beside.in_text)
    }

    /// The rows of a use, for its temporary table: under the columns' own names what the text needs of them, and what waves do.
    fn kept_rows(&self, number: usize) -> Result<String, InvalidName> {
        let read = &self.uses[number];
        let writer = self.writer(&|_, _| Err(InvalidName::Empty));
        let mut selected = Vec::new();
        for place in self.kept_places(number) {
            selected.push(format!("{OWN}.{}", writer.table_column(read.table, place)?));
        }
        if selected.is_empty() {
            selected.push("1 as _one".to_owned());
        }
        self.needed(&selected.join(", "), read)
    }

    /// By which columns a subquery looks up the kept rows of a use: those that led to them.
    fn looked_up(&self, number: usize) -> Vec<Vec<(String, String)>> {
        let read = &self.uses[number];
        if !self.text_reads(number) || !read.columns.first().is_some_and(|first| self.in_subqueries.contains(first)) {
            return Vec::new();
        }
        let kept = self.kept_places(number);
        let column = |term: &Term| {
            let place = read.columns.iter().position(|one| *one == term.column).filter(|place| kept.contains(place))?;
            self.tree.tables[read.table].input.columns.get(place).cloned()
        };
        read.members.iter().filter_map(|member| member.terms.iter().map(column).collect()).collect()
    }

    fn kept_places(&self, number: usize) -> BTreeSet<usize> {
        let read = &self.uses[number];
        let mut places: BTreeSet<usize> =
            read.wave_columns.iter().filter_map(|column| read.columns.iter().position(|one| one == column)).collect();
        if self.text_reads(number) {
            places.extend(&self.used[read.table]);
        }
        places
    }

    fn writer<'a>(&'a self, chosen: &'a ChosenRows<'a>) -> Writer<'a> {
        Writer {
            dialect: self.dialect,
            tree: self.tree,
            columns: self.columns,
            tables: self.tables,
            off: self.off,
            chosen,
        }
    }

    fn use_name(&self, number: usize) -> Result<String, InvalidName> {
        self.dialect.quote_identifier(&format!("{}_rows_{number}", self.prefix))
    }

    /// The rows of a use, for a wave.
    fn chosen(&self, number: usize, columns: &[(ColumnId, usize)]) -> Result<String, InvalidName> {
        if self.uses.get(number).is_none() || !self.is_kept(number) {
            return self.rows(number, columns);
        }
        let writer = self.writer(&|_, _| Err(InvalidName::Empty));
        let mut selected = Vec::with_capacity(columns.len());
        for (column, place) in columns {
            let table = self.uses[number].table;
            selected.push(format!("{} as {}", writer.table_column(table, *place)?, name(*column)));
        }
        if selected.is_empty() {
            selected.push("1 as _one".to_owned());
        }
        Ok(format!("select {} from {}", selected.join(", "), self.use_name(number)?))
    }

    fn rows(&self, number: usize, columns: &[(ColumnId, usize)]) -> Result<String, InvalidName> {
        let read = &self.uses[number];
        let writer = self.writer(&|_, _| Err(InvalidName::Empty));
        let mut selected = Vec::with_capacity(columns.len());
        for (column, place) in columns {
            selected.push(format!("{OWN}.{} as {}", writer.table_column(read.table, *place)?, name(*column)));
        }
        if selected.is_empty() {
            selected.push("1 as _one".to_owned());
        }
        self.needed(&selected.join(", "), read)
    }

    /// Of the rows of a use those that anything comes of.
    fn needed(&self, selected: &str, read: &Use) -> Result<String, InvalidName> {
        let mut conditions = vec![self.condition(read)?];
        let filters = read.columns.first().and_then(|first| self.filters.get(first));
        let writer = self.writer(&|_, _| Err(InvalidName::Empty));
        for filter in filters.into_iter().flatten() {
            conditions.push(writer.scalar(filter, &|column| self.value(column, read))?);
        }
        conditions.retain(|condition| !condition.is_empty());
        let condition =
            if conditions.is_empty() { String::new() } else { format!(" where {}", conditions.join(" and ")) };
        Ok(format!("select {selected} from {} {OWN}{condition}", self.tables[read.table].current))
    }

    /// What a use asks of a row; empty for nothing.
    fn condition(&self, read: &Use) -> Result<String, InvalidName> {
        let mut conditions = Vec::with_capacity(read.members.len());
        for member in &read.members {
            let mut same = Vec::with_capacity(member.terms.len());
            for term in &member.terms {
                let value = self.value(term.column, read)?;
                let writer = self.writer(&|_, _| Err(InvalidName::Empty));
                let source = format!("s.{}", term.source);
                same.push(writer.same((&source, term.of), (&value, term.column), !term.never_null));
            }
            let exists = |same: &str| format!("exists (select 1 from {} s where {same})", member.table);
            if same.len() > 1 && self.dialect.filters_scans_by_joins() {
                // The engine filters a scan by what it has read on the other side of a join, but by single columns only.
                conditions.extend(same.iter().map(|one| exists(one)));
            }
            conditions.push(exists(&same.join(" and ")));
        }
        Ok(conditions.join(" and "))
    }

    /// A column on a table's own row.
    fn value(&self, column: ColumnId, read: &Use) -> Result<String, InvalidName> {
        let writer = self.writer(&|_, _| Err(InvalidName::Empty));
        if let Some(place) = read.columns.iter().position(|one| *one == column) {
            return Ok(format!("{OWN}.{}", writer.table_column(read.table, place)?));
        }
        match self.columns.definition(column) {
            Definition::Computed(scalar) => writer.scalar(scalar, &|inner| self.value(inner, read)),
            _ => Ok("null".to_owned()),
        }
    }

    /// What stands in the place of a table, if anything else does.
    fn table(&self, table: usize) -> Result<(Restriction, Option<String>), InvalidName> {
        let named = &self.tree.tables[table];
        let uses: Vec<&Use> = self.uses.iter().filter(|read| read.table == table && read.in_text).collect();
        let mut restriction = Restriction { table: named.name.clone(), uses: Vec::new(), whole: None };
        if let Some(reason) = &named.fixed {
            restriction.whole = Some(reason.clone());
            return Ok((restriction, None));
        }
        let mut conditions: Vec<String> = Vec::with_capacity(uses.len());
        if uses.is_empty() || uses.iter().any(|read| read.members.is_empty()) {
            restriction.whole = Some("no key leads to its rows".to_owned());
        } else {
            for read in uses {
                let condition = self.condition(read)?;
                if !conditions.contains(&condition) {
                    conditions.push(condition);
                    restriction.uses.push(read.members.iter().map(|member| self.shown(member, read)).collect());
                }
            }
            if !self.off.holds(Rule::OrOfUses) {
                conditions.truncate(1);
            }
        }
        let kept = (0..self.uses.len())
            .find(|number| self.uses[*number].table == table && self.text_reads(*number) && self.is_kept(*number));
        if let Some(number) = kept {
            let text = self.kept_in_place(number)?;
            return Ok((restriction, Some(text)));
        }
        let source = &self.tables[table].current;
        let mut columns = Vec::with_capacity(named.input.columns.len());
        for (column, _) in &named.input.columns {
            columns.push(format!("{OWN}.{}", self.dialect.quote_identifier(column)?));
        }
        let columns = columns.join(", ");
        let mut branches = Vec::with_capacity(conditions.len().max(1));
        // One branch for each use, without the rows of those before: the engine filters the scan of each.
        for (index, condition) in conditions.iter().enumerate() {
            let mut all = vec![condition.clone()];
            all.extend(conditions[..index].iter().map(|earlier| format!("not ({earlier})")));
            branches.push(format!("select {columns} from {source} {OWN} where {}", all.join(" and ")));
        }
        if branches.is_empty() {
            branches.push(format!("select {columns} from {source} {OWN}"));
        }
        let text = self.named(table, &branches.join(" union all "))?;
        Ok((restriction, Some(text)))
    }

    /// A query in the place of a table, under the table's name.
    fn named(&self, table: usize, query: &str) -> Result<String, InvalidName> {
        let named = &self.tree.tables[table];
        if named.aliased {
            return Ok(format!("({query})"));
        }
        Ok(format!("({query}) as {}", self.dialect.quote_identifier(&named.own_name)?))
    }

    /// The kept rows of a use in the place of its table: all declared columns, NULL for those that nobody needs.
    fn kept_in_place(&self, number: usize) -> Result<String, InvalidName> {
        let table = self.uses[number].table;
        let places = self.kept_places(number);
        let mut columns = Vec::new();
        for (place, (column, engine_type)) in self.tree.tables[table].input.columns.iter().enumerate() {
            let quoted = self.dialect.quote_identifier(column)?;
            columns.push(if places.contains(&place) {
                format!("{OWN}.{quoted}")
            } else {
                format!("cast(null as {engine_type}) as {quoted}")
            });
        }
        self.named(table, &format!("select {} from {} {OWN}", columns.join(", "), self.use_name(number)?))
    }

    fn shown(&self, member: &Member, read: &Use) -> Vec<String> {
        let columns = &self.tree.tables[read.table].input.columns;
        let mut names = Vec::with_capacity(member.terms.len());
        for term in &member.terms {
            let place = read.columns.iter().position(|one| *one == term.column);
            let column = place.and_then(|place| columns.get(place)).map(|(column, _)| column.clone());
            names.push(column.unwrap_or_else(|| {
                let Definition::Computed(Scalar::Text(text)) = self.columns.definition(term.column) else {
                    return "an expression".to_owned();
                };
                self.tree.text.get(text.span.clone()).unwrap_or("an expression").to_owned()
            }));
        }
        names
    }
}

fn numbers(found: &super::found::Found, read: &mut BTreeSet<usize>) {
    if let super::found::FoundKind::Rows { which: super::found::Which::Chosen(number), .. } = &found.kind {
        read.insert(*number);
    }
    found.parts().into_iter().for_each(|part| numbers(part, read));
}

/// A select of a text as a query of its own, with its own CTEs, which stand `before` it, and those that it needs from around it.
pub(super) fn on_its_own(text: &str, ctes: &[Range<usize>], before: Range<usize>, select: &str) -> String {
    let own = text.get(before).unwrap_or_default();
    let select = format!("{own}{select}");
    if ctes.is_empty() {
        return select;
    }
    let ctes: Vec<&str> = ctes.iter().filter_map(|cte| text.get(cte.clone())).collect();
    let with = format!("with {}\n", ctes.join(",\n"));
    if own.trim().is_empty() { format!("{with}{select}") } else { format!("{with}select q.* from ({select}\n) q") }
}

/// The text with other pieces in some places.
pub(super) fn replaced(text: &str, mut replacements: Vec<(Range<usize>, String)>) -> String {
    replacements.sort_by_key(|(span, _)| span.start);
    let word = |character: char| character.is_alphanumeric() || character == '_';
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (span, new) in replacements {
        let before = text.get(at..span.start).unwrap_or_default();
        out.push_str(before);
        // `from"orders"where` is set off by its quotes only.
        if before.ends_with(word) {
            out.push(' ');
        }
        out.push_str(&new);
        if text.get(span.end..).is_some_and(|rest| rest.starts_with(word)) {
            out.push(' ');
        }
        at = span.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}
