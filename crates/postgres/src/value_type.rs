//! What the server says of a column's type, and what becomes of it in Arrow.
//!
//! | type of Postgres | Arrow |
//! |---|---|
//! | `boolean`, `smallint`, `integer`, `bigint`, `real`, `double precision` | the same |
//! | `numeric(p,s)` up to 38 digits | `Decimal128(p,s)` |
//! | `numeric` without precision, or with more digits | `Utf8`, plain digits as Postgres writes them: no decimal holds all its values |
//! | `date`, `timestamp`, `time` | `Date32`, `Timestamp(µs)`, `Time64(µs)`; infinities as DuckDB has them: the greatest number, and it negated |
//! | `timestamp with time zone` | `Timestamp(µs, UTC)` |
//! | `interval` | `Interval(MonthDayNano)` |
//! | `text`, `varchar`, `char`, `name`, `json`, `jsonb`, `uuid`, `inet`, enumerations | `Utf8` |
//! | `bytea` | `Binary` |
//! | `oid`, `xid`, `cid` | `Int64` |
//! | arrays of these with one dimension | `List` |
//! | everything else | its text, for which it must be cast at the server |

use tokio_postgres::types::{Kind, Type};

use crate::decode::Decoder;

/// The type of a column.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueType {
    pub(crate) of: Type,
    pub(crate) modifier: i32,
}

impl ValueType {
    pub(crate) fn new(of: Type, modifier: i32) -> Self {
        Self { of, modifier }
    }

    /// The number of the type at the server.
    pub fn number(&self) -> u32 {
        self.of.oid()
    }

    /// Length, or precision and scale, as the server keeps them; -1 for none.
    pub fn modifier(&self) -> i32 {
        self.modifier
    }

    /// How its binary form is read; `None` where it has to be cast to text at the server.
    pub fn decoder(&self) -> Option<Decoder> {
        Some(match &self.of {
            kind if matches!(kind.kind(), Kind::Enum(_)) => Decoder::Text,
            &Type::BOOL => Decoder::Boolean,
            &Type::INT2 => Decoder::Int16,
            &Type::INT4 => Decoder::Int32,
            &Type::INT8 => Decoder::Int64,
            &Type::FLOAT4 => Decoder::Float32,
            &Type::FLOAT8 => Decoder::Float64,
            &Type::NUMERIC => match self.decimal() {
                Some((precision, scale)) => Decoder::Decimal { precision, scale },
                None => Decoder::NumberText,
            },
            &Type::DATE => Decoder::AnyDate,
            &Type::TIMESTAMP => Decoder::AnyTimestamp { is_zoned: false },
            &Type::TIMESTAMPTZ => Decoder::AnyTimestamp { is_zoned: true },
            &Type::TIME => Decoder::Time,
            &Type::INTERVAL => Decoder::Interval,
            &Type::TEXT | &Type::VARCHAR | &Type::NAME | &Type::JSON | &Type::UNKNOWN => Decoder::Text,
            &Type::BPCHAR => Decoder::Padded,
            &Type::CHAR => Decoder::SingleByte,
            &Type::JSONB => Decoder::Jsonb,
            &Type::UUID => Decoder::Uuid,
            &Type::INET | &Type::CIDR => Decoder::Address,
            &Type::BYTEA => Decoder::Blob,
            &Type::OID | &Type::XID | &Type::CID => Decoder::Unsigned32,
            &Type::VOID => Decoder::Text,
            other => match other.kind() {
                Kind::Array(item) => Decoder::List(Box::new(Self::new(item.clone(), self.modifier).decoder()?)),
                Kind::Domain(inner) => Self::new(inner.clone(), self.modifier).decoder()?,
                _ => return None,
            },
        })
    }

    /// Whether it is a `numeric` without precision.
    pub fn is_any_number(&self) -> bool {
        self.of == Type::NUMERIC && self.modifier < 0
    }

    /// Precision and scale of a `numeric` that a decimal of 38 digits holds. Since version 15 a scale may be negative (`numeric(3,-2)`
    /// holds 12300) or greater than the precision (`numeric(2,4)` holds 0.0012).
    fn decimal(&self) -> Option<(u8, u8)> {
        let packed = self.modifier.checked_sub(4).filter(|packed| *packed >= 0)?;
        let (precision, scale) = ((packed >> 16) & 0xffff, ((packed & 0x7ff) ^ 1024) - 1024);
        let whole = (precision - scale).max(0);
        let scale = scale.max(0);
        let precision = u8::try_from(whole + scale).ok().filter(|precision| *precision <= 38)?;
        Some((precision.max(1), u8::try_from(scale).ok()?))
    }

    /// Digits behind the point that a `numeric` keeps; `None` where it keeps all.
    pub(crate) fn scale(&self) -> Option<u8> {
        let packed = self.modifier.checked_sub(4).filter(|packed| *packed >= 0)?;
        u8::try_from((((packed & 0x7ff) ^ 1024) - 1024).max(0)).ok()
    }

    /// Its name as `format_type` writes it; `None` where the server must be asked.
    pub fn name(&self) -> Option<String> {
        if let Kind::Array(item) = self.of.kind() {
            return Some(format!("{}[]", Self::new(item.clone(), self.modifier).name()?));
        }
        let fixed = match self.of {
            Type::BOOL => "boolean",
            Type::INT2 => "smallint",
            Type::INT4 => "integer",
            Type::INT8 => "bigint",
            Type::FLOAT4 => "real",
            Type::FLOAT8 => "double precision",
            Type::DATE => "date",
            Type::TEXT => "text",
            Type::JSON => "json",
            Type::JSONB => "jsonb",
            Type::UUID => "uuid",
            Type::BYTEA => "bytea",
            Type::NUMERIC if self.modifier < 0 => "numeric",
            Type::NUMERIC => {
                let packed = self.modifier - 4;
                return Some(format!("numeric({},{})", (packed >> 16) & 0xffff, ((packed & 0x7ff) ^ 1024) - 1024));
            }
            Type::VARCHAR if self.modifier < 0 => "character varying",
            Type::VARCHAR => return Some(format!("character varying({})", self.modifier - 4)),
            Type::TIMESTAMP if self.modifier < 0 => "timestamp without time zone",
            Type::TIMESTAMPTZ if self.modifier < 0 => "timestamp with time zone",
            Type::TIME if self.modifier < 0 => "time without time zone",
            Type::INTERVAL if self.modifier < 0 => "interval",
            _ => return None,
        };
        Some(fixed.to_owned())
    }
}
