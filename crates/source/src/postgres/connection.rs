//! A connection: opened, its session made the same everywhere, and read from.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use thalweg_project::{ColumnType, DatabaseSettings, SslMode};
use tokio::runtime::Runtime;
use tokio_postgres::config::SslMode as TlsMode;
use tokio_postgres::{Client, Config, SimpleQueryMessage};

use super::decode::{RowDecoder, Undecodable};
use super::dialect::{PostgresDialect, canonical, literal_text, quoted};
use super::discover;
use super::error::{is_about_encryption, source_error};
use super::tls::Encryption;
use crate::database::{
    Connection, DecodedRows, Dialect, Read, Server, SourceColumn, Table, TableKind, TableRef, Value,
};
use crate::{SourceError, SourceErrorKind};

/// What a server whose machine is gone is noticed by: no answer for so long, asked so often.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 4;

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
    /// Before the runtime, which must outlive it. `None` only while it is being dropped.
    client: Option<Client>,
    driver: Option<tokio::task::JoinHandle<()>>,
    runtime: Runtime,
    /// Where it leads, for messages: `postgres orders at db.example.com:5432`.
    place: Arc<str>,
    about: About,
    /// A read was left in the middle: what the server still sends is not waited for.
    is_interrupted: bool,
}

impl PostgresConnection {
    /// Connects and prepares the session. Metadata is asked for under the settings' limit of time.
    pub(super) fn open(settings: &DatabaseSettings, encryption: &Encryption) -> Result<Self, SourceError> {
        let place: Arc<str> = format!("postgres {} at {}", settings.database, address(settings)).into();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            SourceError::new(SourceErrorKind::Unavailable, format!("{place}: no connection can be opened: {error}"))
        })?;
        let (client, driver, protection) = connect(&runtime, settings, encryption, &place)?;
        let mut connection = Self {
            client: Some(client),
            driver: Some(driver),
            runtime,
            place,
            about: About {
                version: String::new(),
                database: settings.database.clone(),
                user: settings.user.clone(),
                is_replica: false,
                offset: 0,
                money_scale: 2,
                protection,
            },
            is_interrupted: false,
        };
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
        &self.place
    }

    /// Runs statements that answer nothing.
    pub(super) fn run(&mut self, sql: &str) -> Result<(), SourceError> {
        let Some(client) = &self.client else { return Err(self.is_gone()) };
        self.runtime.block_on(client.batch_execute(sql)).map_err(|error| source_error(&self.place, &error))
    }

    fn is_gone(&self) -> SourceError {
        SourceError::new(SourceErrorKind::Unavailable, format!("{}: the connection is closed", self.place))
    }

    fn undecodable(&self, read: &Read<'_>, undecodable: Undecodable) -> SourceError {
        let shown: String = read.sql.chars().take(200).collect();
        let message = format!("{}: rows cannot be read: {}; the statement was: {shown}", self.place, undecodable.0);
        SourceError::new(SourceErrorKind::Data, message)
    }
}

impl Drop for PostgresConnection {
    /// Says good-bye, which the server's log is grateful for, unless that would mean to wait for rows nobody wants.
    fn drop(&mut self) {
        drop(self.client.take());
        if let Some(driver) = self.driver.take()
            && !self.is_interrupted
        {
            let _ = self.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(1), driver).await });
        }
    }
}

/// `host:port`, or the folder of the socket.
fn address(settings: &DatabaseSettings) -> String {
    if settings.host.starts_with('/') { settings.host.clone() } else { format!("{}:{}", settings.host, settings.port) }
}

/// The ways to connect that the mode allows, in order.
fn attempts(settings: &DatabaseSettings) -> &'static [TlsMode] {
    // A socket does not leave the machine: nothing is encrypted there, as in libpq.
    if settings.host.starts_with('/') {
        return &[TlsMode::Disable];
    }
    match settings.sslmode {
        SslMode::Disable => &[TlsMode::Disable],
        SslMode::Allow => &[TlsMode::Disable, TlsMode::Require],
        SslMode::Prefer => &[TlsMode::Prefer, TlsMode::Disable],
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[TlsMode::Require],
    }
}

