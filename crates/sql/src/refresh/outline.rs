//! A tree as text that a person can read.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use super::relation::{
    Aggregate, Apply, ApplyKind, ColumnId, Expression, Join, JoinKind, Kind, Obstacle, Relation, Scalar, SetOperator,
    Tree, Window,
};

impl Tree {
    /// The tree with one line for each relation, inputs below and indented. Columns of tables are called by their names, computed ones
    /// by what computes them and a number.
    pub fn outline(&self) -> String {
        let mut outline = Outline { tree: self, names: HashMap::new(), taken: HashSet::new(), out: String::new() };
        outline.name(&self.root);
        let columns: Vec<String> = self
            .names
            .iter()
            .zip(&self.root.columns)
            .map(|(name, column)| {
                let from = outline.column(column.id);
                if from == *name || from.rsplit('.').next() == Some(name) {
                    from
                } else {
                    format!("{} = {from}", if name.is_empty() { "?" } else { name })
                }
            })
            .collect();
        let _ = writeln!(outline.out, "columns {}", columns.join(", "));
        outline.relation(&self.root, 0);
        for (span, local) in &self.clock {
            let how = if *local { "of a row" } else { "looking at other rows" };
            let _ = writeln!(outline.out, "clock `{}` {how}", self.piece(span));
        }
        let mut ties: Vec<String> = Vec::new();
        for tie in &self.ties {
            let settled_by = match &tie.settled_by {
                Ok(pieces) => {
                    pieces.iter().map(|(_, piece)| format!("`{}`", piece.trim())).collect::<Vec<_>>().join(" ... ")
                }
                Err(why) => format!("nothing: {}", why.0),
            };
            let line = format!("tie `{}` settled by {settled_by}", self.piece(&tie.span));
            if !ties.contains(&line) {
                ties.push(line);
            }
        }
        ties.iter().for_each(|line| outline.out.push_str(&format!("{line}\n")));
        for table in self.tables.iter().filter(|table| table.fixed.is_some()) {
            let _ = writeln!(outline.out, "fixed {}: {}", table.own_name, table.fixed.as_deref().unwrap_or_default());
        }
        outline.out
    }

    fn piece(&self, span: &std::ops::Range<usize>) -> String {
        let piece = self.text.get(span.clone()).unwrap_or_default();
        piece.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

struct Outline<'a> {
    tree: &'a Tree,
    names: HashMap<ColumnId, String>,
    taken: HashSet<String>,
    out: String,
}

impl Outline<'_> {
    fn call(&mut self, id: ColumnId, name: &str) {
        if self.names.contains_key(&id) {
            return;
        }
        let mut candidate = name.to_owned();
        let mut number = 1;
        while !self.taken.insert(candidate.clone()) {
            number += 1;
            candidate = format!("{name}~{number}");
        }
        self.names.insert(id, candidate);
    }

    fn column(&self, id: ColumnId) -> String {
        self.names.get(&id).cloned().unwrap_or_else(|| format!("#{}", id.0))
    }

    fn columns(&self, ids: &[ColumnId]) -> String {
        ids.iter().map(|id| self.column(*id)).collect::<Vec<_>>().join(", ")
    }

    /// Names what a relation makes, after what its inputs make.
    fn name(&mut self, relation: &Relation) {
        relation.inputs().into_iter().for_each(|input| self.name(input));
        let tree = self.tree;
        match &relation.kind {
            Kind::Scan { table } => {
                if let Some(table) = tree.tables.get(*table) {
                    for (column, (name, _)) in relation.columns.iter().zip(&table.input.columns) {
                        self.call(column.id, &format!("{}.{name}", table.own_name));
                    }
                }
            }
            Kind::Project { computed, .. } => computed.iter().for_each(|(id, _)| self.call(*id, "p")),
            Kind::Aggregate(aggregate) => {
                for (new, old) in aggregate.groups.iter().filter(|(new, old)| new != old) {
                    let name = self.column(*old);
                    self.call(*new, &name);
                }
                aggregate.aggregates.iter().for_each(|id| self.call(*id, "aggregate"));
            }
            Kind::Window(window) => window.computed.iter().for_each(|id| self.call(*id, "window")),
            Kind::Apply(apply) => match &apply.kind {
                ApplyKind::Value(id) | ApplyKind::Membership { value: Some(id), .. } => self.call(*id, "subquery"),
                _ => {}
            },
            _ => {}
        }
        let name = match relation.kind {
            Kind::Constant { .. } => "constant",
            Kind::SetOperation { .. } => "set",
            Kind::Opaque { .. } => "opaque",
            _ => "other",
        };
        relation.columns.iter().for_each(|column| self.call(column.id, name));
    }

    fn line(&mut self, depth: usize, text: &str) {
        let _ = writeln!(self.out, "{}{text}", "  ".repeat(depth));
    }

