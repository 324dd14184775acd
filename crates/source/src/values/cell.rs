//! One value of a record, before it has a type.

/// One value of a record, as its format gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// A text of a format without types (CSV): it may mean anything.
    Plain(&'a str),
    /// A JSON string, unescaped: a text, or a date or timestamp where all values of the column are one.
    String(&'a str),
    /// A JSON number, as written.
    Number(&'a str),
    /// A JSON `true` or `false`.
    Boolean(bool),
    /// A JSON object or array, as written.
    Nested(&'a str),
}

impl<'a> Cell<'a> {
    /// The text of the value, if it has one.
    pub fn text(self) -> Option<&'a str> {
        match self {
            Self::Null => None,
            Self::Plain(text) | Self::String(text) | Self::Number(text) | Self::Nested(text) => Some(text),
            Self::Boolean(true) => Some("true"),
            Self::Boolean(false) => Some("false"),
        }
    }
}
