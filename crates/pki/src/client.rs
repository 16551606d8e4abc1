//! TLS settings of a client of nodes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};

use crate::trust::{Anchor, demand, first_that_vouches};
use crate::{Certificate, Details, Error, Fingerprint, NodeClock, PrivateKey, Trusted, provider};

/// The settings for one connection, and the node's certificate in its handshake.
#[derive(Debug, Clone)]
pub struct Client {
    /// Settings for the handshake.
    pub config: Arc<ClientConfig>,
    seen: Arc<Seen>,
}

/// Whom the client trusts.
#[derive(Debug)]
enum Trust {
    /// Nodes with a certificate of the authority, for the name in the address.
    Authority(Vec<Anchor<Arc<WebPkiServerVerifier>>>),
    /// The one node with this certificate.
    Fingerprint(Fingerprint),
    /// Any node: only in maintenance mode, on a trusted network.
    Anybody,
}

impl Client {
    /// Connects to nodes of a cluster. All three are PEM.
    pub fn mutual(authorities: &str, certificate: &str, key: &str) -> Result<Self, Error> {
        Self::new(Self::authority(authorities)?, Some(identity(certificate, key)?))
    }

    /// Connects to servers of a cluster without a certificate of one's own. The authorities are PEM.
    pub fn trusting(authorities: &str) -> Result<Self, Error> {
        Self::new(Self::authority(authorities)?, None)
    }

    /// Connects as a node that may not know the time: to servers of a cluster, with the node's own certificate and key if
    /// it has one. All are PEM. A server's certificate that seems not to be valid yet proves the time, as in
    /// [`crate::clock`].
    pub fn of_node(
        authorities: &str,
        own: Option<(&str, &str)>,
        clock: Arc<NodeClock>,
    ) -> Result<Self, Error> {
        let own = own.map(|(certificate, key)| identity(certificate, key));
        Self::with_clock(Self::authority(authorities)?, own.transpose()?, Some(clock))
    }

    /// Connects as a node to servers of a cluster, only to see that they are: without a certificate. See
    /// [`Client::of_node`] for the clock.
    pub fn proving(trusted: &Trusted, clock: Arc<NodeClock>) -> Result<Self, Error> {
        Self::with_clock(Self::anchored(trusted.certificates())?, None, Some(clock))
    }

    /// Connects to the one node with this certificate, with a client certificate: a worker that has not joined yet.
    pub fn mutual_pinned(fingerprint: Fingerprint, certificate: &str, key: &str) -> Result<Self, Error> {
        Self::new(Trust::Fingerprint(fingerprint), Some(identity(certificate, key)?))
    }

    /// Connects to the one node in maintenance mode whose certificate has this fingerprint.
    pub fn pinned(fingerprint: Fingerprint) -> Result<Self, Error> {
        Self::new(Trust::Fingerprint(fingerprint), None)
    }

    /// Connects to any node. What is sent may reach an attacker.
    pub fn unverified() -> Result<Self, Error> {
        Self::new(Trust::Anybody, None)
    }

    /// Returns the node's certificate in the last handshake, trusted or not.
    pub fn seen(&self) -> Option<Certificate> {
        self.seen.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the same settings without an offer of HTTP/2, for servers that are spoken to in HTTP/1.1.
    #[must_use]
    pub fn over_http1(self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols.clear();
        Self {
            config: Arc::new(config),
            ..self
        }
    }

    fn authority(authorities: &str) -> Result<Trust, Error> {
        Self::anchored(&Certificate::all_from_pem(authorities, "the authority")?)
    }

    fn anchored(authorities: &[Certificate]) -> Result<Trust, Error> {
        let anchors = Anchor::each(authorities, |roots| {
            Ok(WebPkiServerVerifier::builder_with_provider(roots.into(), provider()).build()?)
        })?;
        Ok(Trust::Authority(anchors))
    }

    fn new(
        trust: Trust,
        identity: Option<(Vec<CertificateDer<'static>>, PrivateKey)>,
    ) -> Result<Self, Error> {
        Self::with_clock(trust, identity, None)
    }

    fn with_clock(
        trust: Trust,
        identity: Option<(Vec<CertificateDer<'static>>, PrivateKey)>,
        clock: Option<Arc<NodeClock>>,
    ) -> Result<Self, Error> {
        let seen = Arc::new(Seen::default());
        let verifier = Verifier {
            trust,
            clock,
            provider: provider(),
            seen: seen.clone(),
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key.to_der())?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
            seen,
        })
    }
}

/// Reads a client's certificate and key, which must match.
fn identity(certificate: &str, key: &str) -> Result<(Vec<CertificateDer<'static>>, PrivateKey), Error> {
    const CERT: &str = "the client certificate";
    let chain = Certificate::all_from_pem(certificate, CERT)?;
    let key = PrivateKey::from_pem(key, "the client key")?;
    if chain[0].details().public != key.public() {
        return Err(Error::KeyMismatch(CERT));
    }
    let chain = chain.into_iter().map(|certificate| certificate.der().clone());
    Ok((chain.collect(), key))
}

/// Keeps the certificate of the last handshake, so that a refusal can be explained.
#[derive(Debug, Default)]
struct Seen(Mutex<Option<Certificate>>);

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    /// Judges the dates of certificates; without one, the clock of this machine is right.
    clock: Option<Arc<NodeClock>>,
    provider: Arc<CryptoProvider>,
    seen: Arc<Seen>,
}

impl Verifier {
    fn moment(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> UnixTime {
        let Some(clock) = &self.clock else { return now };
        let system = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
        let not_before = Details::read(certificate).map_or(system, |details| details.not_before);
        let moment = clock.judge(system, not_before);
        UnixTime::since_unix_epoch(moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = Certificate::from_der(end_entity.clone().into_owned(), "the node").ok();
        *self.seen.0.lock().unwrap_or_else(PoisonError::into_inner) = certificate;
        match &self.trust {
            Trust::Authority(anchors) => {
                let now = self.moment(end_entity, now);
                let verified = first_that_vouches(anchors, intermediates, |verifier, intermediates| {
                    verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                })?;
                demand(end_entity, |purposes| purposes.server)?;
                Ok(verified)
            }
            Trust::Fingerprint(expected) if Fingerprint::of(end_entity) == *expected => {
                Ok(ServerCertVerified::assertion())
            }
            Trust::Fingerprint(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            Trust::Anybody => Ok(ServerCertVerified::assertion()),
        }
    }

    /// TLS 1.2 is never offered.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(CertificateError::BadSignature.into())
    }

    /// Verifies that the node has the key of its certificate, whoever signed that.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
