//! One snapshot for several connections, and what is certainly committed in it.
//!
//! # The bound
//!
//! A row is stamped by a statement (`now()` is the start of the statement) and becomes visible when its transaction commits. So every row
//! that is not in the snapshot, and was stamped before the snapshot, belongs to a transaction that was open when the snapshot was
//! taken, or to a statement that ran then. We ask for both before we take the snapshot; everything stamped before the oldest of them is
//! in it. In this order:
//!
//! 1. A transaction of our own begins. That it is listed shows that the server's list is not an old copy: `innodb_trx` is renewed
//!    only when nobody has read it for a tenth of a second.
//! 2. The clock is read, then the running statements, then the open transactions. A statement that has ended between the two has its
//!    transaction in the second list, or it is committed.
//! 3. The snapshot is taken.
//!
//! Starts of transactions are whole seconds, cut; a statement begins a little before its transaction. [`MARGIN`] is taken off for that.
//! What stamps rows with another clock than the statement's, such as an application that takes the time long before it writes, is the
//! business of a stream's `lag`.
//!
//! # Several connections
//!
//! Two snapshots are the same when no transaction that writes has committed between them. All connections take theirs at once, and the
//! server's state is looked at before and after: the counter of transaction numbers, which shows that none began, and the list of
//! those that are active, which shows that none ended. If they differ, all snapshots are taken again. Locks are never used: nobody is held up.

use std::time::{Duration, Instant};

use super::MysqlEngine;
use super::connection::MysqlConnection;
use super::error::Trouble;
use super::session::Session;
use crate::database::{Connection, OpenSnapshot, Safety, Table, TableRef};
use crate::{SourceError, SourceErrorKind};

/// Taken off the start of a transaction, in microseconds: its statement may have begun in the second before.
const MARGIN: i64 = 1_000_000;
/// How long it is tried to bring several connections to one snapshot. Under 6,000 transactions a second one try in ten succeeds, and a
/// try takes a millisecond.
const PATIENCE: Duration = Duration::from_secs(3);
/// The list of transactions is as old as this at most once nobody else reads it.
const LIST_AGE: Duration = Duration::from_millis(110);

const BEGIN: &str = "start transaction with consistent snapshot, read only";
/// A privilege is missing.
const NOT_GRANTED: u16 = 1227;

/// Opens connections that see one snapshot; see [`crate::database::Engine::open`].
pub(super) fn open(engine: &MysqlEngine, connections: usize, tables: &[TableRef]) -> Result<OpenSnapshot, SourceError> {
    let mut sessions = connect(engine, connections.max(1))?;
    let doing = || format!("opening a snapshot of {}", engine.place());
    let first = sessions.first_mut().ok_or_else(|| SourceError::new(SourceErrorKind::Unavailable, doing()))?;
    let bound = bound(first).map_err(|trouble| trouble.while_doing(&doing()))?;
    let mark = begin_all(&mut sessions).map_err(|trouble| trouble.while_doing(&doing()))?;
    let Some(first) = sessions.first_mut() else {
        return Err(SourceError::new(SourceErrorKind::Unavailable, doing()));
    };
    let tables = hold_and_describe(first, tables).map_err(|trouble| trouble.while_doing(&doing()))?;
    for session in &mut sessions {
        session.limit_statements(None).map_err(|trouble| trouble.while_doing(&doing()))?;
    }
    let mut opened: Vec<MysqlConnection> =
        sessions.into_iter().map(|session| MysqlConnection::new(session, engine)).collect();
    let Some(one) = opened.first_mut() else {
        return Err(SourceError::new(SourceErrorKind::Unavailable, doing()));
    };
    Ok(OpenSnapshot {
        // Rows do not tell which transaction wrote them.
        versions: vec![None; tables.len()],
        server: one.server()?,
        now: bound.now,
        oldest_open: bound.oldest_open,
        safety: bound.safety,
        server_offset: bound.server_offset,
        mark,
        tables,
        connections: opened.into_iter().map(|one| Box::new(one) as Box<dyn Connection>).collect(),
    })
}

