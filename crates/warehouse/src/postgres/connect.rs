//! Opening a session, and making it the same whatever server, database and role have as their defaults.

use std::time::{Duration, Instant};

use thalweg_postgres::Session;

use super::PostgresWarehouse;
use super::error::{of_opening, of_statement};
use super::transaction::PostgresConnection;
use crate::contract::{Access, Wait, WarehouseError, WarehouseErrorKind};

/// What sessions of runs are called at the server.
pub(super) const APPLICATION: &str = "thalweg";

/// How often a server that has no room, or starts, is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Every value has one text; no limit ends a session that waits while files are read; plans are not compiled, which takes longer than it
/// saves for most statements of a refresh; what a machine that is gone holds, it holds no longer than a minute.
const SESSION: &str = "set search_path = pg_catalog;\
    set timezone = 'UTC';\
    set datestyle = 'ISO, YMD';\
    set intervalstyle = 'postgres';\
    set extra_float_digits = 3;\
    set bytea_output = 'hex';\
    set xmloption = 'content';\
    set standard_conforming_strings = on;\
    set client_min_messages = error;\
    set default_transaction_isolation = 'read committed';\
    set default_transaction_deferrable = off;\
    set default_statistics_target = 20;\
    set statement_timeout = 0;\
    set tcp_keepalives_idle = 30; set tcp_keepalives_interval = 10; set tcp_keepalives_count = 3;";

/// Limits that not every version has.
const LIMITS: &str = "select pg_catalog.set_config(name, case name when 'jit' then 'off' else '0' end, false) from pg_catalog.pg_settings \
    where name in ('idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout', 'jit')";

/// Opens a session with the settings of the warehouse, acting as its role.
pub(super) fn session(warehouse: &PostgresWarehouse, application: &str) -> Result<Session, WarehouseError> {
    let mut session = Session::open(&warehouse.connection.settings, &warehouse.encryption, application)
        .map_err(|failed| of_opening(&failed))?;
    let mut own = format!("{SESSION} set lock_timeout = {}; {LIMITS}", warehouse.connection.lock_timeout.as_millis());
    if let Some(role) = &warehouse.connection.role {
        own.push_str(&format!("; set role \"{}\"", role.replace('"', "\"\"")));
    }
    session.run(&own).map_err(|failed| {
        let mut told = of_statement(&failed, None);
        if let Some(role) = &warehouse.connection.role {
            told.message.push_str(&format!(
                "; the session acts as role `{role}`: grant it to `{}`",
                warehouse.connection.settings.user
            ));
        }
        told
    })?;
    Ok(session)
}

pub(super) fn connect(
    warehouse: &PostgresWarehouse,
    access: Access,
    wait: &Wait<'_>,
) -> Result<PostgresConnection, WarehouseError> {
    let started = Instant::now();
    let (mut pause, mut told) = (FIRST_PAUSE, false);
    let mut session = loop {
        let error = match session(warehouse, APPLICATION) {
            Ok(session) => break session,
            Err(error) => error,
        };
        let left = wait.timeout.saturating_sub(started.elapsed());
        if left.is_zero() || error.kind != WarehouseErrorKind::Locked {
            return Err(error);
        }
        if !told {
            told = true;
            (wait.tell)(&format!("waiting: {}", error.message));
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(LONGEST_PAUSE);
    };
    if access == Access::Read {
        session.run("set default_transaction_read_only = on").map_err(|failed| of_statement(&failed, None))?;
    }
    Ok(PostgresConnection::new(session, access, warehouse.folders.clone()))
}
