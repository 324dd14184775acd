//! A connection: opened, its session made the same everywhere, and read from.

use std::time::Duration;

use thalweg_postgres::{Encryption, PostgresError, Session};
use thalweg_project::{ColumnType, DatabaseSettings};

use super::decode::{RowDecoder, Undecodable};
use super::dialect::{PostgresDialect, canonical, literal_text, quoted};
use super::discover;
use super::error::source_error;
use crate::database::{
    Connection, DecodedRows, Dialect, Read, Server, SourceColumn, Table, TableKind, TableRef, Value,
};
use crate::{SourceError, SourceErrorKind};

/// How long a table that somebody alters is waited for.
const LOCK_TIMEOUT: &str = "10s";

/// What sessions of sources are called at the server. They never write, so that no position waits for them.
pub(super) const APPLICATION: &str = "thalweg source";

/// A session in which every value has one text, whatever the defaults of server, database and user are. `money` alone keeps the
/// server's setting: the setting says what the stored numbers mean.
const SESSION: &str = "set default_transaction_read_only = on;\
    set timezone = 'UTC';\
    set datestyle = 'ISO, YMD';\
    set intervalstyle = 'postgres';\
    set extra_float_digits = 3;\
    set bytea_output = 'hex';\
    set xmloption = 'content';\
    set standard_conforming_strings = on;\
    set client_min_messages = error;";

/// What the server said of itself when the connection was opened.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) version: String,
    pub(super) database: String,
    pub(super) user: String,
    pub(super) is_replica: bool,
    /// Offset of the session's own time zone, before we set another, in seconds.
    pub(super) offset: i32,
    /// Decimals of `money`.
    pub(super) money_scale: u8,
    /// How the connection is protected.
    pub(super) protection: String,
}

/// A connection to Postgres.
pub(super) struct PostgresConnection {
    session: Session,
    about: About,
}

impl PostgresConnection {
    /// Connects and prepares the session. Metadata is asked for under the settings' limit of time.
    pub(super) fn open(settings: &DatabaseSettings, encryption: &Encryption) -> Result<Self, SourceError> {
        let session = Session::open(settings, encryption, APPLICATION).map_err(|error| source_error(&error))?;
        let about = About {
            version: String::new(),
            database: settings.database.clone(),
            user: settings.user.clone(),
            is_replica: false,
            offset: 0,
            money_scale: 2,
            protection: session.protection(),
        };
        let mut connection = Self { session, about };
        connection.prepare(settings.statement_timeout)?;
        Ok(connection)
    }

    fn prepare(&mut self, statement_timeout: Duration) -> Result<(), SourceError> {
        let answer = self.query(
            "select pg_catalog.current_setting('server_version'), pg_catalog.current_database(), current_user, \
             pg_catalog.pg_is_in_recovery(), extract(timezone from pg_catalog.now())::int, \
             pg_catalog.scale(1::money::numeric)",
        )?;
        let mut values = answer.into_iter().next().unwrap_or_default().into_iter().map(Option::unwrap_or_default);
        let mut next = || values.next().unwrap_or_default();
        let version = next();
        self.about.version = version.split(' ').next().unwrap_or_default().to_owned();
        self.about.database = next();
        self.about.user = next();
        self.about.is_replica = next() == "t";
        self.about.offset = next().parse().unwrap_or(0);
        self.about.money_scale = next().parse().unwrap_or(2);
        // Limits that end a session which waits while its rows are written; not every version has all of them. Compiling the expressions of
        // a read takes longer than it saves.
        let limits = "select pg_catalog.set_config(name, case name when 'jit' then 'off' else '0' end, false) from pg_catalog.pg_settings \
             where name in ('idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout', 'jit')";
        let own = format!(
            "{SESSION} set lock_timeout = '{LOCK_TIMEOUT}'; set statement_timeout = {}; {limits}",
            statement_timeout.as_millis()
        );
        self.run(&own)
    }

    /// What the server said of itself.
    pub(super) fn about(&self) -> &About {
        &self.about
    }

    /// Where it leads, for messages.
    pub(super) fn place(&self) -> &str {
        self.session.place()
    }

    /// Runs statements that answer nothing.
    pub(super) fn run(&mut self, sql: &str) -> Result<(), SourceError> {
        self.session.run(sql).map_err(|error| source_error(&error))
    }
}

/// What ends a read.
enum End {
    Source(SourceError),
    Postgres(PostgresError),
    Undecodable(Undecodable),
}

impl From<PostgresError> for End {
    fn from(error: PostgresError) -> Self {
        Self::Postgres(error)
    }
}

