//! Intervals of the engine, which its binding does not hand on as Arrow.

use duckdb::core::{DataChunkHandle, LogicalTypeId};

/// As the engine keeps it.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Interval {
    pub(super) months: i32,
    pub(super) days: i32,
    pub(super) micros: i64,
}

/// A column of intervals.
#[allow(unsafe_code)]
pub(super) fn intervals(input: &DataChunkHandle, index: usize) -> Vec<Option<Interval>> {
    let vector = input.flat_vector(index);
    assert!(vector.logical_type().id() == LogicalTypeId::Interval && input.len() <= vector.capacity());
    (0..input.len())
        .map(|row| {
            // SAFETY: the engine flattens what it gives to a function of its C interface, so the vector holds at least as many values
            // as the chunk has rows. That they are intervals was asked for above; `Interval` is laid out as `duckdb_interval` is, and
            // a row that is not null has been written.
            (!vector.row_is_null(row as u64)).then(|| unsafe { vector.as_mut_ptr::<Interval>().add(row).read() })
        })
        .collect()
}
