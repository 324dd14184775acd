//! One set of columns out of many, and the widest of two types.

use thalweg_project::ColumnType;

use crate::Column;

/// The columns of a stream out of the columns of its parts: the union by name, in the order first seen, each with the widest of
/// its types. A column without a value anywhere stays undecided.
pub fn unify<'a>(parts: impl IntoIterator<Item = &'a [Column]>) -> Vec<Column> {
    let mut all: Vec<Column> = Vec::new();
    for part in parts {
        for column in part {
            match all.iter_mut().find(|known| known.name == column.name) {
                None => all.push(column.clone()),
                Some(known) if known.undecided => {
                    known.column_type = column.column_type.clone();
                    known.undecided = column.undecided;
                }
                Some(_) if column.undecided => {}
                Some(known) => known.column_type = widest(&known.column_type, &column.column_type),
            }
        }
    }
    all
}

/// The narrowest type that holds every value of both types without loss; `text` where there is no other.
pub fn widest(a: &ColumnType, b: &ColumnType) -> ColumnType {
    use ColumnType::{Decimal, Double, Json, List, Real, Text};
    if a == b {
        return a.clone();
    }
    match (a, b) {
        (Real, Double) | (Double, Real) => Double,
        (List(a), List(b)) => List(Box::new(widest(a, b))),
        (Json, _) | (_, Json) if !matches!((a, b), (Text, _) | (_, Text)) => Text,
        _ => match (digits(a), digits(b)) {
            (Some((whole_a, scale_a)), Some((whole_b, scale_b))) => {
                let (whole, scale) = (whole_a.max(whole_b), scale_a.max(scale_b));
                match (a, b) {
                    (Decimal(..), _) | (_, Decimal(..)) if whole + scale <= 38 => Decimal(whole + scale, scale),
                    (Decimal(..), _) | (_, Decimal(..)) => Text,
                    _ if whole_a >= whole_b => a.clone(),
                    _ => b.clone(),
                }
            }
            _ => real_and_integer(a, b).unwrap_or(Text),
        },
    }
}

/// Digits before and behind the point, for types that are exact numbers.
fn digits(column_type: &ColumnType) -> Option<(u8, u8)> {
    match column_type {
        ColumnType::SmallInt => Some((5, 0)),
        ColumnType::Integer => Some((10, 0)),
        ColumnType::BigInt => Some((19, 0)),
        ColumnType::Decimal(precision, scale) => Some((precision - scale, *scale)),
        _ => None,
    }
}

/// Floating point holds every integer of 32 (16) bits exactly.
fn real_and_integer(a: &ColumnType, b: &ColumnType) -> Option<ColumnType> {
    use ColumnType::{Double, Integer, Real, SmallInt};
    match (a, b) {
        (Double, SmallInt | Integer) | (SmallInt | Integer, Double) => Some(Double),
        (Real, Integer) | (Integer, Real) => Some(Double),
        (Real, SmallInt) | (SmallInt, Real) => Some(Real),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(a: &str, b: &str) -> String {
        let (a, b) = (a.parse().expect("type"), b.parse().expect("type"));
        assert_eq!(widest(&a, &b), widest(&b, &a));
        widest(&a, &b).to_string()
    }

    #[test]
    fn widest_never_loses() {
        assert_eq!(wide("integer", "bigint"), "bigint");
        assert_eq!(wide("bigint", "decimal(18,2)"), "decimal(21,2)");
        assert_eq!(wide("decimal(18,2)", "decimal(18,6)"), "decimal(22,6)");
        assert_eq!(wide("decimal(38,0)", "decimal(18,6)"), "text");
        assert_eq!(wide("bigint", "double"), "text");
        assert_eq!(wide("integer", "double"), "double");
        assert_eq!(wide("date", "timestamp"), "text");
        assert_eq!(wide("json", "bigint"), "text");
        assert_eq!(wide("list(integer)", "list(bigint)"), "list(bigint)");
    }

    #[test]
    fn union_keeps_first_seen_order_and_drops_placeholders() {
        let a = [Column::new("x", "X", ColumnType::BigInt), undecided("y")];
        let b = [Column::new("y", "y", ColumnType::Date), undecided("x"), undecided("z")];
        let all = unify([&a[..], &b[..]]);
        let shown: Vec<_> = all.iter().map(|c| format!("{} {} {}", c.name, c.column_type, c.undecided)).collect();
        assert_eq!(shown, ["x bigint false", "y date false", "z text true"]);
    }

    fn undecided(name: &str) -> Column {
        Column { undecided: true, ..Column::new(name, name, ColumnType::Text) }
    }
}
