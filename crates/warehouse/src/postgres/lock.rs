//! The right to run: an advisory lock of a session of its own, which ends with the process that holds it.
//!
//! What the holder is doing stands in the last statement of that session, where the server shows it to the same role and to those who may
//! see the statements of others.

use serde::{Deserialize, Serialize};
use thalweg_postgres::Session;

use super::error::of_statement;
use super::{PostgresWarehouse, connect};
use crate::contract::{RunLock, WarehouseError, WarehouseErrorKind};

/// What sessions that hold the lock are called at the server, before who holds it.
const APPLICATION: &str = "thalweg lock";

/// What the last statement of a holder begins with.
const MARK: &str = "-- thalweg holder ";

/// What the holder says of itself. For people only: the lock is what counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Holder {
    process: u32,
    host: String,
    holder: String,
    project: String,
    target: String,
    since: jiff::Timestamp,
    doing: String,
}

pub(super) struct PostgresLock {
    /// `None` where it is lost.
    session: Option<Session>,
    holder: Holder,
    warehouse: PostgresWarehouse,
}

pub(super) fn take(warehouse: &PostgresWarehouse, project: &str, holder: &str) -> Result<PostgresLock, WarehouseError> {
    let session = locked(warehouse, project)?;
    let holder = Holder {
        process: std::process::id(),
        host: host(),
        holder: holder.to_owned(),
        project: project.to_owned(),
        target: warehouse.target.clone(),
        since: jiff::Timestamp::now(),
        doing: "starting".to_owned(),
    };
    let mut lock = PostgresLock { session: Some(session), holder, warehouse: warehouse.clone() };
    lock.tell()?;
    Ok(lock)
}

/// A session that has the lock.
fn locked(warehouse: &PostgresWarehouse, project: &str) -> Result<Session, WarehouseError> {
    let mut session = connect::session(warehouse, APPLICATION)?;
    let key = key(project, &warehouse.schema_prefix);
    let failed = |error: thalweg_postgres::PostgresError| of_statement(&error, None);
    let answer = session.ask(&format!("select pg_catalog.pg_try_advisory_lock({key})")).map_err(failed)?;
    let is_ours = answer.into_iter().flatten().flatten().any(|value| value == "t");
    if !is_ours {
        // The key of a lock of 64 bits is shown in two halves.
        let asked = format!(
            "select a.query, a.application_name, a.pid from pg_catalog.pg_locks l \
             left join pg_catalog.pg_stat_activity a on a.pid = l.pid \
             where l.locktype = 'advisory' and l.granted and l.objsubid = 1 \
             and l.database = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()) \
             and l.classid = {}::oid and l.objid = {}::oid",
            (key.cast_unsigned() >> 32) as u32,
            (key.cast_unsigned() & 0xffff_ffff) as u32
        );
        let row = session.ask(&asked).map_err(failed)?.into_iter().next().unwrap_or_default();
        let text = row.first().cloned().flatten().unwrap_or_default();
        let process = row.get(2).cloned().flatten();
        return Err(WarehouseError::new(
            WarehouseErrorKind::Busy,
            format!(
                "`{}` is busy: {} is running; wait for it to end, or stop it",
                session.place(),
                sentence(&text, process.as_deref())
            ),
        ));
    }
    Ok(session)
}

impl PostgresLock {
    fn tell(&mut self) -> Result<(), WarehouseError> {
        let text = serde_json::to_string(&self.holder).unwrap_or_default();
        let Some(session) = &mut self.session else {
            return Err(WarehouseError::new(WarehouseErrorKind::Lost, "the lock is lost with its connection"));
        };
        let told = session.run(&format!("{MARK}{text}\nselect 1"));
        told.map_err(|error| of_statement(&error, None))
    }
}

impl RunLock for PostgresLock {
    fn describe(&mut self, what: &str) -> Result<(), WarehouseError> {
        self.holder.doing = what.to_owned();
        self.tell()
    }

    fn keep(&mut self) -> Result<(), WarehouseError> {
        if self.tell().is_ok() {
            return Ok(());
        }
        // Before another one asks for it: where the server has not noticed yet that this one is gone, it has it still.
        self.session = None;
        self.session = Some(locked(&self.warehouse, &self.holder.project)?);
        self.tell()
    }
}

impl Drop for PostgresLock {
    /// Gives it up before the session ends, which the server notices a little later: who comes next would find it held.
    fn drop(&mut self) {
        let key = key(&self.holder.project, &self.warehouse.schema_prefix);
        if let Some(session) = self.session.as_mut().filter(|session| !session.is_closed()) {
            let _ = session.run(&format!("select pg_catalog.pg_advisory_unlock({key})"));
        }
    }
}

/// `run 12 of project orders (target prod), process 4711 on host x, since 10:31 UTC (extracting),`
fn sentence(query: &str, session: Option<&str>) -> String {
    let told = query.strip_prefix(MARK).and_then(|rest| rest.lines().next());
    match told.and_then(|line| serde_json::from_str::<Holder>(line).ok()) {
        Some(holder) => format!(
            "{} of project {} (target {}), process {} on host {}, since {} UTC ({}),",
            holder.holder,
            holder.project,
            holder.target,
            holder.process,
            holder.host,
            holder.since.strftime("%Y-%m-%d %H:%M"),
            holder.doing
        ),
        None => match session {
            Some(session) => format!("another run (server process {session})"),
            None => "another run".to_owned(),
        },
    }
}

/// The key of a project and a schema prefix: FNV-1a, which stays the same for ever.
fn key(project: &str, schema_prefix: &str) -> i64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in ["thalweg", project, schema_prefix].join("\0").bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash.cast_signed()
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_else(|| "unknown".to_owned())
}
