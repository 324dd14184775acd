//! One snapshot for several connections, and what was certainly committed when it was taken.
//!
//! A change carries the time at which its transaction started, or a later one, and is seen only after that transaction has committed.
//! So everything stamped before the start of the oldest open transaction is there, provided that transaction was looked for *before*
//! the snapshot was taken.
//!
//! * Sessions are read from `pg_stat_activity`; then prepared transactions, in this order, so that none slips through while it is being
//!   prepared. Of a prepared transaction only the time of `PREPARE` is known: it is taken to have started at most
//!   [`PREPARED_AFTER`] earlier.
//! * A session takes the time for `now()` a moment before it shows itself: [`UNSEEN`] is allowed for that.
//! * Sessions that the user may not look into are known by their locks: whether they are in a transaction, though not since when.
//!   We wait [`PATIENCE`] until those transactions have ended: whatever is open then started later. Otherwise rows are found by `xmin`, the
//!   number of the transaction that wrote them, which needs no privilege but a look at the whole table; where there is none, in views
//!   and for rows that are appended, only `lag` protects.
//! * A replica knows nothing of transactions at the primary that have not written yet: the same, from the last commit that has arrived.

use std::time::{Duration, Instant};

use super::PostgresEngine;
use super::connection::{APPLICATION, PostgresConnection, numbers, table_values};
use super::dialect::{PostgresDialect, literal_text};
use super::discover;
use crate::database::{Connection, Dialect, OpenSnapshot, Safety, Table, TableRef};
use crate::{SourceError, SourceErrorKind};

/// How long a session may take from reading the clock to showing its transaction.
pub(super) const UNSEEN: i64 = 1_000_000;
/// How long a transaction may have been open before it was prepared.
pub(super) const PREPARED_AFTER: i64 = 3_600_000_000;
/// How long is waited for transactions of which only the existence is known.
const PATIENCE: Duration = Duration::from_millis(500);
const BETWEEN_LOOKS: Duration = Duration::from_millis(25);

/// Microseconds since 1970 of a timestamp, as text without loss in all versions.
fn micros(of: &str) -> String {
    format!(
        "(extract(epoch from pg_catalog.date_trunc('second', {of}))::pg_catalog.int8 * 1000000 \
         + extract(microseconds from {of})::pg_catalog.int8 % 1000000)"
    )
}

/// The transaction all reads happen in. Nothing before the first query takes its snapshot; locks do not.
const BEGIN: &str = "begin transaction isolation level repeatable read, read only; set local statement_timeout = 0";

pub(super) fn open(
    engine: &PostgresEngine,
    connections: usize,
    tables: &[TableRef],
) -> Result<OpenSnapshot, SourceError> {
    let mut first = engine.connect_session()?;
    let mut looking = engine.connect_session()?;
    first.run(BEGIN)?;
    let refused = hold(&mut first, &mut looking, tables)?;
    let seen = look(&mut looking)?;
    let mark = mark(&mut looking);
    let versions = versions(&mut looking, tables);
    drop(looking);
    // Either statement takes the snapshot.
    let export = if connections > 1 { "pg_catalog.pg_export_snapshot()" } else { "''" };
    let snapshot = match first.query(&format!("select {export}")) {
        Ok(snapshot) => snapshot.into_iter().flatten().flatten().next().unwrap_or_default(),
        // Servers that only resemble Postgres may not have it. The transaction is lost: from the start again, with one connection.
        Err(error) if connections > 1 && error.kind == SourceErrorKind::Denied => return open(engine, 1, tables),
        Err(error) => return Err(error),
    };
    let described = describe(&mut first, tables, refused)?;
    let (server, server_offset) = (first.server()?, first.about().offset);
    let mut all: Vec<Box<dyn Connection>> = vec![Box::new(first)];
    while all.len() < connections.max(1) {
        let joined = engine.connect_session().and_then(|mut next| {
            next.run(&format!("{BEGIN}; set transaction snapshot {}", literal_text(&snapshot)))?;
            Ok(next)
        });
        match joined {
            Ok(next) => all.push(Box::new(next)),
            // Fewer connections are slower, not wrong.
            Err(error) => {
                tracing::warn!("only {} of {connections} connections: {error}", all.len());
                break;
            }
        }
    }
    Ok(OpenSnapshot {
        server,
        now: seen.now,
        oldest_open: seen.oldest,
        safety: seen.safety,
        server_offset,
        mark,
        tables: described,
        versions,
        connections: all,
    })
}

