//! TLS settings of a node, which change while it serves.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use tokio::sync::watch;

use crate::trust::{Anchor, demand, first_that_vouches};
use crate::{Certificate, Details, Error, Fingerprint, Issued, NodeClock, provider};

/// Who may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Anybody; clients compare the fingerprint of the certificate.
    Maintenance,
    /// Anybody, only to see the node's state: it is locked, and knows no authority.
    Locked,
    /// Only holders of a certificate of the authority.
    Mutual,
    /// Anybody; who shows a certificate of the authority is known by it.
    Optional,
}

/// The settings that a node serves with at a time.
#[derive(Clone)]
pub struct Serving {
    /// Settings for the handshake.
    pub config: Arc<ServerConfig>,
    /// Who may connect.
    pub mode: Mode,
    /// Fingerprint of the node's certificate.
    pub fingerprint: Fingerprint,
    /// The authorities of clients; set in the modes mutual and optional.
    pub trust: Option<Trusted>,
}

/// The authorities that a node knows clients by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted(Arc<[Certificate]>);

impl Trusted {
    /// Reads them from PEM, one or more.
    ///
    /// # Errors
    ///
    /// A text that has none, or one that cannot be read.
    pub fn of(authorities: &str) -> Result<Self, Error> {
        Ok(Self(
            Certificate::all_from_pem(authorities, "the authority")?.into(),
        ))
    }

    /// Returns them all.
    pub(crate) fn certificates(&self) -> &[Certificate] {
        &self.0
    }

    /// Returns the first of them: the one that signs.
    pub fn first(&self) -> Option<Fingerprint> {
        self.0.first().map(Certificate::fingerprint)
    }

    /// Tells whether an authority is one of them.
    pub fn contains(&self, authority: Fingerprint) -> bool {
        self.0.iter().any(|own| own.fingerprint() == authority)
    }

    /// Tells whether two have an authority in common: what it has signed is known by both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().any(|own| other.contains(own.fingerprint()))
    }

    /// Returns which of them vouches for a chain that a handshake has verified.
    pub fn voucher(&self, chain: &[CertificateDer<'_>]) -> Option<Fingerprint> {
        let read = |der: &CertificateDer<'_>| Certificate::from_der(der.clone().into_owned(), "the client");
        let chain: Result<Vec<Certificate>, Error> = chain.iter().map(read).collect();
        let chain = chain.ok()?;
        let vouches =
            |authority: &&Certificate| crate::trust::vouches(std::slice::from_ref(authority), &chain);
        self.0.iter().find(vouches).map(Certificate::fingerprint)
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving")
            .field("mode", &self.mode)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// The current settings of the node. Every handshake uses the current ones, so a new certificate, a new authority or the
/// end of maintenance mode needs no restart.
#[derive(Debug, Default)]
pub struct ServerTls {
    serving: watch::Sender<Option<Arc<Serving>>>,
}

impl ServerTls {
    /// Starts without settings: connections are closed at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what the next handshake uses.
    pub fn set(&self, serving: Option<Serving>) {
        self.serving.send_replace(serving.map(Arc::new));
    }

    /// Returns the current settings.
    pub fn current(&self) -> Option<Arc<Serving>> {
        self.serving.borrow().clone()
    }

    /// Returns a receiver of changes.
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Serving>>> {
        self.serving.subscribe()
    }
}

impl Serving {
    /// Serves holders of a certificate of `authorities` (PEM, one or more) with a certificate of theirs.
    pub fn mutual(authorities: &str, issued: &Issued, clock: Arc<NodeClock>) -> Result<Self, Error> {
        Self::verifying(authorities, issued, clock, Mode::Mutual)
    }

    /// Serves anybody, and verifies the certificates of those who show one of `authorities` (PEM, one or more). What is
    /// served with may be of another authority.
    pub fn optional(authorities: &str, issued: &Issued, clock: Arc<NodeClock>) -> Result<Self, Error> {
        Self::verifying(authorities, issued, clock, Mode::Optional)
    }

    fn verifying(
        authorities: &str,
        issued: &Issued,
        clock: Arc<NodeClock>,
        mode: Mode,
    ) -> Result<Self, Error> {
        let trust = Trusted::of(authorities)?;
        let authorities = &trust.0;
        let mut roots = RootCertStore::empty();
        for authority in authorities.iter() {
            roots.add(authority.der().clone())?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider()).build()?;
        let anchors = Anchor::each(authorities, |roots| {
            Ok(WebPkiClientVerifier::builder_with_provider(roots.into(), provider()).build()?)
        })?;
        let verifier = ClocklessVerifier {
            inner: verifier,
            anchors,
            clock,
            mandatory: mode == Mode::Mutual,
        };
        Self::new(issued, mode, Some((trust, Arc::new(verifier))))
    }

    /// Serves anybody with a self-signed certificate.
    pub fn maintenance(issued: &Issued) -> Result<Self, Error> {
        Self::new(issued, Mode::Maintenance, None)
    }

    /// Shows anybody the state of a node that is locked, with a self-signed certificate.
    pub fn locked(issued: &Issued) -> Result<Self, Error> {
        Self::new(issued, Mode::Locked, None)
    }

    fn new(
        issued: &Issued,
        mode: Mode,
        trust: Option<(Trusted, Arc<dyn ClientCertVerifier>)>,
    ) -> Result<Self, Error> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?;
        let (trust, builder) = match trust {
            Some((trust, verifier)) => (Some(trust), builder.with_client_cert_verifier(verifier)),
            None => (None, builder.with_no_client_auth()),
        };
        let chain = vec![issued.certificate.der().clone()];
        let mut config = builder.with_single_cert(chain, issued.key.to_der())?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        // A resumed session would outlive its authority, and costs memory.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self {
            config: Arc::new(config),
            mode,
            fingerprint: issued.certificate.fingerprint(),
            trust,
        })
    }
}

/// Returns the fingerprint over authorities (PEM, one or more), in their order.
pub fn trust_in(authorities: &str) -> Result<Fingerprint, Error> {
    let authorities = Certificate::all_from_pem(authorities, "the authority")?;
    Ok(Fingerprint::of_all(authorities.iter().map(Certificate::der)))
}

/// Verifies client certificates on a node that may not know the time: see [`crate::clock`] and [`crate::trust`].
#[derive(Debug)]
struct ClocklessVerifier {
    /// Knows all authorities: for what does not depend on a single one.
    inner: Arc<dyn ClientCertVerifier>,
    anchors: Vec<Anchor<Arc<dyn ClientCertVerifier>>>,
    clock: Arc<NodeClock>,
    /// Set when nobody comes in without a certificate.
    mandatory: bool,
}

impl ClientCertVerifier for ClocklessVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let system = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
        let not_before = Details::read(end_entity).map_or(system, |details| details.not_before);
        let moment = self.clock.judge(system, not_before);
        let moment = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let moment = UnixTime::since_unix_epoch(moment);
        let verified = first_that_vouches(&self.anchors, intermediates, |verifier, intermediates| {
            verifier.verify_client_cert(end_entity, intermediates, moment)
        })?;
        demand(end_entity, |purposes| purposes.client)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