/// Connects all at the same time. Those beyond the first may fail: the server may have no room for them.
fn connect(engine: &MysqlEngine, connections: usize) -> Result<Vec<Session>, SourceError> {
    let first = engine.session()?;
    let others: Vec<Result<Session, SourceError>> = std::thread::scope(|scope| {
        let started: Vec<_> = (1..connections).map(|_| scope.spawn(|| engine.session())).collect();
        let ended = started.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(SourceError::new(SourceErrorKind::Unavailable, "a thread panicked")))
        });
        ended.collect()
    });
    let mut sessions = vec![first];
    for other in others {
        match other {
            Ok(session) => sessions.push(session),
            Err(error) => tracing::warn!("{}", error.message),
        }
    }
    Ok(sessions)
}

/// What is certainly committed.
struct Bound {
    now: i64,
    oldest_open: i64,
    safety: Safety,
    server_offset: i32,
}

fn bound(session: &mut Session) -> Result<Bound, Trouble> {
    let server_offset = server_offset(session)?;
    session.run(BEGIN)?;
    let bound = match open_transactions(session) {
        Ok((now, oldest_open)) => {
            let safety = match replica(session)? {
                None => Safety::Certain,
                Some(why) => Safety::LagOnly(why),
            };
            Bound { now, oldest_open, safety, server_offset }
        }
        Err(trouble) if trouble.code() == Some(NOT_GRANTED) => {
            let now = moment(session.rows(&format!("select {}", micros("utc_timestamp(6)")))?.first())?;
            let why = "transactions of other users cannot be seen: `GRANT PROCESS ON *.* TO` the user of the source"
                .to_owned();
            Bound { now, oldest_open: now, safety: Safety::LagOnly(why), server_offset }
        }
        Err(trouble) => return Err(trouble),
    };
    session.run("commit")?;
    Ok(bound)
}

/// Offset in seconds of the clock that sessions have by default.
fn server_offset(session: &mut Session) -> Result<i32, Trouble> {
    session.run("set session time_zone = @@global.time_zone")?;
    let offset = session.rows("select timestampdiff(second, utc_timestamp(), current_timestamp())");
    session.run("set session time_zone = '+00:00'")?;
    i32::try_from(moment(offset?.first())?).map_err(|_| Trouble::Protocol("the server's time zone is odd".to_owned()))
}

fn micros(expression: &str) -> String {
    format!("timestampdiff(microsecond, timestamp '1970-01-01 00:00:00', {expression})")
}

fn moment(row: Option<&Vec<Option<String>>>) -> Result<i64, Trouble> {
    let number = row.and_then(|row| row.first()?.as_deref()?.parse().ok());
    number.ok_or_else(|| Trouble::Protocol("the server does not tell the time".to_owned()))
}

/// The clock, and the start of the oldest transaction or statement that may write (not after the clock), in microseconds UTC.
fn open_transactions(session: &mut Session) -> Result<(i64, i64), Trouble> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = moment(session.rows(&format!("select {}", micros("utc_timestamp(6)")))?.first())?;
        let statements = session.rows(&running_statements(session.is_mariadb()))?;
        let transactions = session.rows(TRANSACTIONS)?;
        let own = session.greeting().connection.to_string();
        let mut oldest = now;
        for row in statements {
            oldest = oldest.min(moment(Some(&row))?);
        }
        let (mut listed, mut recovered) = (false, false);
        for row in &transactions {
            listed |= row.get(1).and_then(Option::as_deref) == Some(own.as_str());
            if row.get(1).and_then(Option::as_deref) != Some(own.as_str()) && row.get(2) != Some(&Some("1".to_owned()))
            {
                oldest = oldest.min(moment(Some(row))?.saturating_sub(MARGIN));
                recovered |= row.get(3) == Some(&Some("1".to_owned()));
            }
        }
        // Prepared before the server was last started: its real start is not known any more. Threads of the server itself look the same.
        if recovered && session.rows("xa recover").is_ok_and(|prepared| !prepared.is_empty()) {
            tracing::warn!(
                "a prepared transaction is older than the server's last start: positions stay until it is ended"
            );
            return Ok((now, 0));
        }
        if listed {
            return Ok((now, oldest));
        }
        if Instant::now() > deadline {
            let message = "the list of open transactions is not renewed, because somebody else reads it all the time; \
                           the next run tries again";
            return Err(SourceError::new(SourceErrorKind::Unavailable, message).into());
        }
        std::thread::sleep(LIST_AGE);
    }
}

