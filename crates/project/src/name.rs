//! Names of tables as the project speaks of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The logical name of a table: `store.order_lines`.
///
/// Both parts are as the user wrote them, without quotes and without the schema prefix of a personal target. How a name is
/// spelled in a statement is the dialect's business (`thalweg_sql`), and only its.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TableName {
    /// The schema, which is the folder of a model or the store layer's name.
    pub schema: String,
    /// The table, which is the file name of a model or the name of a stream.
    pub name: String,
}

impl TableName {
    /// Joins a schema and a table name.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// The text was not of the form `schema.table`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a table name: expected `schema.table`")]
pub struct NotATableName(pub String);

impl FromStr for TableName {
    type Err = NotATableName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('.') {
            Some((schema, name)) if !schema.is_empty() && !name.is_empty() && !name.contains('.') => {
                Ok(Self::new(schema, name))
            }
            _ => Err(NotATableName(text.to_owned())),
        }
    }
}

impl TryFrom<String> for TableName {
    type Error = NotATableName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TableName> for String {
    fn from(name: TableName) -> Self {
        name.to_string()
    }
}

/// Whether a text can be the name of a file or folder that becomes the name of a table or schema: ASCII letters, digits and `_`, not
/// beginning with a digit.
pub(crate) fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether a name is like a pattern, in which `*` stands for any characters and `?` for one.
pub(crate) fn matches_wildcard(pattern: &str, name: &str) -> bool {
    fn behind(pattern: &[char], name: &[char]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => behind(rest, name) || (!name.is_empty() && behind(pattern, &name[1..])),
            (Some(('?', rest)), Some((_, after))) => behind(rest, after),
            (Some((a, rest)), Some((b, after))) => a.eq_ignore_ascii_case(b) && behind(rest, after),
            _ => false,
        }
    }
    let characters = |text: &str| text.chars().collect::<Vec<_>>();
    behind(&characters(pattern), &characters(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("ref_*", "ref_country", true),
            ("ref_*", "preference", false),
            ("*", "anything", true),
            ("a?c*", "abcd", true),
            ("a?c", "ac", false),
            ("REF_*", "ref_x", true),
            ("*_*_x", "a_b_c_x", true),
        ] {
            assert_eq!(matches_wildcard(pattern, name), expected, "{pattern} {name}");
        }
    }
}