    fn relation(&mut self, relation: &Relation, depth: usize) {
        let line = match &relation.kind {
            Kind::Scan { table } => match self.tree.tables.get(*table) {
                Some(table) if table.name.last() == Some(&table.own_name) => format!("scan {}", table.name.join(".")),
                Some(table) => format!("scan {} as {}", table.name.join("."), table.own_name),
                None => "scan of an unknown table".to_owned(),
            },
            Kind::Constant { text, query } => {
                let columns: Vec<ColumnId> = relation.columns.iter().map(|column| column.id).collect();
                let what = if *query { "constant" } else { "function" };
                format!("{what} {} := {}", self.columns(&columns), self.text(text))
            }
            Kind::Filter { conditions, .. } => format!("filter {}", self.scalars(conditions)),
            Kind::Project { input, computed } => {
                let computed: Vec<String> = computed
                    .iter()
                    .map(|(id, scalar)| format!("{} := {}", self.column(*id), self.scalar(scalar)))
                    .collect();
                let handed: Vec<ColumnId> = relation
                    .columns
                    .iter()
                    .map(|column| column.id)
                    .filter(|id| input.columns.iter().any(|column| column.id == *id))
                    .collect();
                let all = handed.len() == input.columns.len();
                let handed = if all { "*".to_owned() } else { self.columns(&handed) };
                format!(
                    "project {}",
                    std::iter::once(handed)
                        .filter(|one| !one.is_empty())
                        .chain(computed)
                        .collect::<Vec<_>>()
                        .join(", ")
                )
            }
            Kind::Join(Join { kind, on, lateral, .. }) => {
                let kind = match kind {
                    JoinKind::Inner => "inner join",
                    JoinKind::Left => "left join",
                    JoinKind::Full => "full join",
                };
                let lateral = if *lateral { "lateral " } else { "" };
                self.with(format!("{lateral}{kind}"), "on", on)
            }
            Kind::Apply(Apply { on, kind, correlated, .. }) => {
                let kind = match kind {
                    ApplyKind::Semi => "semi".to_owned(),
                    ApplyKind::Anti => "anti".to_owned(),
                    ApplyKind::Value(id) => format!("{} := value", self.column(*id)),
                    ApplyKind::Membership { value, tested, with } => {
                        let value = value.map(|id| format!("{} := ", self.column(id))).unwrap_or_default();
                        format!("{value}membership of ({}) in ({})", self.columns(tested), self.columns(with))
                    }
                };
                let correlated = if *correlated { " correlated" } else { "" };
                self.with(format!("apply {kind}{correlated}"), "on", on)
            }
            Kind::Aggregate(Aggregate { groups, sets, aggregates, .. }) => {
                let by: Vec<String> = groups
                    .iter()
                    .map(|(new, old)| match new == old {
                        true => self.column(*new),
                        false => format!("{} from {}", self.column(*new), self.column(*old)),
                    })
                    .collect();
                let sets: String = match sets.as_slice() {
                    [one] if one.len() == groups.len() => String::new(),
                    sets => format!(" sets {sets:?}"),
                };
                let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
                let aggregates =
                    if aggregates.is_empty() { String::new() } else { format!(": {}", self.columns(aggregates)) };
                format!("group{by}{sets}{aggregates}")
            }
            Kind::Window(Window { partitions, computed, .. }) => {
                let by: Vec<String> = partitions.iter().map(|columns| format!("({})", self.columns(columns))).collect();
                format!("window by {}: {}", by.join(" "), self.columns(computed))
            }
            Kind::DistinctOn { by, .. } => format!("distinct on {}", self.columns(by)),
            Kind::Distinct { .. } => "distinct".to_owned(),
            Kind::SetOperation { operator, all, .. } => {
                let operator = match operator {
                    SetOperator::Union => "union",
                    SetOperator::Intersect => "intersect",
                    SetOperator::Except => "except",
                };
                format!("{operator}{}", if *all { " all" } else { "" })
            }
            Kind::Opaque { obstacle: Obstacle { reason, span, .. }, .. } => {
                format!("opaque: {reason} at `{}`", self.tree.piece(span))
            }
        };
        self.line(depth, &line);
        relation.inputs().into_iter().for_each(|input| self.relation(input, depth + 1));
    }

    fn with(&self, what: String, word: &str, conditions: &[Scalar]) -> String {
        if conditions.is_empty() { what } else { format!("{what} {word} {}", self.scalars(conditions)) }
    }

    fn scalars(&self, scalars: &[Scalar]) -> String {
        scalars.iter().map(|scalar| self.scalar(scalar)).collect::<Vec<_>>().join(" and ")
    }

    fn scalar(&self, scalar: &Scalar) -> String {
        match scalar {
            Scalar::Column(id) => self.column(*id),
            Scalar::Equal(left, right) => format!("{} = {}", self.column(*left), self.column(*right)),
            Scalar::Coalesce(ids) => format!("coalesce({})", self.columns(ids)),
            Scalar::Null => "null".to_owned(),
            Scalar::Text(text) => self.text(text),
            Scalar::Unknown(ids) => format!("unknown({})", self.columns(ids)),
        }
    }

    /// The text with its columns in braces, under the names they have here.
    fn text(&self, text: &Expression) -> String {
        let mut out = String::new();
        let mut at = text.span.start;
        for (span, id) in &text.columns {
            out.push_str(self.tree.text.get(at..span.start).unwrap_or("?"));
            let _ = write!(out, "{{{}}}", self.column(*id));
            at = span.end;
        }
        out.push_str(self.tree.text.get(at..text.span.end).unwrap_or("?"));
        format!("`{}`", out.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}
