//! A session: statements one at a time, small answers as texts, great ones as packets of rows.

use std::path::Path;
use std::time::Duration;

use thalweg_project::DatabaseSettings;

use super::error::Trouble;
use super::login::{Greeting, log_in, server_error};
use super::wire::Wire;

const COMMAND_QUERY: u8 = 0x03;
const COMMAND_PREPARE: u8 = 0x16;
const COMMAND_EXECUTE: u8 = 0x17;
const COMMAND_CLOSE: u8 = 0x19;

/// The server does not know a variable.
const UNKNOWN_VARIABLE: u16 = 1193;
/// A variable is there and may not be set by us.
const MAY_NOT_BE_SET: [u16; 4] = [1227, 1229, 1231, 1238];

/// What every session must have, so that values mean the same whatever the server's own settings are. UTC, the plain meaning of quotes
/// and backslashes, UTF-8 both ways, every row of an answer.
const SETTINGS: &str = "set names utf8mb4, time_zone = '+00:00', sql_mode = '', sql_select_limit = 18446744073709551615, \
                        sql_big_selects = 1, sql_auto_is_null = 0, autocommit = 1";
const READ_ONLY: &str = "set session transaction isolation level repeatable read, read only";
/// What some versions have: time for us to write down what was read while the server waits, and for a transaction to be idle.
const PATIENCE: [&str; 6] = [
    "net_write_timeout = 86400",
    "wait_timeout = 86400",
    "lock_wait_timeout = 30",
    "idle_transaction_timeout = 0",
    "idle_readonly_transaction_timeout = 0",
    "idle_write_transaction_timeout = 0",
];

/// What a column of an answer is, as the server sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WireColumn {
    /// The code of its type.
    pub(super) code: u8,
    /// It has no sign.
    pub(super) unsigned: bool,
    /// Its values are bytes without a character set.
    pub(super) bytes: bool,
    /// Digits behind the point, or behind the second.
    pub(super) decimals: u8,
}

/// A logged-in connection.
pub(super) struct Session {
    wire: Wire,
    greeting: Greeting,
    /// An answer is not read to its end, or something went wrong: no other statement may be sent.
    busy: bool,
    /// The statement whose rows are being read.
    statement: Option<u32>,
}

impl Session {
    /// Connects, logs in, and makes the settings. A statement on metadata may take `statement_timeout`.
    pub(super) fn open(settings: &DatabaseSettings, project_folder: &Path) -> Result<Self, Trouble> {
        let (wire, greeting) = log_in(settings, project_folder)?;
        let mut session = Self { wire, greeting, busy: false, statement: None };
        session.run(SETTINGS)?;
        session.run(READ_ONLY)?;
        session.set_where_known(&PATIENCE)?;
        session.limit_statements(Some(settings.statement_timeout))?;
        Ok(session)
    }

    pub(super) fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    pub(super) fn is_mariadb(&self) -> bool {
        self.greeting.version.contains("MariaDB")
    }

    /// Sets how long a statement may take, at the server and here.
    pub(super) fn limit_statements(&mut self, limit: Option<Duration>) -> Result<(), Trouble> {
        let limited = limit.unwrap_or_default();
        if self.is_mariadb() {
            self.set_where_known(&[&format!("max_statement_time = {}", limited.as_secs_f64())])?;
        } else {
            self.set_where_known(&[&format!("max_execution_time = {}", limited.as_millis())])?;
        }
        // The server ends it; the wait here is for a server that does not answer at all. A sort may be silent for as long as it takes:
        // then only a connection that is dead ends it.
        Ok(self.wire.set_timeout(limit.map(|limit| limit + Duration::from_secs(15)))?)
    }

