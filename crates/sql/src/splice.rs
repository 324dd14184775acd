//! Other text in the place of spans: how a query is made to read other tables.

use std::ops::Range;

use crate::dialect::{Dialect, InvalidName};
use crate::query::{Query, TableReference};

/// A replacement that does not fit the text. Always a mistake of the program, not of the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpliceError {
    /// Two replacements want the same bytes.
    #[error("two replacements overlap at bytes {0:?} and {1:?} of the query")]
    Overlap(Range<usize>, Range<usize>),
    /// The range ends beyond the text or within a character.
    #[error("bytes {0:?} are not a piece of the query")]
    OutOfText(Range<usize>),
    /// A name cannot be written.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

/// What stands in the place of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replacement {
    /// Another table: its qualified name, already quoted.
    Name {
        /// The whole name: `"dev_ana_store"."orders"`.
        qualified: String,
        /// The last part without quotes; where it differs from the table's own name, that becomes the alias.
        last: String,
    },
    /// A query, without parentheses.
    Subquery(String),
}

/// Replaces byte ranges of a text, in any order. Empty ranges insert.
pub fn splice(text: &str, replacements: &[(Range<usize>, String)]) -> Result<String, SpliceError> {
    let mut ordered: Vec<&(Range<usize>, String)> = replacements.iter().collect();
    ordered.sort_by_key(|(range, _)| (range.start, range.end));
    for pair in ordered.windows(2) {
        if pair[0].0.end > pair[1].0.start {
            return Err(SpliceError::Overlap(pair[0].0.clone(), pair[1].0.clone()));
        }
    }
    let mut out = String::with_capacity(text.len() + replacements.iter().map(|(_, new)| new.len()).sum::<usize>());
    let mut at = 0;
    for (range, new) in ordered {
        if text.get(range.clone()).is_none() {
            return Err(SpliceError::OutOfText(range.clone()));
        }
        out.push_str(&text[at..range.start]);
        out.push_str(new);
        at = range.end;
    }
    out.push_str(&text[at..]);
    Ok(out)
}

/// The query with other tables in the place of those it names: only [`Query::body`], so that it can stand in parentheses.
///
/// A table keeps the name by which columns refer to it; columns qualified by schema follow. `None` leaves a reference alone.
pub fn rewrite_tables(
    sql: &str,
    query: &Query,
    dialect: &dyn Dialect,
    replace: &dyn Fn(&TableReference) -> Option<Replacement>,
) -> Result<String, SpliceError> {
    let mut replacements = Vec::new();
    for (index, table) in query.tables.iter().enumerate() {
        let Some(replacement) = replace(table) else { continue };
        // Without its schema, the own name of one of two tables `a.t` and `b.t` of one FROM would mean both.
        let shared = table.alias.is_none()
            && query.tables.iter().enumerate().any(|(other, beside)| {
                other != index
                    && beside.select == table.select
                    && same(beside.own_name(), table.own_name())
                    && beside.name != table.name
            });
        let alias = if shared { table.name.join(".") } else { table.own_name().to_owned() };
        let quoted = dialect.quote_identifier(&alias)?;
        let (mut text, reads_as) = match replacement {
            Replacement::Name { qualified, last } if table.alias.is_some() || same(&last, table.own_name()) => {
                (qualified.clone(), qualified)
            }
            Replacement::Name { qualified, .. } => (format!("{qualified} as {quoted}"), quoted),
            Replacement::Subquery(subquery) if table.alias.is_some() => (format!("({subquery})"), quoted),
            Replacement::Subquery(subquery) => (format!("({subquery}) as {quoted}"), quoted),
        };
        // `from"orders"where` is set off by its quotes only, which may be gone now.
        if sql[..table.span.start].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
            text.insert(0, ' ');
        }
        if sql[table.span.end..].starts_with(|after: char| after.is_alphanumeric() || after == '_') {
            text.push(' ');
        }
        replacements.push((table.span.clone(), text));
        for reference in query.schema_references.iter().filter(|reference| reference.table == index) {
            replacements.push((reference.span.clone(), reads_as.clone()));
        }
    }
    // Shifting to the body instead of cutting afterwards: the replacements change the length.
    let body = query.body.clone();
    let text = sql.get(body.clone()).ok_or(SpliceError::OutOfText(body.clone()))?;
    for (range, _) in &mut replacements {
        if range.start < body.start || range.end > body.end {
            return Err(SpliceError::OutOfText(range.clone()));
        }
        *range = range.start - body.start..range.end - body.start;
    }
    splice(text, &replacements)
}

fn same(left: &str, right: &str) -> bool {
    left.to_lowercase() == right.to_lowercase()
}
