//! Ties: where a query's answer depends on the order of rows that its text leaves open.
//!
//! `row_number() over (order by ts)` with two rows of one `ts`, `LIMIT`, `any_value`, `string_agg` without an order: each
//! evaluation may answer differently, so that the rows of some keys, computed anew, no longer fit the others. The parser finds these
//! places and says what would settle each: a proven key appended to the order, otherwise every column that the query looks at. The
//! settled text takes the place of the user's in full builds and in refreshes alike. Where nothing can be put, what may come out
//! differently must at least be replaced as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::relation::{ColumnId, InputTables, Obstacle, Tree};
use crate::dialect::Dialect;

/// A place where the order of rows is left open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tie {
    /// The call or clause in the text.
    pub span: Range<usize>,
    /// What settles it: pieces to insert, by their places in the text.
    pub settled_by: Result<Vec<(usize, String)>, Unsettled>,
    /// Columns that are the same for all rows among which the order decides: partition or grouping columns.
    pub within: Vec<ColumnId>,
}

/// Why nothing settles a tie, in words: `with DISTINCT it can be ordered by its arguments only`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled(pub String);

/// A text whose ties are settled as far as can be, in relational form.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The form of the settled text.
    pub tree: Tree,
    /// Whether the text is another than the user's.
    pub changed: bool,
    /// What was done, for a person.
    pub notes: Vec<String>,
    /// Ties that remain.
    pub open: Vec<Tie>,
    /// The pieces that were put into the text: where they stand in it, and their lengths.
    inserted: Vec<(usize, usize)>,
}

impl Settled {
    /// A place of the settled text in the user's.
    pub(super) fn as_written(&self, span: &Range<usize>) -> Range<usize> {
        let place = |at: usize| {
            let before = self.inserted.iter().map(|(start, length)| at.saturating_sub(*start).min(*length));
            at - before.sum::<usize>().min(at)
        };
        place(span.start)..place(span.end)
    }
}

/// Reads a query and settles its ties.
pub fn read_settled(sql: &str, dialect: &dyn Dialect, inputs: &dyn InputTables) -> Result<Settled, Obstacle> {
    let tree = crate::parser::parse_relation(sql, dialect, inputs)?;
    let Some((text, inserted)) = settled_text(&tree) else { return Ok(as_written(tree)) };
    // Where the settled text cannot be followed like the user's own, the ties stay.
    let Ok(settled) = crate::parser::parse_relation(&text, dialect, inputs) else { return Ok(as_written(tree)) };
    if settled.names != tree.names || settled.tables.len() != tree.tables.len() {
        return Ok(as_written(tree));
    }
    let mut notes = Vec::new();
    for tie in &tree.ties {
        if let Ok(pieces) = &tie.settled_by {
            let by: Vec<&str> = pieces.iter().map(|(_, piece)| piece.trim().trim_start_matches(", ")).collect();
            note(
                &mut notes,
                format!("`{}` leaves an order open: settled by `{}`", shown(&tree, tie), by.join(" ... ")),
            );
        }
    }
    let open: Vec<Tie> = settled.ties.clone();
    add_open(&mut notes, &settled, &open);
    Ok(Settled { tree: settled, changed: true, notes, open, inserted })
}

fn as_written(tree: Tree) -> Settled {
    let (mut notes, open) = (Vec::new(), tree.ties.clone());
    add_open(&mut notes, &tree, &open);
    Settled { tree, changed: false, notes, open, inserted: Vec::new() }
}

fn add_open(notes: &mut Vec<String>, tree: &Tree, open: &[Tie]) {
    for tie in open {
        let why = match &tie.settled_by {
            Err(Unsettled(why)) => why.as_str(),
            Ok(_) => "what would settle it is not understood",
        };
        note(
            notes,
            format!("`{}` leaves an order open, and each time it may answer differently: {why}", shown(tree, tie)),
        );
    }
}

fn note(notes: &mut Vec<String>, text: String) {
    if !notes.contains(&text) {
        notes.push(text);
    }
}

fn shown(tree: &Tree, tie: &Tie) -> String {
    const LONGEST: usize = 80;
    let text = tree.text.get(tie.span.clone()).unwrap_or_default();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= LONGEST {
        return words;
    }
    words.chars().take(LONGEST).chain("...".chars()).collect()
}

/// The text with every piece that settles a tie, and where these stand in it; `None` where there is none to put.
fn settled_text(tree: &Tree) -> Option<(String, Vec<(usize, usize)>)> {
    let mut pieces: BTreeMap<usize, &str> = BTreeMap::new();
    // A CTE that is used twice is read twice; a place whose uses disagree stays as it is.
    let agreed = |tie: &Tie| tree.ties.iter().all(|one| one.span != tie.span || one.settled_by == tie.settled_by);
    for tie in tree.ties.iter().filter(|tie| agreed(tie)) {
        let Ok(of_tie) = &tie.settled_by else { continue };
        if of_tie.iter().all(|(at, piece)| pieces.get(at).is_none_or(|other| other == piece)) {
            pieces.extend(of_tie.iter().map(|(at, piece)| (*at, piece.as_str())));
        }
    }
    if pieces.is_empty() {
        return None;
    }
    let mut out = String::with_capacity(tree.text.len() + 32);
    let mut inserted = Vec::with_capacity(pieces.len());
    let mut at = 0;
    for (place, piece) in pieces {
        out.push_str(tree.text.get(at..place)?);
        inserted.push((out.len(), piece.len()));
        out.push_str(piece);
        at = place;
    }
    out.push_str(tree.text.get(at..)?);
    Some((out, inserted))
}

/// What stands in the way when a tie may be answered anew for some of the rows it decides about and not for others.
pub(super) fn split_tie(open: &[Tie], key: &[ColumnId], tree: &Tree) -> Option<Obstacle> {
    let tie = open.iter().find(|tie| {
        let within: BTreeSet<&ColumnId> = tie.within.iter().collect();
        !key.iter().all(|column| within.contains(column))
    })?;
    let why = match &tie.settled_by {
        Err(Unsettled(why)) => why.as_str(),
        Ok(_) => "what would settle it is not understood",
    };
    Some(Obstacle {
        reason: format!(
            "`{}` leaves an order open, so that a part of its rows does not fit the others: {why}",
            shown(tree, tie)
        ),
        span: tie.span.clone(),
        instead: Some("order by columns of which no two rows have the same values".to_owned()),
    })
}

/// Whether a text may hold ties at all: a quick look before it is read.
pub fn may_tie(text: &str) -> bool {
    const SIGNS: &[&str] = &[
        "over",
        "limit",
        "offset",
        "fetch",
        "distinct",
        "asof",
        "first",
        "last",
        "any_value",
        "arbitrary",
        "argm",
        "arg_m",
        "max_by",
        "min_by",
        "list",
        "agg",
        "group_concat",
        "mode",
        "approx",
        "quantile",
        "group_array",
        "group_object",
        "group_structure",
        "lttb",
    ];
    let text = text.to_ascii_lowercase();
    SIGNS.iter().any(|sign| text.contains(sign))
}