impl From<SourceError> for End {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<Undecodable> for End {
    fn from(undecodable: Undecodable) -> Self {
        Self::Undecodable(undecodable)
    }
}

fn read_rows(
    session: &mut Session,
    read: &Read<'_>,
    take: &mut dyn FnMut(DecodedRows) -> Result<(), SourceError>,
) -> Result<(), End> {
    let mut decoder = RowDecoder::new(read.columns)?;
    // The line break ends a comment the statement may end with.
    let copy = format!("copy (\n{}\n) to stdout (format binary)", read.sql);
    session.copy_out(&copy, |message| {
        decoder.push(message)?;
        if decoder.is_full()
            && let Some(rows) = decoder.take()?
        {
            take(rows)?;
        }
        Ok::<_, End>(())
    })?;
    if !decoder.is_complete() {
        return Err(Undecodable("they end in the middle".to_owned()).into());
    }
    if let Some(rows) = decoder.take()? {
        take(rows)?;
    }
    Ok(())
}

impl Connection for PostgresConnection {
    fn server(&mut self) -> Result<Server, SourceError> {
        let About { version, database, user, is_replica, protection, .. } = &self.about;
        let replica = if *is_replica { ", a replica" } else { "" };
        Ok(Server {
            version: format!("PostgreSQL {version}{replica}"),
            database: format!("{database} as {user}"),
            protection: protection.clone(),
        })
    }

    fn describe(&mut self, tables: Option<&[TableRef]>) -> Result<Vec<Table>, SourceError> {
        discover::describe(self, tables)
    }

    fn read(
        &mut self,
        read: &Read<'_>,
        take: &mut dyn FnMut(DecodedRows) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        read_rows(&mut self.session, read, take).map_err(|end| match end {
            End::Source(error) => error,
            End::Postgres(error) => source_error(&error),
            End::Undecodable(Undecodable(why)) => {
                let shown: String = read.sql.chars().take(200).collect();
                let message = format!("{}: rows cannot be read: {why}; the statement was: {shown}", self.place());
                SourceError::new(SourceErrorKind::Data, message)
            }
        })
    }

    fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, SourceError> {
        self.session.ask(sql).map_err(|error| source_error(&error))
    }

    fn boundaries(&mut self, table: &Table, column: &SourceColumn, parts: usize) -> Result<Vec<Value>, SourceError> {
        // A view or foreign table cannot be sampled, and to sort it is no cheaper than to read it.
        if parts < 2 || table.kind != TableKind::Table {
            return Ok(Vec::new());
        }
        let Some(shown) = canonical(&SourceColumn { name: "c".to_owned(), ..column.clone() }, "") else {
            return Ok(Vec::new());
        };
        /// Rows and pages of a sample for each part. Neighbours on a page are often neighbours in the key: both must be enough.
        const SAMPLED_ROWS: f64 = 300.0;
        const SAMPLED_PAGES: f64 = 40.0;
        const PAGE_BYTES: f64 = 8192.0;
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = |of: Option<u64>, sampled: f64| match of {
            Some(all) if all > 0 => (100.0 * sampled * parts as f64 / all as f64).min(100.0),
            _ => 0.0,
        };
        let by_rows = share(table.estimated_rows, SAMPLED_ROWS);
        let by_pages = share(table.estimated_bytes, SAMPLED_PAGES * PAGE_BYTES);
        let percent = by_rows.max(by_pages).max(0.001);
        let (name, from) = (quoted(&column.name), PostgresDialect.table(&table.table));
        let answer = self.query(&format!(
            "select {shown} from (select distinct c from (\
               select distinct on (part) c from (\
                 select c, pg_catalog.ntile({parts}) over (order by c) as part from (\
                   select {name} as c from {from} tablesample system ({percent}) where {name} is not null\
                 ) as sampled\
               ) as parted where part > 1 order by part, c\
             ) as bounds) as boundaries order by boundaries.c"
        ))?;
        Ok(answer.into_iter().filter_map(|row| value(row.into_iter().next()??, &column.column_type)).collect())
    }
}

/// A value from its canonical text.
fn value(text: String, column_type: &ColumnType) -> Option<Value> {
    Some(match column_type {
        ColumnType::SmallInt | ColumnType::Integer | ColumnType::BigInt => Value::Integer(text.parse().ok()?),
        ColumnType::Decimal(_, scale) => {
            let digits: String = text.chars().filter(|digit| *digit != '.').collect();
            Value::Decimal(digits.parse().ok()?, *scale)
        }
        ColumnType::Date => Value::Date(text.parse().ok()?),
        ColumnType::Timestamp => Value::Timestamp(text.parse().ok()?),
        ColumnType::Text => Value::Text(text),
        ColumnType::Blob => {
            let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
            Value::Bytes((0..text.len()).step_by(2).map(byte).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// A list of numbers as an array of `oid`.
pub(super) fn numbers(numbers: impl IntoIterator<Item = impl ToString>) -> String {
    let numbers: Vec<String> = numbers.into_iter().map(|number| number.to_string()).collect();
    format!("'{{{}}}'", numbers.join(","))
}

/// Names of tables as rows of `values`.
pub(super) fn table_values(tables: &[TableRef]) -> String {
    let row = |table: &TableRef| format!("({}, {})", literal_text(&table.schema), literal_text(&table.name));
    tables.iter().map(row).collect::<Vec<_>>().join(", ")
}
