//! `timezone(zone, timestamp)`: what `timestamp AT TIME ZONE zone` means, as in Postgres.

use std::error::Error;
use std::sync::Arc;

use arrow::array::{Array, AsArray, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use duckdb::core::{DataChunkHandle, LogicalTypeHandle, LogicalTypeId};
use duckdb::vscalar::{ScalarFunctionSignature, VScalar};
use duckdb::vtab::arrow::{WritableVector, data_chunk_to_arrow, write_arrow_array_to_vector};
use thalweg_enrich::Zone;
use thalweg_enrich::time_zone::TimestampOutOfRange;

/// A local time without a zone as a moment.
pub(super) struct ToUtc;

/// A moment as a local time without a zone.
pub(super) struct FromUtc;

impl VScalar for ToUtc {
    type State = ();

    fn invoke((): &(), input: &mut DataChunkHandle, output: &mut dyn WritableVector) -> Result<(), Box<dyn Error>> {
        let moments = convert(input, Zone::to_utc)?.with_timezone("UTC");
        write_arrow_array_to_vector(&(Arc::new(moments) as Arc<dyn Array>), output)
    }

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![signature(LogicalTypeId::Timestamp, LogicalTypeId::TimestampTZ)]
    }
}

impl VScalar for FromUtc {
    type State = ();

    fn invoke((): &(), input: &mut DataChunkHandle, output: &mut dyn WritableVector) -> Result<(), Box<dyn Error>> {
        let times = convert(input, Zone::from_utc)?;
        write_arrow_array_to_vector(&(Arc::new(times) as Arc<dyn Array>), output)
    }

    fn signatures() -> Vec<ScalarFunctionSignature> {
        // A day begins at midnight UTC, as in Postgres where a session's zone is UTC.
        vec![
            signature(LogicalTypeId::TimestampTZ, LogicalTypeId::Timestamp),
            signature(LogicalTypeId::Date, LogicalTypeId::Timestamp),
        ]
    }
}

fn signature(from: LogicalTypeId, to: LogicalTypeId) -> ScalarFunctionSignature {
    ScalarFunctionSignature::exact(
        vec![LogicalTypeHandle::from(LogicalTypeId::Varchar), LogicalTypeHandle::from(from)],
        LogicalTypeHandle::from(to),
    )
}

fn convert(
    input: &DataChunkHandle,
    conversion: fn(&Zone, i64) -> Result<i64, TimestampOutOfRange>,
) -> Result<TimestampMicrosecondArray, Box<dyn Error>> {
    let batch = data_chunk_to_arrow(input)?;
    let zones = batch.column(0).as_any().downcast_ref::<StringArray>();
    let Some(zones) = zones else { return Err("the name of a time zone is a text".into()) };
    let times = arrow::compute::cast(batch.column(1), &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    let times = times.as_primitive::<TimestampMicrosecondType>();
    // The zone is nearly always the same in every row.
    let mut last: Option<(&str, Zone)> = None;
    let mut converted = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        if zones.is_null(row) || times.is_null(row) {
            converted.push(None);
            continue;
        }
        let name = zones.value(row);
        let zone = match last.take() {
            Some((known, zone)) if known == name => zone,
            _ => Zone::named(name)?,
        };
        converted.push(Some(conversion(&zone, times.value(row))?));
        last = Some((name, zone));
    }
    Ok(TimestampMicrosecondArray::from(converted))
}
