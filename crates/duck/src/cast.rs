//! Opening a database with the casts of `TIMESTAMP WITH TIME ZONE` that the engine keeps in its ICU extension.
//!
//! The engine's binding has no word for casts, so its C interface is spoken to here: the database is opened, the casts are
//! registered on a connection of its own, and the database is handed to the binding. The session's zone is UTC, so that the date and
//! the time of a moment are those of the same `TIMESTAMP`.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::path::Path;
use std::ptr;

use duckdb::ffi;

use crate::error::{EngineError, ErrorKind};

/// A database that the binding does not close: it is closed when this is dropped, or with the last connection that outlives it.
pub(crate) struct Database {
    raw: ffi::duckdb_database,
}

// SAFETY: the handle is a pointer to a database that the engine guards for use by several threads; nothing can be done with it by
// reference, and it is closed once, by whatever thread drops it.
unsafe impl Send for Database {}
// SAFETY: as above.
unsafe impl Sync for Database {}

impl Drop for Database {
    fn drop(&mut self) {
        // SAFETY: it was opened by `open` and is closed nowhere else; the engine keeps what open connections need.
        unsafe { ffi::duckdb_close(&raw mut self.raw) };
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Database")
    }
}

/// Opens a file, or a database in memory, with settings, and a first connection to it.
pub(crate) fn open(
    path: Option<&Path>,
    settings: &[(&str, &str)],
) -> Result<(Database, duckdb::Connection), EngineError> {
    let path = match path {
        None => ":memory:",
        Some(path) => path.to_str().ok_or_else(|| {
            let message =
                format!("the path `{}` is not UTF-8, which the engine cannot open: rename it", path.display());
            EngineError::new(ErrorKind::File, message)
        })?,
    };
    let path = c_string(path)?;
    let mut configuration = Configuration(ptr::null_mut());
    for (name, value) in settings {
        configuration.set(name, value)?;
    }
    let mut database = Database { raw: ptr::null_mut() };
    let mut message = ptr::null_mut();
    // SAFETY: the texts end with NUL and live until the call returns; the engine writes to both places. A message is the engine's and
    // is given back to it below.
    let state =
        unsafe { ffi::duckdb_open_ext(path.as_ptr(), &raw mut database.raw, configuration.0, &raw mut message) };
    if state != ffi::DuckDBSuccess {
        let text = if message.is_null() {
            "the database cannot be opened".to_owned()
        } else {
            // SAFETY: the engine wrote a text that ends with NUL; it is copied before it is freed.
            unsafe {
                let text = CStr::from_ptr(message).to_string_lossy().into_owned();
                ffi::duckdb_free(message.cast());
                text
            }
        };
        return Err(duckdb::Error::DuckDBFailure(ffi::Error::new(state), Some(text)).into());
    }
    register(&database)?;
    // SAFETY: the database is open, and stays so at least as long as the connection by the engine's own counting.
    let connection = unsafe { duckdb::Connection::open_from_raw(database.raw) }?;
    Ok((database, connection))
}

fn c_string(text: &str) -> Result<CString, EngineError> {
    CString::new(text).map_err(|_| EngineError::new(ErrorKind::File, "the name of a database holds a NUL character"))
}

/// Settings that a database is opened with.
struct Configuration(ffi::duckdb_config);

impl Configuration {
    fn set(&mut self, name: &str, value: &str) -> Result<(), EngineError> {
        let (c_name, c_value) = (c_string(name)?, c_string(value)?);
        // SAFETY: the configuration is made once, before its first use; the texts end with NUL and are copied by the engine.
        let state = unsafe {
            if self.0.is_null() && ffi::duckdb_create_config(&raw mut self.0) != ffi::DuckDBSuccess {
                return Err(EngineError::new(ErrorKind::Statement, "there is no memory for the engine's settings"));
            }
            ffi::duckdb_set_config(self.0, c_name.as_ptr(), c_value.as_ptr())
        };
        if state == ffi::DuckDBSuccess {
            return Ok(());
        }
        Err(EngineError::new(ErrorKind::Statement, format!("the engine does not take the setting {name} = {value}")))
    }
}

impl Drop for Configuration {
    fn drop(&mut self) {
        // SAFETY: made by `duckdb_create_config` or null, which the engine takes too; dropped once.
        unsafe { ffi::duckdb_destroy_config(&raw mut self.0) };
    }
}

