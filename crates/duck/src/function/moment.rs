//! What the engine can do with `TIMESTAMP WITH TIME ZONE` only by an extension that is not part of this program.
//!
//! The session's zone is UTC, so the answer is that of the same `TIMESTAMP`. Most of these signatures stand in the engine already, with
//! an error in place of a function, so that taking them over changes nothing for other types.

use std::error::Error;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Float64Array, Int64Array, IntervalMonthDayNanoArray, PrimitiveArray,
    StringArray, TimestampMicrosecondArray,
};
use arrow::compute::{DatePart, date_part};
use arrow::datatypes::{Int32Type, IntervalMonthDayNano, TimestampMicrosecondType};
use duckdb::core::{DataChunkHandle, LogicalTypeHandle, LogicalTypeId};
use duckdb::vscalar::{ScalarFunctionSignature, VScalar};
use duckdb::vtab::arrow::{WritableVector, flat_vector_to_arrow_array, write_arrow_array_to_vector};

use super::calendar::{self, Unit};
use super::interval::intervals;
use crate::error::EngineError;

type Outcome = Result<(), Box<dyn Error>>;

const MOMENT: LogicalTypeId = LogicalTypeId::TimestampTZ;
const TOO_FAR: &str = "the time lies too far away for a timestamp";

pub(super) fn register(root: &duckdb::Connection) -> Result<(), EngineError> {
    root.register_scalar_function::<Plus>("+")?;
    root.register_scalar_function::<Minus>("-")?;
    root.register_scalar_function::<Between>("-")?;
    for name in ["date_trunc", "datetrunc"] {
        root.register_scalar_function::<Truncated>(name)?;
    }
    for name in ["date_diff", "datediff"] {
        root.register_scalar_function::<Boundaries>(name)?;
    }
    for name in ["date_part", "datepart"] {
        root.register_scalar_function::<AnyField>(name)?;
    }
    for field in FIELDS {
        root.register_scalar_function_with_state::<OneField>(field.0, &field.1)?;
    }
    root.register_scalar_function::<Epoch>("epoch")?;
    root.register_scalar_function::<LastDay>("last_day")?;
    for (name, names) in [("monthname", &MONTHS[..]), ("dayname", &WEEKDAYS[..])] {
        root.register_scalar_function_with_state::<Named>(name, &names)?;
    }
    Ok(())
}

/// `moment + interval`, either way round.
struct Plus;

impl VScalar for Plus {
    type State = ();

    fn invoke((): &(), input: &mut DataChunkHandle, output: &mut dyn WritableVector) -> Outcome {
        let first = input.flat_vector(0).logical_type().id() == MOMENT;
        let (at, by) = if first { (0, 1) } else { (1, 0) };
        shift(input, at, by, 1, output)
    }

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![
            signature(&[MOMENT, LogicalTypeId::Interval], MOMENT),
            signature(&[LogicalTypeId::Interval, MOMENT], MOMENT),
        ]
    }
}

/// `moment - interval`
struct Minus;

impl VScalar for Minus {
    type State = ();

    fn invoke((): &(), input: &mut DataChunkHandle, output: &mut dyn WritableVector) -> Outcome {
        shift(input, 0, 1, -1, output)
    }

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![signature(&[MOMENT, LogicalTypeId::Interval], MOMENT)]
    }
}

/// `moment - moment`, in days and the rest, as in Postgres.
struct Between;

impl VScalar for Between {
    type State = ();

    fn invoke((): &(), input: &mut DataChunkHandle, output: &mut dyn WritableVector) -> Outcome {
        let (ends, starts) = (moments(input, 0)?, moments(input, 1)?);
        let answers = ends.iter().zip(&starts).map(|pair| {
            let (Some(end), Some(start)) = pair else { return Ok(None) };
            let difference =
                end.checked_sub(start).filter(|_| !calendar::is_infinite(end) && !calendar::is_infinite(start));
            let difference = difference.ok_or(TOO_FAR)?;
            let days = i32::try_from(difference / calendar::DAY).map_err(|_| TOO_FAR)?;
            Ok(Some(IntervalMonthDayNano::new(0, days, difference % calendar::DAY * 1_000)))
        });
        write(Arc::new(answers.collect::<Result<IntervalMonthDayNanoArray, &str>>()?), output)
    }

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![signature(&[MOMENT, MOMENT], LogicalTypeId::Interval)]
    }
}

