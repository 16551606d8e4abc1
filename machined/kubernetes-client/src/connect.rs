//! Making a client.

use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use kube::config::AuthInfo;
use kube::{Client, Config};
use machine_config::Secret;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// How long a connection may take, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a connection may take no byte of a request.
const WRITE: Duration = Duration::from_secs(30);
/// How long a connection may bring no byte. A watch that is quiet for longer is made again: servers send a bookmark every
/// minute.
const READ: Duration = Duration::from_secs(150);

/// Where the API server is, and who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The API server: `https://HOST:PORT`.
    pub api: String,
    /// The certificates of the authorities of the cluster, in PEM.
    pub authority: String,
    /// The client's certificate and those between it and the authority, in PEM.
    pub certificate: String,
    /// Its private key, in PEM.
    pub key: Secret,
}

/// No client can be made of what was given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is none.
    #[error("the address {api:?} of the API server is not a URL")]
    Address {
        /// What was given.
        api: String,
        /// What is wrong with it.
        #[source]
        source: http::uri::InvalidUri,
    },
    /// The authority's certificate cannot be read.
    #[error("the certificate of the cluster's authority cannot be read")]
    Authority(#[source] rustls_pki_types::pem::Error),
    /// The authority has no certificate.
    #[error("the cluster's authority has no certificate")]
    NoAuthority,
    /// The client's certificate and key cannot be used.
    #[error("the client's certificate for the API server cannot be used")]
    Client(#[source] Box<kube::Error>),
}

/// Makes a client that trusts this authority only. Connects with the first request, not now.
///
/// Must be called inside of a Tokio runtime.
///
/// # Errors
///
/// An address, a certificate or a key that cannot be read, or that do not fit together.
pub fn connect(credentials: &Credentials) -> Result<Client, Error> {
    let address = credentials.api.parse().map_err(|source| Error::Address {
        api: credentials.api.clone(),
        source,
    })?;
    let roots: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(credentials.authority.as_bytes()).collect();
    let roots = roots.map_err(Error::Authority)?;
    if roots.is_empty() {
        return Err(Error::NoAuthority);
    }
    let mut config = Config::new(address);
    config.root_cert = Some(roots.iter().map(|root| root.to_vec()).collect());
    config.connect_timeout = Some(CONNECT);
    config.write_timeout = Some(WRITE);
    config.read_timeout = Some(READ);
    config.reset_reader_on_write = true;
    // Controllers try again by themselves, and show what went wrong meanwhile.
    config.default_retry = false;
    config.auth_info = AuthInfo {
        client_certificate_data: Some(Base64::encode_string(credentials.certificate.as_bytes())),
        client_key_data: Some(Base64::encode_string(credentials.key.expose().as_bytes()).into()),
        ..AuthInfo::default()
    };
    Client::try_from(config).map_err(|error| Error::Client(Box::new(error)))
}