/// Starts of statements that run and may write. Those that only read, and threads of the server itself, are left out: where a
/// function in a `SELECT` writes, its transaction is listed.
fn running_statements(mariadb: bool) -> String {
    let age = if mariadb { "cast(time_ms * 1000 as signed)" } else { "(time + 1) * 1000000" };
    let start = micros(&format!("utc_timestamp(6) - interval {age} microsecond"));
    format!(
        "select {start} from information_schema.processlist where id <> connection_id() and time >= 0 \
         and command in ('Query', 'Execute', 'Field List', 'Long Data', 'Prepare', 'Slave_SQL', 'Slave_worker') \
         and (info is null or trim(info) not regexp '^(select|show|explain|describe|set|use|commit|rollback)[[:space:]]')"
    )
}

/// Start, connection, whether it only reads, and whether nobody holds it since the server was started. The server writes starts in the
/// zone of its system; of an hour that came twice the first is meant.
const TRANSACTIONS: &str = "select timestampdiff(microsecond, timestamp '1970-01-01 00:00:00', \
    if(convert_tz(utc - interval 1 hour, '+00:00', 'SYSTEM') = started, utc - interval 1 hour, utc)), \
    connection, only_reads, connection = 0 and utc <= utc_timestamp() - interval (select cast(variable_value as signed) - 60 \
    from information_schema.global_status where variable_name = 'Uptime') second from \
    (select trx_started as started, convert_tz(trx_started, 'SYSTEM', '+00:00') as utc, trx_mysql_thread_id as connection, \
    trx_is_read_only = 1 or trx_autocommit_non_locking = 1 as only_reads from information_schema.innodb_trx) as t";

/// Why the server is no place where rows are stamped, if it is a replica.
fn replica(session: &mut Session) -> Result<Option<String>, Trouble> {
    let statement = if session.is_mariadb() { "show all slaves status" } else { "show replica status" };
    let is_replica = match session.rows(statement) {
        Ok(rows) => !rows.is_empty(),
        // Not allowed to ask: a server that refuses to be written to is most likely one.
        Err(trouble) if trouble.code().is_some() => {
            let read_only = session.rows("select @@global.read_only")?;
            read_only.first().and_then(|row| row.first()?.as_deref()) == Some("1")
        }
        Err(trouble) => return Err(trouble),
    };
    Ok(is_replica.then(|| {
        "the server is a replica, where changes arrive late: `lag` must be longer than the delay and the longest transaction on the \
         primary"
            .to_owned()
    }))
}

/// Takes the snapshot on all sessions; those that cannot be brought to it are dropped, the first stays. Says what state it is of.
fn begin_all(sessions: &mut Vec<Session>) -> Result<Option<String>, Trouble> {
    let deadline = Instant::now() + PATIENCE;
    while sessions.len() > 1 {
        let Some(before) = sessions.first_mut().map(state).transpose()?.flatten() else { break };
        for session in sessions.iter_mut() {
            session.start(BEGIN)?;
        }
        for session in sessions.iter_mut() {
            session.finish()?;
        }
        let after = sessions.first_mut().map(state).transpose()?.flatten();
        if after.as_ref() == Some(&before) {
            return Ok(Some(format!("transaction {}", before.counter)));
        }
        if Instant::now() > deadline {
            tracing::warn!(
                "several connections could not be brought to one snapshot, because too much is written: one is used"
            );
            break;
        }
    }
    if sessions.len() > 1 && binlog_positions_agree(sessions)? {
        return Ok(None);
    }
    sessions.truncate(1);
    let Some(first) = sessions.first_mut() else { return Ok(None) };
    first.run(BEGIN)?;
    Ok(state(first)?.map(|state| format!("transaction {}", state.counter)))
}

