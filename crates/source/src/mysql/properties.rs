//! Properties of decoding: whatever a server sends, nothing panics, and what fits comes out as it was.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Decimal128Type, Int64Type};
use proptest::prelude::*;
use thalweg_project::ColumnType;

use super::column_types::Kind;
use super::decode::Decoder;
use super::session::WireColumn;
use super::value::{Moment, Value, take_value, write_text};
use crate::database::SourceColumn;

fn column(engine_type: &str, column_type: ColumnType) -> SourceColumn {
    SourceColumn {
        name: "v".to_owned(),
        engine_type: engine_type.to_owned(),
        column_type,
        nullable: true,
        comment: None,
    }
}

fn wire(code: u8) -> WireColumn {
    WireColumn { code, unsigned: false, bytes: false, decimals: 6 }
}

/// A row of one value.
fn row(value: &[u8]) -> Vec<u8> {
    let mut row = vec![0, 0];
    row.extend_from_slice(value);
    row
}

fn with_length(bytes: &[u8]) -> Vec<u8> {
    let mut all = vec![u8::try_from(bytes.len()).unwrap()];
    all.extend_from_slice(bytes);
    all
}

proptest! {
    /// A row of any bytes is decoded or refused.
    #[test]
    fn any_bytes_are_decoded_or_refused(
        codes in prop::collection::vec(any::<u8>(), 1..5),
        bytes in prop::collection::vec(any::<u8>(), 0..60),
        types in prop::collection::vec(0usize..10, 5),
    ) {
        let known = ["boolean", "smallint", "bigint", "decimal(20,3)", "real", "double", "date", "timestamp", "text", "blob"];
        let columns: Vec<SourceColumn> =
            codes.iter().zip(&types).map(|(_, at)| column("int", known[*at].parse().unwrap())).collect();
        let wire: Vec<WireColumn> = codes.iter().map(|code| wire(*code)).collect();
        if let Ok(mut decoder) = Decoder::new(&columns, &wire)
            && decoder.append(&bytes).is_ok()
        {
            let rows = decoder.take().unwrap().unwrap();
            prop_assert_eq!(rows.batch.num_rows(), 1);
            for misfit in rows.misfits {
                prop_assert!(rows.batch.column(misfit.column).is_null(0));
            }
        }
    }

    /// Any type's name, or what looks like one, has a natural type.
    #[test]
    fn any_name_has_a_type(name in "[a-z]{0,8}(\\([0-9,']{0,6}\\)?)?[ a-z]{0,20}") {
        let kind = Kind::parse(&name);
        prop_assert!(kind.can_be(&kind.natural()) && kind.can_be(&ColumnType::Text));
    }

    /// A decimal number is kept digit by digit, or does not fit because it has too many.
    #[test]
    fn decimals_are_exact(negative in any::<bool>(), whole in 0u64..=u64::MAX, behind in 0u64..1_000_000, precision in 6u8..=38) {
        let text = format!("{}{whole}.{behind:06}", if negative { "-" } else { "" });
        let mut decoder = Decoder::new(&[column("decimal", ColumnType::Decimal(precision, 6))], &[wire(246)]).unwrap();
        decoder.append(&row(&with_length(text.as_bytes()))).unwrap();
        let rows = decoder.take().unwrap().unwrap();
        let number = i128::from(whole) * 1_000_000 + i128::from(behind);
        if number < 10i128.pow(u32::from(precision)) {
            let found = rows.batch.column(0).as_primitive::<Decimal128Type>().value(0);
            prop_assert_eq!(found, if negative { -number } else { number });
        } else {
            prop_assert_eq!(&rows.misfits[0].raw, &text);
        }
    }

    /// Integers of every width are what they were.
    #[test]
    fn integers_are_exact(number in any::<i64>(), code in prop::sample::select(vec![1u8, 2, 3, 8])) {
        let width = match code { 1 => 1, 2 => 2, 3 => 4, _ => 8 };
        let mut decoder = Decoder::new(&[column("bigint", ColumnType::BigInt)], &[wire(code)]).unwrap();
        decoder.append(&row(&number.to_le_bytes()[..width])).unwrap();
        let rows = decoder.take().unwrap().unwrap();
        let kept = match code { 1 => i64::from(number as i8), 2 => i64::from(number as i16), 3 => i64::from(number as i32), _ => number };
        prop_assert_eq!(rows.batch.column(0).as_primitive::<Int64Type>().value(0), kept);
    }

    /// A day is in the calendar exactly when the crate for time says so, and has its number.
    #[test]
    fn days_are_those_of_the_calendar(year in 0i16..=9999, month in 0i8..=13, day in 0i8..=32) {
        let moment = Moment {
            year: year.unsigned_abs(), month: month.unsigned_abs(), day: day.unsigned_abs(), ..Moment::default()
        };
        let expected = jiff::civil::Date::new(year, month, day).ok().map(|date| {
            let epoch = jiff::civil::date(1970, 1, 1);
            epoch.until((jiff::Unit::Day, date)).unwrap().get_days()
        });
        prop_assert_eq!(moment.days(), expected);
    }

    /// What is shown of a value is never empty, but for an empty text.
    #[test]
    fn every_value_can_be_shown(code in any::<u8>(), bytes in prop::collection::vec(any::<u8>(), 1..40), decimals in any::<u8>()) {
        let mut rest = bytes.as_slice();
        if let Some(value) = take_value(wire(code), &mut rest) {
            let mut text = String::new();
            write_text(value, decimals, &mut text);
            let empty = matches!(value, Value::Bytes([]) | Value::Digits([]) | Value::Geometry([]));
            prop_assert_eq!(text.is_empty(), empty);
        }
    }
}
