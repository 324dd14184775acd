//! From a greeting to a session: encryption, and proving who we are.

use std::collections::HashMap;
use std::path::Path;

use mysql_common::auth::plugins::{AuthProc, ChallengeResponsePlugin, Context, Response};
use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, HandshakePacket, HandshakeResponse, SslRequest};
use mysql_common::proto::{MyDeserialize, MySerialize};
use rustls::pki_types::ServerName;
use thalweg_project::{DatabaseSettings, SslMode};

use super::error::{ServerError, Trouble};
use super::wire::Wire;
use crate::{SourceError, SourceErrorKind};
use thalweg_postgres::tls::{Verification, client_config, protection};

/// What is known of a server once it let us in.
#[derive(Debug, Clone)]
pub(super) struct Greeting {
    /// The version as the server writes it: `10.11.6-MariaDB-0+deb12u1`.
    pub(super) version: String,
    /// Number of our connection there.
    pub(super) connection: u64,
    /// Result sets end with an OK packet.
    pub(super) deprecated_eof: bool,
    /// How the connection is protected, in words.
    pub(super) protection: String,
}

/// The server wants encryption (the account `REQUIRE SSL`, or the whole server).
const SECURE_TRANSPORT_REQUIRED: u16 = 3159;
const ACCESS_DENIED: u16 = 1045;

/// Connects and logs in, with as much encryption as the settings ask for.
pub(super) fn log_in(settings: &DatabaseSettings, project_folder: &Path) -> Result<(Wire, Greeting), Trouble> {
    let attempt = |encryption| attempt(settings, project_folder, encryption);
    match settings.sslmode {
        SslMode::Disable => attempt(Encryption::Never),
        SslMode::Allow => match attempt(Encryption::Never) {
            Err(Trouble::Server(ServerError { code: SECURE_TRANSPORT_REQUIRED | ACCESS_DENIED, .. })) => {
                attempt(Encryption::Always)
            }
            other => other,
        },
        SslMode::Prefer => match attempt(Encryption::IfOffered) {
            // A server whose encryption is too old for us, or broken, is spoken to without, as libpq does.
            Err(Trouble::Io(error)) if is_tls(&error) => attempt(Encryption::Never),
            other => other,
        },
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => attempt(Encryption::Always),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    Never,
    IfOffered,
    Always,
}

fn is_tls(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

fn attempt(
    settings: &DatabaseSettings,
    project_folder: &Path,
    encryption: Encryption,
) -> Result<(Wire, Greeting), Trouble> {
    let mut wire = Wire::connect(&settings.host, settings.port, settings.connect_timeout)?;
    let hello = Hello::receive(&mut wire)?;
    let mut capabilities = CapabilityFlags::CLIENT_LONG_PASSWORD
        | CapabilityFlags::CLIENT_LONG_FLAG
        | CapabilityFlags::CLIENT_PROTOCOL_41
        | CapabilityFlags::CLIENT_TRANSACTIONS
        | CapabilityFlags::CLIENT_SECURE_CONNECTION
        | CapabilityFlags::CLIENT_PLUGIN_AUTH;
    capabilities |= hello.capabilities
        & (CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
            | CapabilityFlags::CLIENT_CONNECT_ATTRS
            | CapabilityFlags::CLIENT_DEPRECATE_EOF);
    // What is said before encryption must be repeated behind it: some servers compare.
    capabilities.set(CapabilityFlags::CLIENT_CONNECT_WITH_DB, !settings.database.is_empty());
    let offered = hello.capabilities.contains(CapabilityFlags::CLIENT_SSL);
    // A socket of this machine is as safe as it gets; libpq does not encrypt it either.
    let encrypted = match encryption {
        _ if wire.is_local() => false,
        Encryption::Never => false,
        Encryption::IfOffered => offered,
        Encryption::Always if !offered => {
            let message = format!(
                "the server at {} does not offer encryption: switch it on there, or set `sslmode: prefer`",
                settings.host
            );
            return Err(SourceError::new(SourceErrorKind::Denied, message).into());
        }
        Encryption::Always => true,
    };
    if encrypted {
        capabilities |= CapabilityFlags::CLIENT_SSL;
        // 45 is utf8mb4_general_ci.
        send(&mut wire, &SslRequest::new(capabilities, MAX_PACKET, 45))?;
        let config = client_config(settings, project_folder).map_err(SourceError::from)?;
        wire.encrypt(config, server_name(&settings.host)?)?;
    }
    authenticate(&mut wire, settings, hello.clone(), capabilities)?;
    let protection = match wire.tls_version() {
        Some(version) => protection(version, Verification::of(settings)),
        None if wire.is_local() => "local socket".to_owned(),
        None => "not encrypted".to_owned(),
    };
    let deprecated_eof = capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF);
    Ok((wire, Greeting { version: hello.version, connection: hello.connection, deprecated_eof, protection }))
}

/// The greatest packet we take, as told to the server: its own greatest.
const MAX_PACKET: u32 = 1 << 30;

fn send(wire: &mut Wire, packet: &impl MySerialize) -> Result<(), Trouble> {
    let mut bytes = Vec::new();
    packet.serialize(&mut bytes);
    Ok(wire.send(&bytes)?)
}

fn server_name(host: &str) -> Result<ServerName<'static>, SourceError> {
    ServerName::try_from(host.to_owned()).map_err(|_| {
        SourceError::new(SourceErrorKind::Denied, format!("`host: {host}` is no name a certificate can be made out to"))
    })
}