/// `date_trunc(unit, moment)`
struct Truncated;

impl VScalar for Truncated {
    type State = ();

    fn invoke((): &(), input: &mut DataChunkHandle, output: &mut dyn WritableVector) -> Outcome {
        let (units, moments) = (texts(input)?, moments(input, 1)?);
        let answers = units.iter().zip(&moments).map(|pair| {
            let (Some(unit), Some(us)) = pair else { return Ok(None) };
            Ok(Some(unit_named(unit)?.start(us).ok_or(TOO_FAR)?))
        });
        write_moments(answers.collect::<Result<TimestampMicrosecondArray, Box<dyn Error>>>()?, output)
    }

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![signature(&[LogicalTypeId::Varchar, MOMENT], MOMENT)]
    }
}

/// `date_diff(unit, from, to)`
struct Boundaries;

impl VScalar for Boundaries {
    type State = ();

    fn invoke((): &(), input: &mut DataChunkHandle, output: &mut dyn WritableVector) -> Outcome {
        let (units, from, to) = (texts(input)?, moments(input, 1)?, moments(input, 2)?);
        let answers = units.iter().zip(&from).zip(&to).map(|row| {
            let ((Some(unit), Some(from)), Some(to)) = row else { return Ok(None) };
            Ok(unit_named(unit)?.boundaries(from, to))
        });
        write(Arc::new(answers.collect::<Result<Int64Array, Box<dyn Error>>>()?), output)
    }

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![signature(&[LogicalTypeId::Varchar, MOMENT, MOMENT], LogicalTypeId::Bigint)]
    }
}

/// A number that a moment has.
#[derive(Debug, Clone, Copy)]
enum Field {
    /// By the calendar, which is told to start.
    Part(DatePart),
    /// What the year and another number make.
    Decade,
    Century,
    Millennium,
    Era,
    IsoWeekday,
    YearWeek,
    Milliseconds,
    Microseconds,
    /// UTC is no hours away from UTC.
    Offset,
}

/// The engine's functions; `date_part` knows them under the same names.
const FIELDS: &[(&str, Field)] = &[
    ("year", Field::Part(DatePart::Year)),
    ("isoyear", Field::Part(DatePart::YearISO)),
    ("quarter", Field::Part(DatePart::Quarter)),
    ("month", Field::Part(DatePart::Month)),
    ("week", Field::Part(DatePart::WeekISO)),
    ("weekofyear", Field::Part(DatePart::WeekISO)),
    ("day", Field::Part(DatePart::Day)),
    ("dayofmonth", Field::Part(DatePart::Day)),
    ("dayofweek", Field::Part(DatePart::DayOfWeekSunday0)),
    ("weekday", Field::Part(DatePart::DayOfWeekSunday0)),
    ("dayofyear", Field::Part(DatePart::DayOfYear)),
    ("hour", Field::Part(DatePart::Hour)),
    ("minute", Field::Part(DatePart::Minute)),
    ("second", Field::Part(DatePart::Second)),
    ("millisecond", Field::Milliseconds),
    ("microsecond", Field::Microseconds),
    ("decade", Field::Decade),
    ("century", Field::Century),
    ("millennium", Field::Millennium),
    ("era", Field::Era),
    ("isodow", Field::IsoWeekday),
    ("yearweek", Field::YearWeek),
    ("timezone_hour", Field::Offset),
    ("timezone_minute", Field::Offset),
];

