//! A table in a template, and references written in YAML.

use std::fmt;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Enumerator, Object};

use crate::TableName;
use crate::catalog::{Catalog, Unresolved};

/// What `ref`, `source` and `this` give: rendered as `schema.table`, with the parts dbt has (`this.schema`, `this.name`).
#[derive(Debug)]
pub struct Relation(pub TableName);

impl Relation {
    /// As a value of the template.
    pub fn value(table: TableName) -> Value {
        Value::from_object(Self(table))
    }
}

impl Object for Relation {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "schema" => Some(Value::from(self.0.schema.as_str())),
            "name" | "identifier" | "table" => Some(Value::from(self.0.name.as_str())),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["schema", "name", "identifier", "table"])
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", Part(&self.0.schema), Part(&self.0.name))
    }
}

/// Part of a name, in double quotes where SQL would not read it as a name.
struct Part<'a>(&'a str);

/// Words that no dialect takes as a bare name. A word too many costs two quotes, a word too few an error from the engine.
const RESERVED: &[&str] = &[
    "all",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "between",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "constraint",
    "create",
    "cross",
    "current_date",
    "current_time",
    "current_timestamp",
    "default",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "from",
    "full",
    "grant",
    "group",
    "having",
    "in",
    "inner",
    "intersect",
    "into",
    "is",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "natural",
    "not",
    "null",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "primary",
    "qualify",
    "references",
    "returning",
    "right",
    "select",
    "some",
    "table",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "when",
    "where",
    "window",
    "with",
];

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let starts_as_name = self.0.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let is_name = starts_as_name && self.0.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if is_name && !RESERVED.contains(&self.0.to_ascii_lowercase().as_str()) {
            f.write_str(self.0)
        } else {
            write!(f, "\"{}\"", self.0.replace('"', "\"\""))
        }
    }
}

/// The table that a YAML value such as `ref('companies')`, `source('order_db', 'companies')` or `store.companies` means.
pub fn parse_reference(text: &str, catalog: &Catalog) -> Result<TableName, Unresolved> {
    let text = text.trim();
    let inner = text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).unwrap_or(text).trim();
    let Some((function, arguments)) = inner.split_once('(') else { return catalog.reference(inner).cloned() };
    let wrong = || Unresolved {
        code: "bad-reference",
        message: format!("`{text}` is not a reference to a table"),
        help: "write `ref('name')`, `source('source', 'stream')` or `schema.table`".to_owned(),
    };
    let arguments = arguments.trim_end().strip_suffix(')').ok_or_else(wrong)?;
    let arguments: Vec<&str> = arguments.split(',').map(|argument| argument.trim().trim_matches(['\'', '"'])).collect();
    match (function.trim(), &arguments[..]) {
        ("ref", [name]) => catalog.reference(name).cloned(),
        ("source", [source, stream]) => catalog.stream(source, stream).cloned(),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_only_where_needed() {
        for (schema, name, expected) in [
            ("pres", "sales", "pres.sales"),
            ("pres", "Sales_2", "pres.Sales_2"),
            ("pres", "order", "pres.\"order\""),
            ("pres", "2026", "pres.\"2026\""),
        ] {
            assert_eq!(Relation::value(TableName::new(schema, name)).to_string(), expected);
        }
    }
}
