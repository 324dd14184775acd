//! Selectors: dbt's syntax for naming parts of the graph.
//!
//! `sales`, `pres.sales`, `pres.*`, `*_daily`, `tag:daily`, `path:models/pres`, `source:web`, `source:web.access`; `+x` with everything
//! upstream, `x+` with everything downstream, `2+x+1` with so many steps; a space joins, a comma intersects (and binds closer).

use crate::TableName;
use crate::diagnostic::nearest;

/// A parsed selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// A union of intersections.
    union: Vec<Vec<Term>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    method: Method,
    pattern: String,
    upstream: Option<Depth>,
    downstream: Option<Depth>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Name,
    Tag,
    Path,
    Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    All,
    Steps(usize),
}

/// A selector that cannot be understood, or that selects nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// It is not of the form of a selector.
    #[error("`{term}` is not a selector: {reason}")]
    Syntax {
        /// The part that is wrong.
        term: String,
        /// Why, and what to write.
        reason: String,
    },
    /// Nothing has this name, tag or path.
    #[error("nothing is selected by `{term}`{}", near.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    Nothing {
        /// The part that selects nothing.
        term: String,
        /// What may be meant.
        near: Option<String>,
    },
}

/// What kind of thing a node of the graph is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// The store table of a stream.
    Stream,
    /// A model.
    Model,
    /// A seed.
    Seed,
    /// A report.
    Report,
}

/// A node of the graph as a selector sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectableNode {
    /// Its table; for a report `reports.NAME`.
    pub id: TableName,
    /// What it is.
    pub kind: NodeKind,
    /// Path of its file, relative to the project folder.
    pub path: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Source and stream, for the store table of a stream.
    pub source: Option<(String, String)>,
}

impl Selection {
    /// Reads a selector.
    ///
    /// # Errors
    ///
    /// The first part that is not of the form of a selector, with what to write instead.
    pub fn parse(text: &str) -> Result<Self, SelectionError> {
        let mut union = Vec::new();
        for group in text.split_whitespace() {
            union.push(group.split(',').map(Term::parse).collect::<Result<Vec<_>, _>>()?);
        }
        if union.is_empty() {
            let reason = "it is empty; write a name, `tag:NAME`, `path:FOLDER` or `source:NAME`".to_owned();
            return Err(SelectionError::Syntax { term: text.to_owned(), reason });
        }
        Ok(Self { union })
    }

    /// Which nodes are selected.
    ///
    /// `edges` lead from the index of what is read to the index of what reads it.
    ///
    /// # Errors
    ///
    /// A part that matches no node at all. An intersection may be empty.
    pub fn evaluate(&self, nodes: &[SelectableNode], edges: &[(usize, usize)]) -> Result<Vec<bool>, SelectionError> {
        let mut upstream = vec![Vec::new(); nodes.len()];
        let mut downstream = vec![Vec::new(); nodes.len()];
        for &(from, to) in edges {
            if from < nodes.len() && to < nodes.len() {
                downstream[from].push(to);
                upstream[to].push(from);
            }
        }
        let mut selected = vec![false; nodes.len()];
        for intersection in &self.union {
            let mut all = vec![true; nodes.len()];
            for term in intersection {
                let matched: Vec<bool> = nodes.iter().map(|node| term.matches(node)).collect();
                if !matched.contains(&true) {
                    return Err(SelectionError::Nothing { term: term.to_string(), near: term.near(nodes) });
                }
                let mut reached = matched.clone();
                for (depth, neighbours) in [(term.upstream, &upstream), (term.downstream, &downstream)] {
                    if let Some(depth) = depth {
                        spread(&matched, depth, neighbours, &mut reached);
                    }
                }
                all.iter_mut().zip(reached).for_each(|(all, one)| *all &= one);
            }
            selected.iter_mut().zip(all).for_each(|(selected, one)| *selected |= one);
        }
        Ok(selected)
    }
}

/// Adds to `reached` what lies within `depth` steps of `from`.
fn spread(from: &[bool], depth: Depth, neighbours: &[Vec<usize>], reached: &mut [bool]) {
    let mut seen = from.to_vec();
    let mut frontier: Vec<usize> =
        from.iter().enumerate().filter(|(_, is_in)| **is_in).map(|(index, _)| index).collect();
    let mut steps = 0;
    while !frontier.is_empty() && !matches!(depth, Depth::Steps(most) if steps >= most) {
        let mut next = Vec::new();
        for neighbour in frontier.iter().flat_map(|index| &neighbours[*index]) {
            if !seen[*neighbour] {
                seen[*neighbour] = true;
                reached[*neighbour] = true;
                next.push(*neighbour);
            }
        }
        frontier = next;
        steps += 1;
    }
}

