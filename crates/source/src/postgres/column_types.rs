//! Every type of Postgres: what it becomes, how it is selected, and from what it is decoded.
//!
//! | type | column type | selected as |
//! |---|---|---|
//! | `boolean` | `boolean` | itself |
//! | `smallint`, `integer`, `bigint` | the same | itself |
//! | `oid`, `xid`, `cid` | `bigint` | itself |
//! | `xid8` | `decimal(20,0)` | itself |
//! | `numeric(p,s)` up to 38 digits | `decimal(p,s)`; NaN does not fit | itself |
//! | `numeric(p,s)` with more digits, `numeric` | `text` | its text: plain digits, `NaN`, `Infinity` |
//! | `money` | `decimal(19,s)`, `s` as `lc_monetary` of the connection has it | `numeric` |
//! | `real`, `double precision` | `real`, `double`; NaN and infinities are values | itself |
//! | `date` | `date`; `infinity` does not fit | itself |
//! | `timestamp` | `timestamp`; `infinity` and times after 294247-01-10 do not fit | itself |
//! | `timestamp with time zone` | `timestamp`, UTC; likewise | itself |
//! | `time` | `time`, `24:00:00` included | itself |
//! | `time with time zone`, `interval` | `text` | its text: `10:00:00+02`, `1 year 2 mons 3 days 04:05:06` |
//! | `text`, `varchar`, `name`, enumerations | `text` | itself |
//! | `char(n)` | `text`, without the padding, as Postgres itself makes a text of it | itself |
//! | `"char"` | `text`; bytes above 127 as `\ooo` | itself |
//! | `uuid`, `inet`, `cidr` | `text` | itself |
//! | `bytea` | `blob` | itself |
//! | `json`, `jsonb` | `json` | itself |
//! | composites, `hstore` | `json` | `to_json` |
//! | arrays of the above | `list(type)`; several dimensions or a lower bound other than 1 do not fit | an array |
//! | arrays declared with several dimensions, arrays of `json`, composites or `hstore` | `json` | `to_json` |
//! | `geometry`, `geography` of PostGIS | `blob`, EWKB | `st_asewkb` |
//! | domains | as what they are made of | |
//! | everything else (`bit`, `xml`, `macaddr`, ranges, multiranges, geometric types, `tsvector`, `pg_lsn`, `reg...`, extensions) | `text` | its text |
//!
//! A stream may ask for another type: `text` for everything, `json` for arrays, and numbers, times and the like for texts and numbers.

use thalweg_postgres::Decoder;
use thalweg_project::ColumnType;

/// What follows the name of a type that is no type of Postgres itself, so that its text alone tells what to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// An enumeration.
    Enum,
    /// A composite, or the row of a table.
    Composite,
    /// `hstore`.
    Hstore,
    /// `geometry` or `geography` of PostGIS.
    Geometry,
    /// Anything else: ranges of people's own, types of extensions.
    Other,
}

impl Class {
    const ALL: [Self; 5] = [Self::Enum, Self::Composite, Self::Hstore, Self::Geometry, Self::Other];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Enum => "enum",
            Self::Composite => "composite",
            Self::Hstore => "hstore",
            Self::Geometry => "geometry",
            Self::Other => "other",
        }
    }
}

/// An engine type, taken apart: `numeric(12,2)[]`, `public.mood enum`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EngineType<'a> {
    /// The type as SQL spells it, without array brackets and class.
    pub(super) sql: &'a str,
    /// The same without what stands in parentheses: `timestamp with time zone`.
    pub(super) name: String,
    /// Numbers in parentheses.
    pub(super) modifiers: Vec<i32>,
    /// What kind of type, for those that are not in `pg_catalog`.
    pub(super) class: Option<Class>,
    /// Declared dimensions; 0 is no array.
    pub(super) dimensions: usize,
}

impl<'a> EngineType<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        let (mut sql, mut dimensions, mut class) = (text, 0, None);
        while let Some(rest) = sql.strip_suffix("[]") {
            sql = rest;
            dimensions += 1;
        }
        if let Some((rest, word)) = sql.rsplit_once(' ') {
            class = Class::ALL.into_iter().find(|class| class.word() == word);
            sql = if class.is_some() { rest } else { sql };
        }
        let (mut name, mut modifiers) = (sql.to_owned(), Vec::new());
        if class.is_none()
            && let (Some(open), Some(close)) = (sql.find('('), sql.find(')'))
            && open < close
        {
            modifiers = sql[open + 1..close].split(',').filter_map(|number| number.trim().parse().ok()).collect();
            name = format!("{}{}", &sql[..open], &sql[close + 1..]);
        }
        Self { sql, name, modifiers, class, dimensions }
    }

    /// The type without length or precision, to which a literal is cast: a precision would round it.
    pub(super) fn unbounded(&self) -> String {
        let mut sql = match (self.class, self.name.as_str()) {
            (Some(_), _) => self.sql.to_owned(),
            (None, "character") => "pg_catalog.bpchar".to_owned(),
            (None, "bit") => "pg_catalog.varbit".to_owned(),
            // What is spelled in several words, or is a keyword, cannot carry a schema.
            (None, name) => name.to_owned(),
        };
        if self.dimensions > 0 {
            sql.push_str("[]");
        }
        sql
    }
}