impl Field {
    fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let name = match name.as_str() {
            "dow" => "dayofweek",
            "doy" => "dayofyear",
            "timezone" => "timezone_hour",
            // The same in the singular.
            _ => match Unit::named(&name) {
                Some(Unit::Fixed(1)) => "microsecond",
                Some(Unit::Fixed(1_000)) => "millisecond",
                Some(Unit::Fixed(1_000_000)) => "second",
                Some(Unit::Fixed(60_000_000)) => "minute",
                Some(Unit::Fixed(_)) => "hour",
                Some(Unit::Day) => "day",
                Some(Unit::Week) => "week",
                Some(Unit::Months(1)) => "month",
                Some(Unit::Months(_)) => "quarter",
                Some(Unit::Years(1)) => "year",
                Some(Unit::Years(10)) => "decade",
                Some(Unit::Years(100)) => "century",
                Some(Unit::Years(_)) => "millennium",
                None => &name,
            },
        };
        FIELDS.iter().find(|field| field.0 == name).map(|field| field.1)
    }

    fn of(self, moments: &TimestampMicrosecondArray) -> Result<Int64Array, Box<dyn Error>> {
        // Infinity has no parts.
        let finite: TimestampMicrosecondArray =
            moments.iter().map(|us| us.filter(|us| !calendar::is_infinite(*us))).collect();
        let part = |part: DatePart| -> Result<PrimitiveArray<Int32Type>, Box<dyn Error>> {
            Ok(date_part(&finite, part)?.as_primitive::<Int32Type>().clone())
        };
        let year = |answer: fn(i64) -> i64| -> Result<Int64Array, Box<dyn Error>> {
            Ok(part(DatePart::Year)?.unary(|year| answer(i64::from(year))))
        };
        const MINUTE: i64 = 60_000_000;
        match self {
            Self::Part(name) => Ok(part(name)?.unary(i64::from)),
            Self::Decade => year(|year| year / 10),
            Self::Century => year(|year| if year > 0 { (year - 1) / 100 + 1 } else { year / 100 - 1 }),
            Self::Millennium => year(|year| if year > 0 { (year - 1) / 1_000 + 1 } else { year / 1_000 - 1 }),
            Self::Era => year(|year| i64::from(year > 0)),
            Self::IsoWeekday => Ok(part(DatePart::DayOfWeekMonday0)?.unary(|day| i64::from(day) + 1)),
            Self::YearWeek => {
                let (years, weeks) = (part(DatePart::YearISO)?, part(DatePart::WeekISO)?);
                let join =
                    |year: i32, week: i32| i64::from(year) * 100 + i64::from(if year > 0 { week } else { -week });
                Ok(years.iter().zip(&weeks).map(|pair| Some(join(pair.0?, pair.1?))).collect())
            }
            Self::Milliseconds => Ok(finite.unary(|us| us.rem_euclid(MINUTE) / 1_000)),
            Self::Microseconds => Ok(finite.unary(|us| us.rem_euclid(MINUTE))),
            Self::Offset => Ok(finite.unary(|_| 0)),
        }
    }
}

/// `year(moment)`
struct OneField;

impl VScalar for OneField {
    type State = Field;

    fn invoke(field: &Field, input: &mut DataChunkHandle, output: &mut dyn WritableVector) -> Outcome {
        write(Arc::new(field.of(&moments(input, 0)?)?), output)
    }

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![signature(&[MOMENT], LogicalTypeId::Bigint)]
    }
}

/// `date_part(field, moment)`, which is also `extract(field from moment)`.
///
/// The engine puts `year(moment)` in the place of `date_part('year', moment)` without asking for its type, so this one has to answer
/// with the same. That leaves out the one field that is not whole, `epoch`: cut off it would be another value than in Postgres.
struct AnyField;

impl VScalar for AnyField {
    type State = ();

    fn invoke((): &(), input: &mut DataChunkHandle, output: &mut dyn WritableVector) -> Outcome {
        let (names, moments) = (texts(input)?, moments(input, 1)?);
        let mut answers: Vec<Option<i64>> = Vec::with_capacity(moments.len());
        // The field is nearly always the same in every row: those that follow each other are asked together.
        while answers.len() < moments.len() {
            let start = answers.len();
            let name = |row: usize| names.is_valid(row).then(|| names.value(row));
            let same = (start..moments.len()).take_while(|row| name(*row) == name(start)).count();
            match name(start) {
                None => answers.extend(std::iter::repeat_n(None, same)),
                Some(name) => {
                    let field = Field::named(name).ok_or_else(|| unknown(name))?;
                    answers.extend(&field.of(&moments.slice(start, same))?);
                }
            }
        }
        write(Arc::new(Int64Array::from(answers)), output)
    }

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![signature(&[LogicalTypeId::Varchar, MOMENT], LogicalTypeId::Bigint)]
    }
}