/// The server's first packet.
#[derive(Debug, Clone)]
struct Hello {
    version: String,
    connection: u64,
    capabilities: CapabilityFlags,
    scramble: Vec<u8>,
    plugin: AuthPlugin<'static>,
}

impl Hello {
    fn receive(wire: &mut Wire) -> Result<Self, Trouble> {
        let packet = wire.receive()?;
        if packet.first() == Some(&0xFF) {
            return Err(server_error(packet));
        }
        let unknown = || Trouble::Protocol("the greeting is not that of a MySQL or MariaDB server".to_owned());
        if packet.first() != Some(&10) {
            return Err(unknown());
        }
        let hello = HandshakePacket::deserialize((), &mut ParseBuf(packet)).map_err(|_| unknown())?;
        let version = hello.server_version_str().into_owned();
        Ok(Self {
            // Replication to old servers needs a version that begins with 5: MariaDB hides its own behind it.
            version: version.strip_prefix("5.5.5-").map_or(version.clone(), str::to_owned),
            connection: u64::from(hello.connection_id()),
            capabilities: hello.capabilities(),
            scramble: hello.nonce(),
            plugin: hello.auth_plugin().map_or(AuthPlugin::MysqlNativePassword, AuthPlugin::into_owned),
        })
    }
}

fn authenticate(
    wire: &mut Wire,
    settings: &DatabaseSettings,
    hello: Hello,
    capabilities: CapabilityFlags,
) -> Result<(), Trouble> {
    let password = settings.password.as_ref().map_or("", |password| password.expose()).as_bytes();
    let mut proof = Proof { password, scramble: hello.scramble, private: wire.is_private() };
    let mut plugin = hello.plugin;
    // A way we do not know may still be changed by the server, once it has heard who we are.
    let (mut procedure, first) = match proof.begin(&plugin) {
        Ok((procedure, answer)) => (Some(procedure), answer),
        Err(_) => (None, Vec::new()),
    };
    if procedure.is_none() {
        plugin = AuthPlugin::MysqlNativePassword;
    }
    let attributes = HashMap::from([("program_name".to_owned(), "thalweg".to_owned())]);
    let response = HandshakeResponse::new(
        Some(first),
        (8, 0, 0),
        Some(settings.user.as_bytes()),
        (!settings.database.is_empty()).then_some(settings.database.as_bytes()),
        Some(plugin),
        capabilities,
        capabilities.contains(CapabilityFlags::CLIENT_CONNECT_ATTRS).then_some(attributes),
        MAX_PACKET,
    );
    send(wire, &response)?;
    // A handful of rounds is enough for every way of logging in.
    for _ in 0..8 {
        let packet = wire.receive()?.to_vec();
        match packet.first() {
            Some(0x00) => return Ok(()),
            Some(0xFF) => return Err(server_error(&packet)),
            Some(0xFE) => {
                let (name, data) = split_at_zero(&packet[1..]);
                let name = if name.is_empty() { b"mysql_old_password" } else { name };
                proof.scramble = data.strip_suffix(&[0]).unwrap_or(data).to_vec();
                let (next, answer) = proof.begin(&AuthPlugin::from_bytes(name))?;
                procedure = Some(next);
                wire.send(&answer)?;
            }
            Some(0x01) => {
                let Some(procedure) = &mut procedure else { break };
                if let Some(answer) = proof.go_on(procedure, &packet[1..])? {
                    wire.send(&answer)?;
                }
            }
            _ => break,
        }
    }
    Err(Trouble::Protocol("the server's way of logging in is not understood".to_owned()))
}

