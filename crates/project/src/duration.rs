//! Lengths of time as people write them: `500ms`, `5s`, `10m`, `6h`, `2d`.

use std::borrow::Cow;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// A length of time, written as a whole number and a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

/// The text is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a whole number and a unit, such as `500ms`, `5s`, `10m`, `6h` or `2d`")]
pub struct NotADuration;

impl FromStr for Span {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or(NotADuration)?;
        let (number, unit) = text.split_at(unit_at);
        let number: u64 = number.parse().map_err(|_| NotADuration)?;
        let milliseconds: u64 = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(NotADuration),
        };
        number.checked_mul(milliseconds).map(|total| Self(Duration::from_millis(total))).ok_or(NotADuration)
    }
}

impl TryFrom<String> for Span {
    type Error = NotADuration;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "thalweg-duration", "pattern": "^\\s*[0-9]+\\s*(ms|s|m|min|h|d)\\s*$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("5s", 5_000),
            ("10m", 600_000),
            ("6h", 21_600_000),
            (" 2d ", 172_800_000),
            ("1 min", 60_000),
        ] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(milliseconds))), "{text}");
        }
        for text in ["", "5", "s", "-5s", "1.5s", "5 weeks", "99999999999999999999d", "18446744073709551615d"] {
            assert_eq!(text.parse::<Span>(), Err(NotADuration), "{text}");
        }
    }
}