/// `epoch(moment)`
struct Epoch;

impl VScalar for Epoch {
    type State = ();

    fn invoke((): &(), input: &mut DataChunkHandle, output: &mut dyn WritableVector) -> Outcome {
        write(Arc::new(epoch(&moments(input, 0)?)), output)
    }

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![signature(&[MOMENT], LogicalTypeId::Double)]
    }
}

/// `last_day(moment)`: of its month.
struct LastDay;

impl VScalar for LastDay {
    type State = ();

    fn invoke((): &(), input: &mut DataChunkHandle, output: &mut dyn WritableVector) -> Outcome {
        let days: Date32Array = moments(input, 0)?.iter().map(|us| calendar::last_day(us?)).collect();
        write(Arc::new(days), output)
    }

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![signature(&[MOMENT], LogicalTypeId::Date)]
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// `monthname(moment)`, `dayname(moment)`
struct Named;

impl VScalar for Named {
    type State = &'static [&'static str];

    fn invoke(names: &Self::State, input: &mut DataChunkHandle, output: &mut dyn WritableVector) -> Outcome {
        let moments = moments(input, 0)?;
        // Months count from 1, days of the week from 0.
        let (part, first) = if names.len() == 12 { (DatePart::Month, 1) } else { (DatePart::DayOfWeekSunday0, 0) };
        let numbers = Field::Part(part).of(&moments)?;
        let name = |number: i64| names.get(usize::try_from(number - first).ok()?).copied();
        let answers: StringArray = numbers.iter().map(|number| name(number?)).collect();
        write(Arc::new(answers), output)
    }

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![signature(&[MOMENT], LogicalTypeId::Varchar)]
    }
}

fn signature(from: &[LogicalTypeId], to: LogicalTypeId) -> ScalarFunctionSignature {
    ScalarFunctionSignature::exact(
        from.iter().map(|id| LogicalTypeHandle::from(*id)).collect(),
        LogicalTypeHandle::from(to),
    )
}

fn shift(input: &DataChunkHandle, at: usize, by: usize, sign: i64, output: &mut dyn WritableVector) -> Outcome {
    let moments = moments(input, at)?;
    let answers = moments.iter().zip(intervals(input, by)).map(|pair| {
        let (Some(us), Some(interval)) = pair else { return Ok(None) };
        let rest = interval.micros.checked_mul(sign).ok_or(TOO_FAR)?;
        let sum = calendar::add(us, sign * i64::from(interval.months), sign * i64::from(interval.days), rest);
        Ok(Some(sum.ok_or(TOO_FAR)?))
    });
    write_moments(answers.collect::<Result<TimestampMicrosecondArray, &str>>()?, output)
}

fn epoch(moments: &TimestampMicrosecondArray) -> Float64Array {
    let seconds = |us: i64| (!calendar::is_infinite(us)).then(|| us as f64 / 1e6);
    moments.iter().map(|us| seconds(us?)).collect()
}

fn unit_named(name: &str) -> Result<Unit, Box<dyn Error>> {
    Unit::named(name).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Box<dyn Error> {
    format!("`{name}` cannot be asked of a time with a time zone here: make a UTC timestamp of it first, `now() AT TIME ZONE 'UTC'`").into()
}

fn texts(input: &DataChunkHandle) -> Result<StringArray, Box<dyn Error>> {
    Ok(flat_vector_to_arrow_array(&input.flat_vector(0), input.len())?.as_string().clone())
}

/// Without their zone: they are UTC.
fn moments(input: &DataChunkHandle, index: usize) -> Result<TimestampMicrosecondArray, Box<dyn Error>> {
    let column = flat_vector_to_arrow_array(&input.flat_vector(index), input.len())?;
    Ok(column.as_primitive::<TimestampMicrosecondType>().clone().with_timezone_opt(None::<&str>))
}

fn write_moments(answers: TimestampMicrosecondArray, output: &mut dyn WritableVector) -> Outcome {
    write(Arc::new(answers.with_timezone("UTC")), output)
}

fn write(answers: ArrayRef, output: &mut dyn WritableVector) -> Outcome {
    write_arrow_array_to_vector(&answers, output)
}