/// Holds the definitions of the tables, so that nothing is altered or emptied beneath the snapshot. Answers with what kept a table from
/// being held, where that speaks against reading it at all.
fn hold(
    first: &mut PostgresConnection,
    looking: &mut PostgresConnection,
    tables: &[TableRef],
) -> Result<Vec<Option<SourceError>>, SourceError> {
    let mut refused: Vec<Option<SourceError>> = tables.iter().map(|_| None).collect();
    if tables.is_empty() {
        return Ok(refused);
    }
    // Only these kinds can be locked, and only what can be read.
    let found = looking.query(&format!(
        "select n.nspname, c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
         join (values {}) as wanted(nspname, relname) on wanted.nspname = n.nspname and wanted.relname = c.relname \
         where c.relkind in ('r', 'p', 'v') and pg_catalog.has_schema_privilege(n.oid, 'usage') \
         and pg_catalog.has_table_privilege(c.oid, 'select')",
        table_values(tables)
    ))?;
    let can_be_held = |table: &TableRef| {
        found.iter().any(|row| row[0].as_ref() == Some(&table.schema) && row[1].as_ref() == Some(&table.name))
    };
    let held: Vec<(usize, String)> = tables
        .iter()
        .enumerate()
        .filter(|(_, table)| can_be_held(table))
        .map(|(index, table)| (index, PostgresDialect.table(table)))
        .collect();
    let mut lock = |names: &str| {
        let locked =
            first.run(&format!("savepoint held; lock table {names} in access share mode; release savepoint held"));
        if locked.is_err() {
            first.run("rollback to savepoint held; release savepoint held")?;
        }
        Ok::<_, SourceError>(locked)
    };
    let all: Vec<&str> = held.iter().map(|(_, name)| name.as_str()).collect();
    if all.is_empty() || lock(&all.join(", "))?.is_ok() {
        return Ok(refused);
    }
    // One of them is in somebody's hands: the others need not wait for it.
    for (index, name) in &held {
        // A view is locked with what it reads, which may be forbidden although the view may be read: then it is not held.
        if let Err(error) = lock(name)?
            && error.kind == SourceErrorKind::Unavailable
        {
            refused[*index] = Some(error);
        }
    }
    Ok(refused)
}

/// Open transactions, as far as they can be known.
struct Open {
    now: i64,
    oldest: i64,
    safety: Safety,
}

fn number(value: Option<&Option<String>>) -> Option<i64> {
    value?.as_ref()?.parse().ok()
}

fn look(looking: &mut PostgresConnection) -> Result<Open, SourceError> {
    let answer = looking.query(&format!("select {}", micros("pg_catalog.clock_timestamp()")))?;
    let now = number(answer.first().and_then(|row| row.first())).ok_or_else(|| {
        SourceError::new(SourceErrorKind::Data, format!("{}: the server does not tell the time", looking.place()))
    })?;
    if looking.about().is_replica {
        return look_at_replica(looking, now);
    }
    // Workers that clean up, senders of the log and sessions like our own write no rows of people.
    let sessions = looking.query(&format!(
        "select pid, {}, xact_start is null and query = '<insufficient privilege>' from pg_catalog.pg_stat_activity \
         where datid = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()) \
         and application_name is distinct from '{APPLICATION}' and usesysid is not null \
         and coalesce(backend_type, '') not in ('autovacuum worker', 'walsender')",
        micros("xact_start")
    ))?;
    let mut oldest = now - UNSEEN;
    let mut hidden = Vec::new();
    for session in &sessions {
        if let Some(start) = number(session.get(1)) {
            oldest = oldest.min(start);
        } else if session.get(2).is_some_and(|hidden| hidden.as_deref() == Some("t")) {
            hidden.extend(number(session.first()));
        }
    }
    let prepared = looking.query(&format!(
        "select {} from pg_catalog.pg_prepared_xacts where database = pg_catalog.current_database()",
        micros("pg_catalog.min(prepared)")
    ))?;
    if let Some(prepared) = number(prepared.first().and_then(|row| row.first())) {
        oldest = oldest.min(prepared - PREPARED_AFTER);
    }
    let safety = if wait_for_hidden(looking, &hidden)? {
        Safety::Certain
    } else {
        Safety::LagOnly(format!(
            "transactions of other users are open and cannot be looked into: grant pg_read_all_stats to {}",
            super::dialect::quoted(&looking.about().user)
        ))
    };
    Ok(Open { now, oldest, safety })
}