fn register(database: &Database) -> Result<(), EngineError> {
    let casts =
        [(ffi::DUCKDB_TYPE_DUCKDB_TYPE_DATE, to_date as Cast), (ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIME, to_time as Cast)];
    // SAFETY: every object is made, used and destroyed here, in the order that the C interface asks for; the engine copies the
    // function's definition when it is registered.
    unsafe {
        let mut connection = ptr::null_mut();
        if ffi::duckdb_connect(database.raw, &raw mut connection) != ffi::DuckDBSuccess {
            return Err(EngineError::new(ErrorKind::Statement, "the engine opens no connection"));
        }
        let mut registered = true;
        for (target, function) in casts {
            let mut from = ffi::duckdb_create_logical_type(ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_TZ);
            let mut to = ffi::duckdb_create_logical_type(target);
            let mut cast = ffi::duckdb_create_cast_function();
            ffi::duckdb_cast_function_set_source_type(cast, from);
            ffi::duckdb_cast_function_set_target_type(cast, to);
            ffi::duckdb_cast_function_set_function(cast, Some(function));
            registered &= ffi::duckdb_register_cast_function(connection, cast) == ffi::DuckDBSuccess;
            ffi::duckdb_destroy_cast_function(&raw mut cast);
            ffi::duckdb_destroy_logical_type(&raw mut from);
            ffi::duckdb_destroy_logical_type(&raw mut to);
        }
        ffi::duckdb_disconnect(&raw mut connection);
        if registered {
            return Ok(());
        }
    }
    Err(EngineError::new(ErrorKind::Statement, "the engine does not take a cast"))
}

type Cast = unsafe extern "C" fn(ffi::duckdb_function_info, ffi::idx_t, ffi::duckdb_vector, ffi::duckdb_vector) -> bool;

unsafe extern "C" fn to_date(
    _: ffi::duckdb_function_info,
    count: ffi::idx_t,
    input: ffi::duckdb_vector,
    output: ffi::duckdb_vector,
) -> bool {
    // SAFETY: the engine calls it with a flat vector of moments and one for dates, of `count` rows each.
    unsafe { convert::<i32>(count, input, output, date) };
    true
}

unsafe extern "C" fn to_time(
    _: ffi::duckdb_function_info,
    count: ffi::idx_t,
    input: ffi::duckdb_vector,
    output: ffi::duckdb_vector,
) -> bool {
    // SAFETY: the engine calls it with a flat vector of moments and one for times, of `count` rows each.
    unsafe { convert::<i64>(count, input, output, time) };
    true
}

/// # Safety
///
/// Both vectors must be flat, of at least `count` rows, the first of 64-bit integers, the second of `T`.
unsafe fn convert<T>(
    count: ffi::idx_t,
    input: ffi::duckdb_vector,
    output: ffi::duckdb_vector,
    convert: fn(i64) -> Option<T>,
) {
    let Ok(rows) = usize::try_from(count) else { return };
    // SAFETY: as the caller promises; a validity mask that is null means that every row is valid, and the output's is there once it was
    // made writable.
    unsafe {
        let moments = ffi::duckdb_vector_get_data(input).cast::<i64>();
        let converted = ffi::duckdb_vector_get_data(output).cast::<T>();
        let valid = ffi::duckdb_vector_get_validity(input);
        ffi::duckdb_vector_ensure_validity_writable(output);
        let written = ffi::duckdb_vector_get_validity(output);
        for row in 0..rows {
            let is_valid = valid.is_null() || ffi::duckdb_validity_row_is_valid(valid, row as ffi::idx_t);
            match is_valid.then(|| moments.add(row).read()).and_then(convert) {
                Some(value) => converted.add(row).write(value),
                None => ffi::duckdb_validity_set_row_invalid(written, row as ffi::idx_t),
            }
        }
    }
}

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// Days since 1970 of a moment. The engine's infinities are those of its dates.
fn date(moment: i64) -> Option<i32> {
    match moment {
        i64::MAX => Some(i32::MAX),
        moment if moment == -i64::MAX => Some(-i32::MAX),
        moment => i32::try_from(moment.div_euclid(DAY)).ok(),
    }
}

/// Microseconds since midnight; an infinite moment has none.
fn time(moment: i64) -> Option<i64> {
    (moment.unsigned_abs() != i64::MAX.unsigned_abs()).then(|| moment.rem_euclid(DAY))
}