/// Without the privilege to see other transactions, MariaDB with a binary log still says which position each snapshot is of.
fn binlog_positions_agree(sessions: &mut [Session]) -> Result<bool, Trouble> {
    const POSITION: &str = "show session status like 'binlog_snapshot_%'";
    for _ in 0..100 {
        for session in sessions.iter_mut() {
            session.start(BEGIN)?;
        }
        for session in sessions.iter_mut() {
            session.finish()?;
        }
        let mut positions = Vec::new();
        for session in sessions.iter_mut() {
            positions.push(session.rows(POSITION)?);
        }
        let known = |position: &Vec<Vec<Option<String>>>| {
            position
                .iter()
                .any(|row| row.get(1).and_then(Option::as_deref).is_some_and(|file| !file.is_empty() && file != "0"))
        };
        if !positions.first().is_some_and(known) {
            return Ok(false);
        }
        if positions.windows(2).all(|two| two[0] == two[1]) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What changes with every transaction that writes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    counter: u64,
    active: Vec<u64>,
}

/// The server's state; `None` when it cannot be seen.
fn state(session: &mut Session) -> Result<Option<State>, Trouble> {
    match session.rows("show engine innodb status") {
        Ok(rows) => Ok(rows.first().and_then(|row| row.get(2)?.as_deref()).and_then(parse_state)),
        Err(trouble) if trouble.code() == Some(NOT_GRANTED) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

/// Reads the state out of the report of InnoDB. `None` when the report is not whole: long ones are cut in the list of transactions.
fn parse_state(report: &str) -> Option<State> {
    let mut counter = None;
    let mut active = Vec::new();
    for line in report.lines() {
        if let Some(number) = line.strip_prefix("Trx id counter ") {
            counter = number.trim().parse().ok();
        } else if let Some(rest) = line.strip_prefix("---TRANSACTION ") {
            let (id, what) = rest.split_once(',')?;
            // Those that only read have the address of something as their number, in parentheses or far beyond the counter.
            if let Ok(id) = id.trim().parse::<u64>()
                && what.trim_start().starts_with("ACTIVE")
            {
                active.push(id);
            }
        } else if line.contains("truncated...") {
            return None;
        }
    }
    let counter = counter?;
    active.retain(|id| *id < counter);
    active.sort_unstable();
    Some(State { counter, active })
}

/// Holds the definitions of tables until the transaction ends, by reading nothing from each, and describes them.
fn hold_and_describe(session: &mut Session, tables: &[TableRef]) -> Result<Vec<Result<Table, SourceError>>, Trouble> {
    let mut held = Vec::new();
    for table in tables {
        let name = format!("{}.{}", super::dialect::quoted(&table.schema), super::dialect::quoted(&table.name));
        held.push(match session.run(&format!("select 1 from {name} limit 0")) {
            Ok(()) => Ok(()),
            Err(trouble) if trouble.code().is_some() => Err(trouble.while_doing(&format!("table {table}"))),
            Err(trouble) => return Err(trouble),
        });
    }
    let described = super::discover::describe(session, Some(tables))?;
    let find = |wanted: &TableRef| {
        let same = |table: &&Table| table.table == *wanted;
        // Some servers keep all names in lower case.
        let alike = |table: &&Table| table.table.to_string().eq_ignore_ascii_case(&wanted.to_string());
        described.iter().find(same).or_else(|| described.iter().find(alike)).cloned()
    };
    let missing = |table: &TableRef| {
        let message = format!(
            "table {table} is not there, or may not be read: check the stream's `table`, and `GRANT SELECT` on it"
        );
        SourceError::new(SourceErrorKind::Denied, message)
    };
    Ok(held
        .into_iter()
        .zip(tables)
        .map(|(held, table)| held.and_then(|()| find(table).ok_or_else(|| missing(table))))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_read_from_the_report() {
        let report = "TRANSACTIONS\n------------\nTrx id counter 61\nPurge done for trx's n:o < 58\n\
                      LIST OF TRANSACTIONS FOR EACH SESSION:\n\
                      ---TRANSACTION (0x7f4e2b5d0b80), ACTIVE 3 sec\n0 lock struct(s)\n\
                      ---TRANSACTION 59, ACTIVE (PREPARED) 9 sec\n---TRANSACTION 60, ACTIVE 0 sec inserting\n\
                      ---TRANSACTION 421900068055936, ACTIVE 1 sec\n---TRANSACTION 57, COMMITTED IN MEMORY\n\
                      ---TRANSACTION (0x7f4e2b5d0080), not started\n";
        assert_eq!(parse_state(report), Some(State { counter: 61, active: vec![59, 60] }));
        assert_eq!(parse_state(&format!("{report}... truncated...\n")), None);
        assert_eq!(parse_state("nothing"), None);
    }
}