/// What stands in the select list instead of the column's plain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expression {
    /// The name itself.
    Plain,
    /// A cast to a type.
    Cast(&'static str),
    /// `to_json`.
    Json,
    /// `st_asewkb`, which stands in the schema of the type.
    Geometry,
}

/// What is done with the binary form of what is selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading {
    /// It is decoded.
    Decoded(Decoder),
    /// It is a text that is read as another type.
    Converted,
}

/// How a column is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) expression: Expression,
    pub(super) reading: Reading,
}

const TEXT: &str = "pg_catalog.text";

/// The type a column naturally has; `money_scale` are the decimals of `money` in this session.
pub(super) fn natural(engine_type: &str, money_scale: u8) -> ColumnType {
    let parsed = EngineType::parse(engine_type);
    let scalar = natural_scalar(&parsed, money_scale);
    match (parsed.dimensions, scalar) {
        (0, scalar) => scalar,
        (1, ColumnType::Json) | (2.., _) => ColumnType::Json,
        (1, ColumnType::Blob) if parsed.class == Some(Class::Geometry) => ColumnType::List(Box::new(ColumnType::Text)),
        (1, item) => ColumnType::List(Box::new(item)),
    }
}

fn natural_scalar(parsed: &EngineType<'_>, money_scale: u8) -> ColumnType {
    match parsed.class {
        Some(Class::Enum | Class::Other) => return ColumnType::Text,
        Some(Class::Composite | Class::Hstore) => return ColumnType::Json,
        Some(Class::Geometry) => return ColumnType::Blob,
        None => {}
    }
    match parsed.name.as_str() {
        "boolean" => ColumnType::Boolean,
        "smallint" => ColumnType::SmallInt,
        "integer" => ColumnType::Integer,
        "bigint" | "oid" | "xid" | "cid" => ColumnType::BigInt,
        "xid8" => ColumnType::Decimal(20, 0),
        "numeric" => numeric(&parsed.modifiers).unwrap_or(ColumnType::Text),
        "money" => ColumnType::Decimal(19, money_scale.min(19)),
        "real" => ColumnType::Real,
        "double precision" => ColumnType::Double,
        "date" => ColumnType::Date,
        "timestamp without time zone" | "timestamp with time zone" => ColumnType::Timestamp,
        "time without time zone" => ColumnType::Time,
        "bytea" => ColumnType::Blob,
        "json" | "jsonb" | "record" => ColumnType::Json,
        _ => ColumnType::Text,
    }
}

/// Since version 15 a scale may be negative (`numeric(3,-2)` holds 12300) or greater than the precision (`numeric(2,4)` holds 0.0012).
fn numeric(modifiers: &[i32]) -> Option<ColumnType> {
    let &[precision, scale] = modifiers else { return None };
    let whole = (precision - scale).max(0);
    let scale = scale.max(0);
    let precision = u8::try_from(whole + scale).ok()?;
    (precision <= 38).then_some(ColumnType::Decimal(precision.max(1), u8::try_from(scale).ok()?))
}

/// How a column of an engine type is read as `wanted`; `None` where it cannot.
pub(super) fn plan(engine_type: &str, wanted: &ColumnType) -> Option<Plan> {
    let parsed = EngineType::parse(engine_type);
    match (parsed.dimensions, wanted) {
        (0, _) => scalar_plan(&parsed, wanted),
        (_, ColumnType::Json) => Some(Plan { expression: Expression::Json, reading: Reading::Decoded(Decoder::Text) }),
        (_, ColumnType::Text) => {
            Some(Plan { expression: Expression::Cast(TEXT), reading: Reading::Decoded(Decoder::Text) })
        }
        (1, ColumnType::List(item)) => {
            let item = scalar_plan(&parsed, item)?;
            let expression = match item.expression {
                Expression::Plain => Expression::Plain,
                Expression::Cast("pg_catalog.numeric") => Expression::Cast("pg_catalog.numeric[]"),
                Expression::Cast(_) => Expression::Cast("pg_catalog.text[]"),
                // What is not made by a cast is not made for every element at once either.
                Expression::Json | Expression::Geometry => return None,
            };
            let Reading::Decoded(decoder) = item.reading else { return None };
            Some(Plan { expression, reading: Reading::Decoded(Decoder::List(Box::new(decoder))) })
        }
        _ => None,
    }
}

