//! Encryption for `tokio-postgres`; what `sslmode` means stands in [`crate::tls`].
//!
//! Channel binding is not offered: it needs the hash algorithm of the server's certificate, and `verify-full` protects better.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use thalweg_project::DatabaseSettings;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::client::TlsStream as RustlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ProtocolVersion};

use crate::PostgresError;
use crate::tls::{Verification, client_config, protection};

/// Makes connections encrypted.
#[derive(Clone)]
pub struct Encryption {
    config: Arc<ClientConfig>,
    verification: Verification,
    /// The version of the protocol that was agreed upon.
    version: Arc<Mutex<Option<ProtocolVersion>>>,
}

impl Encryption {
    /// As the settings say; files are relative to the project folder.
    pub fn new(settings: &DatabaseSettings, project_folder: &Path) -> Result<Self, PostgresError> {
        let config = client_config(settings, project_folder)?;
        Ok(Self { config, verification: Verification::of(settings), version: Arc::default() })
    }

    /// The same for one connection, whose protection is told apart from that of others.
    pub fn for_connection(&self) -> Self {
        Self { config: Arc::clone(&self.config), verification: self.verification, version: Arc::default() }
    }

    /// How the connection is protected, in words.
    pub fn told(&self) -> String {
        match self.version.lock().map_or(None, |version| *version) {
            None => "not encrypted".to_owned(),
            version => protection(version, self.verification),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Encryption {
    type Stream = Encrypted<S>;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, io::Error> {
        // A socket has no host; where nothing is checked, any name does.
        let host = if host.is_empty() { "localhost" } else { host };
        let host = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Handshake { encryption: self.clone(), host })
    }
}

/// One handshake to come.
pub struct Handshake {
    encryption: Encryption,
    host: ServerName<'static>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Handshake {
    type Stream = Encrypted<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Encrypted<S>, io::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.encryption.config));
            let stream = connector.connect(self.host, stream).await?;
            if let Ok(mut version) = self.encryption.version.lock() {
                *version = stream.get_ref().1.protocol_version();
            }
            Ok(Encrypted(stream))
        })
    }
}

/// An encrypted connection.
pub struct Encrypted<S>(RustlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Encrypted<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