fn connect(
    runtime: &Runtime,
    settings: &DatabaseSettings,
    encryption: &Encryption,
    place: &str,
) -> Result<(Client, tokio::task::JoinHandle<()>, String), SourceError> {
    let mut config = Config::new();
    if settings.host.starts_with('/') {
        config.host_path(&settings.host);
    } else {
        config.host(&settings.host);
    }
    config.port(settings.port).user(&settings.user).dbname(&settings.database).application_name(APPLICATION);
    config.connect_timeout(settings.connect_timeout).keepalives(true).keepalives_idle(KEEPALIVE_IDLE);
    config.keepalives_interval(KEEPALIVE_INTERVAL).keepalives_retries(KEEPALIVE_RETRIES);
    if let Some(password) = &settings.password {
        config.password(password.expose());
    }
    let attempts = attempts(settings);
    let mut trouble = None;
    for (index, mode) in attempts.iter().enumerate() {
        config.ssl_mode(*mode);
        let encryption = encryption.for_connection();
        let connecting =
            async { tokio::time::timeout(settings.connect_timeout, config.connect(encryption.clone())).await };
        match runtime.block_on(connecting) {
            Ok(Ok((client, connection))) => {
                // Its end is told by the statements that fail with it.
                let driver = runtime.spawn(async move { drop(connection.await) });
                return Ok((client, driver, encryption.told()));
            }
            Ok(Err(error)) => {
                let told = trouble.get_or_insert_with(|| source_error(&format!("{place}: cannot connect"), &error));
                if !is_about_encryption(&error) || index + 1 == attempts.len() {
                    return Err(SourceError::new(told.kind, told.message.clone()));
                }
            }
            Err(_) => {
                let seconds = settings.connect_timeout.as_secs_f32();
                let message = format!(
                    "{place}: no answer within {seconds} s; check host, port and firewall, or raise `connect_timeout`"
                );
                return Err(SourceError::new(SourceErrorKind::Unavailable, message));
            }
        }
    }
    Err(trouble.unwrap_or_else(|| SourceError::new(SourceErrorKind::Denied, format!("{place}: no way to connect"))))
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
        let mut decoder = RowDecoder::new(read.columns).map_err(|error| self.undecodable(read, error))?;
        let Some(client) = &self.client else { return Err(self.is_gone()) };
        self.is_interrupted = true;
        // The line break ends a comment the statement may end with.
        let copy = format!("copy (\n{}\n) to stdout (format binary)", read.sql);
        let lost = |error: &tokio_postgres::Error| source_error(&self.place, error);
        self.runtime.block_on(async {
            let mut stream = pin!(client.copy_out(&copy).await.map_err(|error| lost(&error))?);
            while let Some(message) = stream.next().await {
                let message = message.map_err(|error| lost(&error))?;
                decoder.push(&message).map_err(|error| self.undecodable(read, error))?;
                if decoder.is_full()
                    && let Some(rows) = decoder.take().map_err(|error| self.undecodable(read, error))?
                {
                    take(rows)?;
                }
            }
            Ok::<_, SourceError>(())
        })?;
        if !decoder.is_complete() {
            return Err(self.undecodable(read, Undecodable("they end in the middle".to_owned())));
        }
        if let Some(rows) = decoder.take().map_err(|error| self.undecodable(read, error))? {
            take(rows)?;
        }
        self.is_interrupted = false;
        Ok(())
    }

    fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, SourceError> {
        let Some(client) = &self.client else { return Err(self.is_gone()) };
        let answer =
            self.runtime.block_on(client.simple_query(sql)).map_err(|error| source_error(&self.place, &error))?;
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
            }
            _ => None,
        };
        Ok(answer.into_iter().filter_map(row).collect())
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