fn scalar_plan(parsed: &EngineType<'_>, wanted: &ColumnType) -> Option<Plan> {
    use ColumnType as To;
    let some = |expression, decoder| Some(Plan { expression, reading: Reading::Decoded(decoder) });
    let plain = |decoder| some(Expression::Plain, decoder);
    let as_text = some(Expression::Cast(TEXT), Decoder::Text);
    let converted = Some(Plan { expression: Expression::Cast(TEXT), reading: Reading::Converted });
    let is_scalar = !matches!(wanted, To::List(_) | To::Blob);
    match parsed.class {
        Some(Class::Enum) => {
            return match wanted {
                To::Text => plain(Decoder::Text),
                _ => converted.filter(|_| is_scalar),
            };
        }
        Some(class) => {
            return match (class, wanted) {
                (_, To::Text) => as_text,
                (Class::Composite | Class::Hstore, To::Json) => some(Expression::Json, Decoder::Text),
                (Class::Geometry, To::Blob) => some(Expression::Geometry, Decoder::Blob),
                // Texts of extensions, such as citext.
                (Class::Other, _) if is_scalar => converted,
                _ => None,
            };
        }
        None => {}
    }
    let is_number = matches!(wanted, To::SmallInt | To::Integer | To::BigInt | To::Decimal(..) | To::Real | To::Double);
    match (parsed.name.as_str(), wanted) {
        ("boolean", To::Boolean) => plain(Decoder::Boolean),
        ("smallint", To::SmallInt) => plain(Decoder::Int16),
        ("integer", To::Integer) => plain(Decoder::Int32),
        ("bigint", To::BigInt) => plain(Decoder::Int64),
        ("oid" | "xid" | "cid", To::BigInt) => plain(Decoder::Unsigned32),
        ("xid8", To::Decimal(20, 0)) => plain(Decoder::Unsigned64),
        ("numeric", &To::Decimal(precision, scale)) => plain(Decoder::Decimal { precision, scale }),
        ("money", &To::Decimal(precision, scale)) => {
            some(Expression::Cast("pg_catalog.numeric"), Decoder::Decimal { precision, scale })
        }
        ("real", To::Real) => plain(Decoder::Float32),
        ("double precision", To::Double) => plain(Decoder::Float64),
        ("date", To::Date) => plain(Decoder::Date),
        ("timestamp without time zone" | "timestamp with time zone", To::Timestamp) => plain(Decoder::Timestamp),
        ("time without time zone", To::Time) => plain(Decoder::Time),
        ("bytea", To::Blob) => plain(Decoder::Blob),
        ("json", To::Json | To::Text) => plain(Decoder::Text),
        ("jsonb", To::Json) => plain(Decoder::Jsonb),
        ("record", To::Json) => some(Expression::Json, Decoder::Text),
        ("text" | "character varying" | "name", To::Text) => plain(Decoder::Text),
        ("character", To::Text) => plain(Decoder::Padded),
        ("\"char\"", To::Text) => plain(Decoder::SingleByte),
        ("uuid", To::Text) => plain(Decoder::Uuid),
        ("inet" | "cidr", To::Text) => plain(Decoder::Address),
        (_, To::Text) => as_text,
        (
            "smallint" | "integer" | "bigint" | "oid" | "xid" | "cid" | "xid8" | "numeric" | "money" | "real"
            | "double precision",
            _,
        ) if is_number => {
            // The text of money has signs and commas.
            if parsed.name == "money" { None } else { converted }
        }
        ("date", To::Timestamp) => converted,
        ("text" | "character varying" | "name" | "character" | "\"char\"", _) if is_scalar => converted,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_types_are_taken_apart() {
        let parsed = EngineType::parse("numeric(12,2)[]");
        assert_eq!((parsed.name.as_str(), &parsed.modifiers[..], parsed.dimensions), ("numeric", &[12, 2][..], 1));
        let parsed = EngineType::parse("timestamp(3) with time zone");
        assert_eq!(
            (parsed.name.as_str(), parsed.unbounded()),
            ("timestamp with time zone", "timestamp with time zone".into())
        );
        let parsed = EngineType::parse("\"My schema\".\"odd (type\" enum[]");
        assert_eq!((parsed.class, parsed.unbounded()), (Some(Class::Enum), "\"My schema\".\"odd (type\"[]".into()));
        let parsed = EngineType::parse("\"My schema\".\"odd (type\" enum");
        assert_eq!((parsed.class, parsed.sql), (Some(Class::Enum), "\"My schema\".\"odd (type\""));
    }

    #[test]
    fn natural_types() {
        for (engine_type, expected) in [
            ("numeric(12,2)", "decimal(12,2)"),
            ("numeric(3,-2)", "decimal(5,0)"),
            ("numeric(2,4)", "decimal(4,4)"),
            ("numeric(38,38)", "decimal(38,38)"),
            ("numeric(39,0)", "text"),
            ("numeric", "text"),
            ("money", "decimal(19,2)"),
            ("character varying(20)[]", "list(text)"),
            ("integer[][]", "json"),
            ("public.address composite", "json"),
            ("public.address composite[]", "json"),
            ("public.mood enum[]", "list(text)"),
            ("public.geometry geometry", "blob"),
            ("time with time zone", "text"),
            ("xid8", "decimal(20,0)"),
        ] {
            let natural = natural(engine_type, 2);
            assert_eq!(natural.to_string(), expected, "{engine_type}");
            assert!(plan(engine_type, &natural).is_some(), "{engine_type}");
            assert!(plan(engine_type, &ColumnType::Text).is_some(), "{engine_type}");
        }
    }
}