fn look_at_replica(looking: &mut PostgresConnection, now: i64) -> Result<Open, SourceError> {
    let replayed = looking.query(&format!("select {}", micros("pg_catalog.pg_last_xact_replay_timestamp()")))?;
    let replayed = number(replayed.first().and_then(|row| row.first()));
    let reason = "the server is a replica, which does not know all transactions that are open at its primary: connect to the primary, \
                  or set `lag` to more than the longest transaction takes";
    Ok(Open {
        now,
        oldest: replayed.map_or(now - UNSEEN, |replayed| replayed.min(now - UNSEEN)),
        safety: Safety::LagOnly(reason.to_owned()),
    })
}

/// Whether the transactions that these sessions are in now have ended before our patience.
fn wait_for_hidden(looking: &mut PostgresConnection, sessions: &[i64]) -> Result<bool, SourceError> {
    if sessions.is_empty() {
        return Ok(true);
    }
    let open = looking.query(&format!(
        "select virtualtransaction from pg_catalog.pg_locks where locktype = 'virtualxid' and granted \
         and mode = 'ExclusiveLock' and pid = any({}::int[])",
        numbers(sessions)
    ))?;
    let open: Vec<String> = open.into_iter().flatten().flatten().map(|name| literal_text(&name)).collect();
    if open.is_empty() {
        return Ok(true);
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = looking.query(&format!(
            "select 1 from pg_catalog.pg_locks where locktype = 'virtualxid' and mode = 'ExclusiveLock' \
             and virtualtransaction in ({}) limit 1",
            open.join(", ")
        ))?;
        if left.is_empty() {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

/// The place in the server's log, where it tells.
fn mark(looking: &mut PostgresConnection) -> Option<String> {
    let function = if looking.about().is_replica { "pg_last_wal_replay_lsn" } else { "pg_current_wal_lsn" };
    let answer = looking.query(&format!("select pg_catalog.{function}()")).ok()?;
    answer.into_iter().flatten().flatten().next().map(|place| format!("log position {place}"))
}

/// The first transaction that was not over, asked before the snapshot is taken: rows of transactions that are not visible in it have its
/// number or a later one as `xmin`. For tables only, and where that column may be read.
fn versions(looking: &mut PostgresConnection, tables: &[TableRef]) -> Vec<Option<i64>> {
    let unknown = vec![None; tables.len()];
    if tables.is_empty() {
        return unknown;
    }
    let version = looking.query("select pg_catalog.txid_snapshot_xmin(pg_catalog.txid_current_snapshot())");
    let Some(version) = version.ok().and_then(|rows| number(rows.first()?.first())) else { return unknown };
    let found = looking.query(&format!(
        "select n.nspname, c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
         join (values {}) as wanted(nspname, relname) on wanted.nspname = n.nspname and wanted.relname = c.relname \
         where c.relkind = 'r' and pg_catalog.has_table_privilege(c.oid, 'select')",
        table_values(tables)
    ));
    let Ok(found) = found else { return unknown };
    let has = |table: &TableRef| {
        found.iter().any(|row| row[0].as_ref() == Some(&table.schema) && row[1].as_ref() == Some(&table.name))
    };
    tables.iter().map(|table| has(table).then_some(version)).collect()
}

fn describe(
    first: &mut PostgresConnection,
    tables: &[TableRef],
    refused: Vec<Option<SourceError>>,
) -> Result<Vec<Result<Table, SourceError>>, SourceError> {
    // What is in somebody's hands is not asked for: that would wait, too.
    let asked = tables.iter().zip(&refused).filter(|(_, refused)| refused.is_none());
    let asked: Vec<TableRef> = asked.map(|(table, _)| table.clone()).collect();
    let described = discover::describe(first, Some(&asked))?;
    let mut answers = Vec::with_capacity(tables.len());
    for (table, refused) in tables.iter().zip(refused) {
        let found = described.iter().position(|known| known.table == *table);
        answers.push(match (refused, found) {
            (Some(error), _) => Err(error),
            (None, Some(index)) if described[index].columns.is_empty() => Err(SourceError::new(
                SourceErrorKind::Denied,
                format!("{}: {table} has no column that may be read; add one, or take the stream out", first.place()),
            )),
            // The same table may be asked for by two streams.
            (None, Some(index)) => Ok(described[index].clone()),
            (None, None) => Err(discover::missing(first, table)?),
        });
    }
    Ok(answers)
}