fn split_at_zero(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == 0) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[]),
    }
}

/// What proves who we are.
struct Proof<'a> {
    password: &'a [u8],
    scramble: Vec<u8>,
    private: bool,
}

impl Context for &Proof<'_> {
    fn pass(&self) -> &[u8] {
        self.password
    }

    fn is_ipc_transport(&self) -> bool {
        false
    }

    fn is_tls_transport(&self) -> bool {
        self.private
    }

    fn scramble(&self) -> &[u8] {
        &self.scramble
    }

    fn server_key_pem(&self) -> Option<&[u8]> {
        None
    }
}

impl Proof<'_> {
    /// Begins a way of logging in: its first answer.
    fn begin(&self, plugin: &AuthPlugin<'_>) -> Result<(AuthProc, Vec<u8>), Trouble> {
        let refused = |why: String| Trouble::Other(SourceError::new(SourceErrorKind::Denied, why));
        match plugin {
            AuthPlugin::MysqlClearPassword if !self.private => {
                return Err(refused(
                    "the server asks for the password in clear text on a connection that is not encrypted, which is not done: set \
                     `sslmode: require`"
                        .to_owned(),
                ));
            }
            AuthPlugin::MysqlOldPassword => {
                return Err(refused(
                    "the account has a password of the kind before MySQL 4.1, which anybody can break: set it anew at the server"
                        .to_owned(),
                ));
            }
            _ => {}
        }
        let mut procedure = plugin.init().map_err(|_| {
            let name = String::from_utf8_lossy(plugin.as_bytes()).into_owned();
            refused(format!(
                "the account logs in by `{name}`, which is not known here: give it caching_sha2_password, ed25519 or \
                 mysql_native_password"
            ))
        })?;
        let answer = self.go_on(&mut procedure, &self.scramble)?.unwrap_or_default();
        Ok((procedure, answer))
    }

    /// The answer to what the server asks next; `None` when there is nothing to say.
    fn go_on(&self, procedure: &mut AuthProc, challenge: &[u8]) -> Result<Option<Vec<u8>>, Trouble> {
        match procedure.run(self, challenge) {
            Ok(Response::Next { packet } | Response::Last { packet }) => Ok(packet),
            Err(error) => Err(Trouble::Protocol(format!("logging in failed: {error}"))),
        }
    }
}

/// An error packet.
pub(super) fn server_error(packet: &[u8]) -> Trouble {
    let (Some(low), Some(high)) = (packet.get(1), packet.get(2)) else {
        return Trouble::Protocol("an error without a number".to_owned());
    };
    let rest = packet.get(3..).unwrap_or_default();
    // `#` and five characters of SQLSTATE stand before the words, except before we have logged in.
    let words = if rest.first() == Some(&b'#') { rest.get(6..).unwrap_or_default() } else { rest };
    Trouble::Server(ServerError {
        code: u16::from_le_bytes([*low, *high]),
        message: String::from_utf8_lossy(words).into_owned(),
    })
}