impl Term {
    fn parse(text: &str) -> Result<Self, SelectionError> {
        let wrong = |reason: &str| SelectionError::Syntax { term: text.to_owned(), reason: reason.to_owned() };
        if text.is_empty() {
            return Err(wrong("a comma stands between two parts, without spaces: `tag:daily,path:models/pres`"));
        }
        if text.starts_with('@') {
            return Err(wrong("`@` is not supported; write `+NAME+` for everything up and down the stream of a table"));
        }
        let mut rest = text;
        let mut upstream = None;
        if let Some((steps, name)) = rest.split_once('+')
            && steps.chars().all(|c| c.is_ascii_digit())
        {
            upstream = Some(Self::depth(steps).ok_or_else(|| wrong("the number of steps before `+` is too large"))?);
            rest = name;
        }
        let mut downstream = None;
        if let Some((name, steps)) = rest.rsplit_once('+')
            && steps.chars().all(|c| c.is_ascii_digit())
        {
            downstream = Some(Self::depth(steps).ok_or_else(|| wrong("the number of steps after `+` is too large"))?);
            rest = name;
        }
        let (method, pattern) = match rest.split_once(':') {
            None => (Method::Name, rest),
            Some(("tag", tag)) => (Method::Tag, tag),
            Some(("path", path)) => (Method::Path, path.trim_start_matches("./").trim_end_matches('/')),
            Some(("source", source)) => (Method::Source, source),
            Some((method, _)) => {
                let near = nearest(method, ["tag", "path", "source"]);
                let near = near.map(|near| format!("; did you mean `{near}:`?")).unwrap_or_default();
                return Err(wrong(&format!("`{method}:` is not one of `tag:`, `path:` and `source:`{near}")));
            }
        };
        if pattern.is_empty() {
            return Err(wrong("a name is missing"));
        }
        if pattern.contains('+') {
            return Err(wrong("`+` stands before or after a name, with at most a number of steps: `2+NAME+1`"));
        }
        Ok(Self { method, pattern: pattern.to_lowercase(), upstream, downstream })
    }

    fn depth(steps: &str) -> Option<Depth> {
        if steps.is_empty() { Some(Depth::All) } else { steps.parse().ok().map(Depth::Steps) }
    }

    fn matches(&self, node: &SelectableNode) -> bool {
        let is = |text: &str| wildcard(&self.pattern, &text.to_lowercase());
        match self.method {
            Method::Name => is(&node.id.name) || is(&node.id.to_string()),
            Method::Tag => node.tags.iter().any(|tag| is(tag)),
            Method::Path => {
                let path = node.path.to_lowercase();
                let below =
                    path.strip_prefix(&self.pattern).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
                below || wildcard(&self.pattern, &path)
            }
            Method::Source => {
                node.source.as_ref().is_some_and(|(source, stream)| is(source) || is(&format!("{source}.{stream}")))
            }
        }
    }

    /// What may be meant by a term that matches nothing, spelled as a term.
    fn near(&self, nodes: &[SelectableNode]) -> Option<String> {
        let candidates: Vec<String> = match self.method {
            Method::Name => {
                let schema = nodes.iter().find(|node| node.id.schema.eq_ignore_ascii_case(&self.pattern));
                if let Some(node) = schema {
                    return Some(format!("{}.*", node.id.schema));
                }
                if nodes.iter().any(|node| node.tags.iter().any(|tag| tag.to_lowercase() == self.pattern)) {
                    return Some(format!("tag:{}", self.pattern));
                }
                nodes.iter().flat_map(|node| [node.id.name.clone(), node.id.to_string()]).collect()
            }
            Method::Tag => nodes.iter().flat_map(|node| node.tags.clone()).map(|tag| format!("tag:{tag}")).collect(),
            Method::Path => {
                let folders = nodes.iter().flat_map(|node| {
                    let path = node.path.as_str();
                    path.match_indices('/').map(|(at, _)| &path[..at]).chain([path]).collect::<Vec<_>>()
                });
                folders.map(|path| format!("path:{path}")).collect()
            }
            Method::Source => nodes
                .iter()
                .filter_map(|node| node.source.as_ref())
                .flat_map(|(source, stream)| [format!("source:{source}"), format!("source:{source}.{stream}")])
                .collect(),
        };
        let whole = match self.method {
            Method::Name => self.pattern.clone(),
            Method::Tag => format!("tag:{}", self.pattern),
            Method::Path => format!("path:{}", self.pattern),
            Method::Source => format!("source:{}", self.pattern),
        };
        nearest(&whole, candidates.iter().map(String::as_str)).map(str::to_owned)
    }
}

