//! Encryption, the same for every database, MySQL included: what `sslmode` and its files mean, as libpq means it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, ProtocolVersion, RootCertStore, SignatureScheme,
};
use thalweg_project::{DatabaseSettings, SslMode};

use crate::{ErrorKind, PostgresError};

/// Files in which systems keep the certificates of the authorities they trust; the first that exists counts.
const SYSTEM_AUTHORITIES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// How far the server's certificate is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// Not at all: whoever sits between can read along.
    None,
    /// It must be signed by a trusted authority.
    Authority,
    /// The same, and made out to the host.
    Host,
}

impl Verification {
    /// What the settings ask for. As in libpq, `require` with a file of authorities means `verify-ca`.
    pub fn of(settings: &DatabaseSettings) -> Self {
        match settings.sslmode {
            SslMode::VerifyFull => Self::Host,
            SslMode::VerifyCa => Self::Authority,
            SslMode::Require if settings.sslrootcert.is_some() => Self::Authority,
            _ => Self::None,
        }
    }
}

/// What rustls needs for a connection under these settings; relative paths start at the project's folder.
pub fn client_config(settings: &DatabaseSettings, project_folder: &Path) -> Result<Arc<ClientConfig>, PostgresError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| denied(format!("TLS cannot be used: {error}")))?;
    let verifier = verifier(settings, project_folder, provider)?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let config = match (&settings.sslcert, &settings.sslkey) {
        (Some(certificate), Some(key)) => {
            let (certificate, key) = (project_folder.join(certificate), project_folder.join(key));
            let chain = read_certificates("sslcert", &certificate)?;
            let secret = PrivateKeyDer::from_pem_file(&key).map_err(|error| {
                denied(format!(
                    "sslkey: {} cannot be read: {error}; give a key in PEM without a passphrase",
                    key.display()
                ))
            })?;
            builder.with_client_auth_cert(chain, secret).map_err(|error| {
                denied(format!("sslcert {} and sslkey {} do not fit: {error}", certificate.display(), key.display()))
            })?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => return Err(denied("sslcert and sslkey belong together: give both or none".to_owned())),
    };
    Ok(Arc::new(config))
}

/// How a connection is protected, in words: `TLS 1.3, certificate verified`.
pub fn protection(version: Option<ProtocolVersion>, verification: Verification) -> String {
    let version = match version {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    let certificate = match verification {
        Verification::None => "certificate not verified",
        Verification::Authority => "certificate verified",
        Verification::Host => "certificate and host verified",
    };
    format!("{version}, {certificate}")
}

/// What a failed handshake means, and what to do.
pub fn handshake_advice(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is signed by nobody trusted: give the authority's certificate as `sslrootcert`".to_owned()
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is made out to another host: give that name as `host`, or use `sslmode: verify-ca`"
            .to_owned(),
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired: it must be renewed there".to_owned()
        }
        Error::InvalidCertificate(error) => format!("its certificate is not accepted: {error}"),
        error => format!("the encrypted connection was not made: {error}"),
    }
}

fn denied(message: String) -> PostgresError {
    PostgresError::new(ErrorKind::Denied, message)
}

fn verifier(
    settings: &DatabaseSettings,
    project_folder: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, PostgresError> {
    let verification = Verification::of(settings);
    if verification == Verification::None {
        return Ok(Arc::new(Unverified { provider }));
    }
    let path = match settings.sslrootcert.as_deref() {
        Some("system") | None => system_authorities()?,
        Some(file) => project_folder.join(file),
    };
    let certificates = read_certificates("sslrootcert", &path)?;
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates.iter().cloned());
    if added == 0 {
        return Err(denied(format!("sslrootcert: {} holds no certificate of an authority", path.display())));
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = verifier.map_err(|error| denied(format!("sslrootcert: {}: {error}", path.display())))?;
    Ok(Arc::new(Verified { verifier, trusted: certificates, verification }))
}

fn system_authorities() -> Result<PathBuf, PostgresError> {
    let own = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let mut known = own.into_iter().chain(SYSTEM_AUTHORITIES.map(PathBuf::from));
    known
        .find(|path| path.exists())
        .ok_or_else(|| denied("this system has no file of trusted authorities: give one as `sslrootcert`".to_owned()))
}

fn read_certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, PostgresError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates =
        read.map_err(|error| denied(format!("{setting}: {} cannot be read: {error}; it must be PEM", path.display())))?;
    if certificates.is_empty() {
        return Err(denied(format!("{setting}: {} holds no certificate", path.display())));
    }
    Ok(certificates)
}

/// Accepts any certificate: encryption against those who only listen, as `sslmode: prefer` and `require` promise no more. The
/// signature is not looked at either, so that certificates of old versions, which servers made for themselves, are no obstacle.
#[derive(Debug)]
struct Unverified {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Checks who signed the certificate and, where it is wanted, whose it is.
#[derive(Debug)]
struct Verified {
    verifier: Arc<WebPkiServerVerifier>,
    /// Certificates that are trusted as they are: a server may be known by its own, which no authority signed.
    trusted: Vec<CertificateDer<'static>>,
    verification: Verification,
}

impl ServerCertVerifier for Verified {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = if self.trusted.iter().any(|trusted| trusted == certificate) {
            let parsed = ParsedCertificate::try_from(certificate)?;
            verify_server_name(&parsed, host).map(|()| ServerCertVerified::assertion())
        } else {
            self.verifier.verify_server_cert(certificate, chain, host, ocsp, now)
        };
        // The name is the last thing the verifier looks at: whoever fails by it has passed everything else.
        match verified {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.verification == Verification::Authority => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
