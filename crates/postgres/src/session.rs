//! One connection: opened as `sslmode` says, and spoken to from one thread.

use std::io::Cursor;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use thalweg_project::{DatabaseSettings, SslMode};
use tokio::runtime::Runtime;
use tokio_postgres::config::SslMode as TlsMode;
use tokio_postgres::{CancelToken, Client, Config, CopyInSink, SimpleQueryMessage};

use crate::encryption::Encryption;
use crate::error::{ErrorKind, PostgresError, is_about_encryption};

/// What a server whose machine is gone is noticed by: no answer for so long, asked so often.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 4;

/// How long a request to stop a statement may take.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to Postgres.
pub struct Session {
    /// Before the runtime, which must outlive it. `None` only while it is being dropped.
    client: Option<Client>,
    driver: Option<tokio::task::JoinHandle<()>>,
    runtime: Runtime,
    place: Arc<str>,
    encryption: Encryption,
    /// A stream was left in the middle: what the server still sends is not waited for.
    is_interrupted: bool,
}

impl Session {
    /// Connects. `application` is what the session is called at the server.
    pub fn open(
        settings: &DatabaseSettings,
        encryption: &Encryption,
        application: &str,
    ) -> Result<Self, PostgresError> {
        let place: Arc<str> = format!("postgres {} at {}", settings.database, address(settings)).into();
        let runtime = runtime().map_err(|error| {
            PostgresError::new(ErrorKind::Unavailable, format!("{place}: no connection can be opened: {error}"))
        })?;
        let (client, driver, encryption) = connect(&runtime, settings, encryption, application, &place)?;
        Ok(Self { client: Some(client), driver: Some(driver), runtime, place, encryption, is_interrupted: false })
    }

    /// Where it leads, for messages: `postgres orders at db.example.com:5432`.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// How it is protected, in words: `TLS 1.3, certificate verified`, `not encrypted`.
    pub fn protection(&self) -> String {
        self.encryption.told()
    }

    /// Whether the connection is known to have ended.
    pub fn is_closed(&self) -> bool {
        self.client.as_ref().is_none_or(Client::is_closed)
    }

    /// Runs statements that answer nothing.
    pub fn run(&mut self, sql: &str) -> Result<(), PostgresError> {
        self.with(|client| client.batch_execute(sql))
    }

    /// Runs a small query; values as texts.
    pub fn ask(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, PostgresError> {
        let answer = self.with(|client| client.simple_query(sql))?;
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
            }
            _ => None,
        };
        Ok(answer.into_iter().filter_map(row).collect())
    }

    /// Runs `COPY ... TO STDOUT` and hands its bytes over as they come. An error of `take` ends it and is returned.
    pub fn copy_out<E: From<PostgresError>>(
        &mut self,
        copy: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(client) = &self.client else { return Err(self.is_gone().into()) };
        self.is_interrupted = true;
        let lost = |error: &tokio_postgres::Error| E::from(PostgresError::of(&self.place, error));
        self.runtime.block_on(async {
            let mut stream = pin!(client.copy_out(copy).await.map_err(|error| lost(&error))?);
            while let Some(message) = stream.next().await {
                take(&message.map_err(|error| lost(&error))?)?;
            }
            Ok::<_, E>(())
        })?;
        self.is_interrupted = false;
        Ok(())
    }

    /// Begins `COPY ... FROM STDIN`. Nothing is stored unless it is finished.
    pub fn copy_in(&mut self, copy: &str) -> Result<CopyIn<'_>, PostgresError> {
        let sink = self.with(|client| client.copy_in(copy))?;
        Ok(CopyIn { session: self, sink: Box::pin(sink) })
    }

    /// What another thread can stop the running statement with.
    pub fn canceller(&self) -> Canceller {
        Canceller {
            token: self.client.as_ref().map(Client::cancel_token),
            encryption: self.encryption.for_connection(),
        }
    }

    /// Drives a request to its end.
    pub(crate) fn with<'s, T, F>(&'s mut self, request: impl FnOnce(&'s Client) -> F) -> Result<T, PostgresError>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>> + 's,
    {
        let Some(client) = &self.client else { return Err(self.is_gone()) };
        self.runtime.block_on(request(client)).map_err(|error| PostgresError::of(&self.place, &error))
    }

    fn is_gone(&self) -> PostgresError {
        PostgresError::new(ErrorKind::Unavailable, format!("{}: the connection is closed", self.place))
    }
}

impl Drop for Session {
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

/// A `COPY ... FROM STDIN` that is going on. Dropped before its end, it fails at the server.
pub struct CopyIn<'s> {
    session: &'s mut Session,
    sink: Pin<Box<CopyInSink<Cursor<Vec<u8>>>>>,
}

impl CopyIn<'_> {
    /// Sends some bytes. What the server does not accept may be told here or at the end.
    pub fn send(&mut self, bytes: Vec<u8>) -> Result<(), PostgresError> {
        let sent = self.session.runtime.block_on(self.sink.send(Cursor::new(bytes)));
        sent.map_err(|error| PostgresError::of(&self.session.place, &error))
    }

    /// Ends it; the number of rows stored.
    pub fn finish(mut self) -> Result<u64, PostgresError> {
        let stored = self.session.runtime.block_on(self.sink.as_mut().finish());
        stored.map_err(|error| PostgresError::of(&self.session.place, &error))
    }
}

/// Stops the running statement of a session, from another thread.
#[derive(Clone)]
pub struct Canceller {
    token: Option<CancelToken>,
    encryption: Encryption,
}

impl Canceller {
    /// Asks the server to stop what runs. It may have ended meanwhile; whoever runs it is told by its error.
    pub fn cancel(&self) {
        let (Some(token), Ok(runtime)) = (&self.token, runtime()) else { return };
        let asked = token.cancel_query(self.encryption.clone());
        // Where the server cannot be reached, the statement ends by that.
        let _ = runtime.block_on(async { tokio::time::timeout(CANCEL_TIMEOUT, asked).await });
    }
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
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
    application: &str,
    place: &str,
) -> Result<(Client, tokio::task::JoinHandle<()>, Encryption), PostgresError> {
    let mut config = Config::new();
    if settings.host.starts_with('/') {
        config.host_path(&settings.host);
    } else {
        config.host(&settings.host);
    }
    config.port(settings.port).user(&settings.user).dbname(&settings.database).application_name(application);
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
                return Ok((client, driver, encryption));
            }
            Ok(Err(error)) => {
                let first =
                    &*trouble.get_or_insert_with(|| PostgresError::of(&format!("{place}: cannot connect"), &error));
                if !is_about_encryption(&error) || index + 1 == attempts.len() {
                    return Err(first.clone());
                }
            }
            Err(_) => {
                let seconds = settings.connect_timeout.as_secs_f32();
                let message = format!(
                    "{place}: no answer within {seconds} s; check host, port and firewall, or raise `connect_timeout`"
                );
                return Err(PostgresError::new(ErrorKind::Unavailable, message));
            }
        }
    }
    Err(trouble.unwrap_or_else(|| PostgresError::new(ErrorKind::Denied, format!("{place}: no way to connect"))))
}