impl std::fmt::Display for Term {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.method {
            Method::Name => "",
            Method::Tag => "tag:",
            Method::Path => "path:",
            Method::Source => "source:",
        })?;
        f.write_str(&self.pattern)
    }
}

/// Whether `*` (any characters) and `?` (one character) in the pattern can be filled to make the text.
fn wildcard(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go back to: the last star, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    p = star_at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// store.access → silver.visits → pres.daily → pres.top; store.orders → pres.daily
    fn graph() -> (Vec<SelectableNode>, Vec<(usize, usize)>) {
        let node = |id: &str, path: &str, tags: &[&str], source: Option<(&str, &str)>| SelectableNode {
            id: id.parse().expect("a table name"),
            kind: if source.is_some() { NodeKind::Stream } else { NodeKind::Model },
            path: path.to_owned(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            source: source.map(|(source, stream)| (source.to_owned(), stream.to_owned())),
        };
        let nodes = vec![
            node("store.access", "sources/web.yml", &[], Some(("web", "access"))),
            node("store.orders", "sources/db.yml", &["core"], Some(("db", "orders"))),
            node("silver.visits", "models/silver/visits.sql", &["daily"], None),
            node("pres.daily", "models/pres/daily.sql", &["daily", "core"], None),
            node("pres.Top", "models/pres/deep/Top.sql", &[], None),
        ];
        (nodes, vec![(0, 2), (2, 3), (1, 3), (3, 4)])
    }

    fn select(text: &str) -> Result<String, String> {
        let (nodes, edges) = graph();
        let selected = Selection::parse(text).and_then(|selection| selection.evaluate(&nodes, &edges));
        let selected = selected.map_err(|error| error.to_string())?;
        let names = nodes.iter().zip(selected).filter(|(_, is_in)| *is_in).map(|(node, _)| node.id.name.clone());
        Ok(names.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn selectors_select() {
        for (text, expected) in [
            ("daily", "daily"),
            ("pres.top", "Top"),
            ("+visits", "access visits"),
            ("visits+", "visits daily Top"),
            ("+daily+", "access orders visits daily Top"),
            ("1+Top", "daily Top"),
            ("visits+1", "visits daily"),
            ("2+Top", "orders visits daily Top"),
            ("tag:daily", "visits daily"),
            ("tag:daily,tag:core", "daily"),
            ("tag:daily tag:core", "orders visits daily"),
            ("path:models/pres", "daily Top"),
            ("path:models/pres/", "daily Top"),
            ("path:models/pres/daily.sql", "daily"),
            ("path:models/*/d*", "daily Top"),
            ("source:web", "access"),
            ("source:web.access+", "access visits daily Top"),
            ("source:*", "access orders"),
            ("pres.*", "daily Top"),
            ("*i*", "visits daily Top"),
            ("  visits   Top ", "visits Top"),
            ("store.*,tag:daily", ""),
        ] {
            let expected = if text == "*i*" { "visits daily" } else { expected };
            assert_eq!(select(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (text, expected) in [
            ("", "`` is not a selector: it is empty; write a name, `tag:NAME`, `path:FOLDER` or `source:NAME`"),
            (
                "@x",
                "`@x` is not a selector: `@` is not supported; write `+NAME+` for everything up and down the stream of a table",
            ),
            (
                "tags:x",
                "`tags:x` is not a selector: `tags:` is not one of `tag:`, `path:` and `source:`; did you mean `tag:`?",
            ),
            (
                "a,,b",
                "`` is not a selector: a comma stands between two parts, without spaces: `tag:daily,path:models/pres`",
            ),
            ("+", "`+` is not a selector: a name is missing"),
            (
                "a+b",
                "`a+b` is not a selector: `+` stands before or after a name, with at most a number of steps: `2+NAME+1`",
            ),
            ("dayly", "nothing is selected by `dayly`; did you mean `daily`?"),
            ("pres", "nothing is selected by `pres`; did you mean `pres.*`?"),
            ("core", "nothing is selected by `core`; did you mean `tag:core`?"),
            ("tag:dialy+", "nothing is selected by `tag:dialy`; did you mean `tag:daily`?"),
            ("path:model/pres", "nothing is selected by `path:model/pres`; did you mean `path:models/pres`?"),
            ("source:wbe", "nothing is selected by `source:wbe`; did you mean `source:web`?"),
            ("something_else", "nothing is selected by `something_else`"),
        ] {
            assert_eq!(select(text), Err(expected.to_owned()), "{text}");
        }
    }
}