    /// Sets variables, in one go where the server knows them all.
    fn set_where_known(&mut self, settings: &[&str]) -> Result<(), Trouble> {
        let skipped = |trouble: &Trouble| {
            trouble.code().is_some_and(|code| code == UNKNOWN_VARIABLE || MAY_NOT_BE_SET.contains(&code))
        };
        match self.run(&format!("set session {}", settings.join(", session "))) {
            Err(trouble) if skipped(&trouble) => {}
            other => return other,
        }
        for setting in settings {
            match self.run(&format!("set session {setting}")) {
                Err(trouble) if skipped(&trouble) => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Runs a statement without an answer.
    pub(super) fn run(&mut self, sql: &str) -> Result<(), Trouble> {
        self.rows(sql).map(|_| ())
    }

    /// Sends a statement whose end is waited for by [`Session::finish`], so that several sessions start theirs together.
    pub(super) fn start(&mut self, sql: &str) -> Result<(), Trouble> {
        self.send(COMMAND_QUERY, sql.as_bytes())
    }

    /// Waits for the end of a statement that was started.
    pub(super) fn finish(&mut self) -> Result<(), Trouble> {
        self.answer().map(|_| ())
    }

    /// Runs a small query; values as texts. Text that is no UTF-8 is shown as well as can be.
    pub(super) fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Trouble> {
        self.send(COMMAND_QUERY, sql.as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Vec<Vec<Option<String>>>, Trouble> {
        let columns = self.columns()?.len();
        let mut rows = Vec::new();
        if columns == 0 {
            return Ok(rows);
        }
        while let Some(mut packet) = self.next_packet()? {
            let mut row = Vec::with_capacity(columns);
            for _ in 0..columns {
                let value = if packet.first() == Some(&0xFB) {
                    packet = &packet[1..];
                    None
                } else {
                    let bytes = take_bytes(&mut packet).ok_or_else(|| cut("a row"))?;
                    Some(String::from_utf8_lossy(bytes).into_owned())
                };
                row.push(value);
            }
            rows.push(row);
        }
        Ok(rows)
    }

    /// Runs a query whose rows come in the binary protocol, and says what its columns are. Then [`Session::next_row`] until the end.
    pub(super) fn read(&mut self, sql: &str) -> Result<Vec<WireColumn>, Trouble> {
        self.send(COMMAND_PREPARE, sql.as_bytes())?;
        let prepared = self.receive()?;
        let (Some(id), Some(columns), Some(parameters)) = (prepared.get(1..5), prepared.get(5..7), prepared.get(7..9))
        else {
            return Err(cut("a prepared statement"));
        };
        let id = u32::from_le_bytes([id[0], id[1], id[2], id[3]]);
        let counts = [parameters, columns].map(|count| u16::from_le_bytes([count[0], count[1]]));
        for count in counts.into_iter().filter(|count| *count > 0) {
            for _ in 0..count {
                self.receive()?;
            }
            self.skip_eof()?;
        }
        self.busy = false;
        let mut execute = id.to_le_bytes().to_vec();
        // No cursor, and once.
        execute.extend_from_slice(&[0, 1, 0, 0, 0]);
        self.send(COMMAND_EXECUTE, &execute)?;
        self.statement = Some(id);
        self.columns()
    }

    /// The next row of a read: a zero, a bitmap of NULLs, the values. `None` at the end.
    pub(super) fn next_row(&mut self) -> Result<Option<&[u8]>, Trouble> {
        // Two calls, because a row that is returned keeps the session borrowed: the end is looked for first.
        if !self.busy {
            return Ok(None);
        }
        self.next_packet()
    }

    /// The next row of any answer.
    fn next_packet(&mut self) -> Result<Option<&[u8]>, Trouble> {
        let Self { wire, busy, .. } = self;
        let packet = wire.receive()?;
        match packet.first() {
            Some(0xFF) => {
                *busy = false;
                Err(server_error(packet))
            }
            // A row begins like this only when its first value has more than 16 MiB.
            Some(0xFE) if packet.len() < 0xFF_FFFF => {
                *busy = false;
                Ok(None)
            }
            Some(_) => Ok(Some(packet)),
            None => Err(cut("a row")),
        }
    }

    /// Forgets the statement of a read that came to its end.
    pub(super) fn close_statement(&mut self) -> Result<(), Trouble> {
        match self.statement.take() {
            Some(id) if !self.busy => {
                self.send(COMMAND_CLOSE, &id.to_le_bytes())?;
                // It has no answer.
                self.busy = false;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The columns of an answer; none when it has no rows, and then it is over.
    fn columns(&mut self) -> Result<Vec<WireColumn>, Trouble> {
        let packet = self.receive()?;
        match packet.first() {
            Some(0x00) => {
                self.busy = false;
                return Ok(Vec::new());
            }
            // The server asks for a file of this machine: we never said that we would give one.
            Some(0xFB) | None => return Err(Trouble::Protocol("an answer of an odd kind came".to_owned())),
            _ => {}
        }
        let mut packet = packet;
        let count = take_length(&mut packet).ok_or_else(|| cut("an answer"))?;
        let mut columns = Vec::new();
        for _ in 0..count {
            columns.push(wire_column(self.receive()?).ok_or_else(|| cut("the description of a column"))?);
        }
        self.skip_eof()?;
        Ok(columns)
    }

    fn skip_eof(&mut self) -> Result<(), Trouble> {
        if !self.greeting.deprecated_eof {
            self.receive()?;
        }
        Ok(())
    }

    /// The next packet, or the error it holds.
    fn receive(&mut self) -> Result<&[u8], Trouble> {
        let Self { wire, busy, .. } = self;
        let packet = wire.receive()?;
        if packet.first() == Some(&0xFF) {
            *busy = false;
            return Err(server_error(packet));
        }
        Ok(packet)
    }

    fn send(&mut self, command: u8, payload: &[u8]) -> Result<(), Trouble> {
        if self.busy {
            return Err(Trouble::Io(std::io::ErrorKind::ConnectionAborted.into()));
        }
        self.busy = true;
        self.wire.begin();
        let mut packet = Vec::with_capacity(1 + payload.len());
        packet.push(command);
        packet.extend_from_slice(payload);
        Ok(self.wire.send(&packet)?)
    }
}

fn cut(what: &str) -> Trouble {
    Trouble::Protocol(format!("{what} came cut short"))
}

/// A length in one to nine bytes; `None` when it is cut, or is the mark of NULL.
pub(super) fn take_length(packet: &mut &[u8]) -> Option<usize> {
    let (first, rest) = packet.split_first()?;
    let width = match first {
        0..=0xFA => {
            *packet = rest;
            return Some(usize::from(*first));
        }
        0xFC => 2,
        0xFD => 3,
        0xFE => 8,
        _ => return None,
    };
    let mut bytes = [0; 8];
    bytes[..width].copy_from_slice(rest.get(..width)?);
    *packet = &rest[width..];
    usize::try_from(u64::from_le_bytes(bytes)).ok()
}

/// Bytes with their length before them.
pub(super) fn take_bytes<'a>(packet: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_length(packet)?;
    let (taken, rest) = packet.split_at_checked(length)?;
    *packet = rest;
    Some(taken)
}

fn wire_column(mut packet: &[u8]) -> Option<WireColumn> {
    // Catalog, schema, table, original table, name, original name.
    for _ in 0..6 {
        take_bytes(&mut packet)?;
    }
    let fixed = packet.get(..11)?;
    let flags = u16::from_le_bytes([fixed[8], fixed[9]]);
    Some(WireColumn {
        code: fixed[7],
        unsigned: flags & 0x20 != 0,
        bytes: u16::from_le_bytes([fixed[1], fixed[2]]) == 63,
        decimals: fixed[10],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        for (bytes, length, left) in [
            (&[5, 9][..], Some(5), 1),
            (&[0xFC, 1, 1], Some(257), 0),
            (&[0xFD, 1, 0, 1], Some(65537), 0),
            (&[0xFE, 1, 0, 0, 0, 0, 0, 0, 0, 7], Some(1), 1),
            (&[0xFB], None, 1),
            (&[0xFC, 1], None, 2),
            (&[], None, 0),
        ] {
            let mut packet = bytes;
            assert_eq!((take_length(&mut packet), packet.len()), (length, left), "{bytes:?}");
        }
        let mut packet = &[3, b'a', b'b'][..];
        assert_eq!(take_bytes(&mut packet), None, "cut short");
    }
}
