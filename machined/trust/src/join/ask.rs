//! Asks one control plane.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper_util::rt::TokioIo;
use pki::{Certificate, Client, NodeClock, PrivateKey, Purposes, SigningRequest, Subject};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use zeroize::Zeroize as _;

use super::keep::KeptCertificate;
use super::plan::Wanted;
use crate::policy::API;
use crate::proto::trust_service_client::TrustServiceClient;
use crate::proto::{CertificateRequest, JoinRequest, JoinResponse};

/// Time limit of the connection, and of its handshake.
const DIAL_TIME: Duration = Duration::from_secs(5);
/// Time limit of the answer.
const ANSWER_TIME: Duration = Duration::from_secs(15);
/// Largest answer in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The control plane is not there.
    #[error("control plane {host} does not answer on port {port}")]
    Unreachable {
        /// Its name or address.
        host: String,
        /// The port.
        port: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not a control plane of this cluster, or does not prove it.
    #[error("{host} is not accepted as a control plane of this cluster")]
    Untrusted {
        /// Its name or address.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It does not sign.
    #[error("control plane {host} refuses: {reason}")]
    Refused {
        /// Its name or address.
        host: String,
        /// Its reason, with the way out.
        reason: String,
    },
    /// It cannot sign now, or the connection broke.
    #[error("control plane {host} cannot sign now: {reason}")]
    Later {
        /// Its name or address.
        host: String,
        /// Its reason.
        reason: String,
    },
    /// Its answer is not what was asked for.
    #[error(
        "control plane {host} answered with other certificates than those asked for; use the same release on all nodes"
    )]
    Answer {
        /// Its name or address.
        host: String,
    },
    /// Nobody is known who could be asked.
    #[error("no control plane is known; set cluster.endpoint")]
    Nobody,
    /// No request can be made.
    #[error("cannot ask for certificates")]
    Make(#[from] pki::Error),
}

impl Error {
    /// Returns true if somebody has to act: what is refused now will be refused again.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Untrusted { .. })
    }
}

/// What is asked for and with what.
pub(super) struct Ask<'a> {
    /// The authorities of machined's API, in PEM.
    pub(super) authorities: &'a str,
    /// The token.
    pub(super) token: &'a str,
    /// The node's own key.
    pub(super) own: &'a PrivateKey,
    /// The certificates.
    pub(super) wanted: &'a [Wanted],
    /// What the node knows of the time.
    pub(super) clock: &'a Arc<NodeClock>,
}

/// What came back.
pub(super) struct Answer {
    pub(super) certificates: BTreeMap<String, KeptCertificate>,
    pub(super) control_planes: Vec<(String, Vec<IpAddr>)>,
}

impl Ask<'_> {
    /// Asks the control plane at a host, showing the node's certificate if it has one.
    pub(super) async fn at(
        &self,
        host: &str,
        port: u16,
        shown: Option<&KeptCertificate>,
    ) -> Result<Answer, Error> {
        if let Some(shown) = shown {
            let own = Some((shown.certificate.as_str(), shown.key.as_str()));
            match self.once(host, port, own).await {
                // It may be of an authority that is gone, or expired by the other's clock: then the token speaks.
                Err(Error::Untrusted { .. } | Error::Refused { .. } | Error::Later { .. }) => {}
                answered => return answered,
            }
        }
        self.once(host, port, None).await
    }

    async fn once(&self, host: &str, port: u16, own: Option<(&str, &str)>) -> Result<Answer, Error> {
        let client = Client::of_node(self.authorities, own, self.clock.clone())?;
        let channel = connect(&client, host, port).await?;
        let (keys, requests) = self.requests()?;
        let mut request = JoinRequest {
            token: self.token.to_owned(),
            requests,
        };
        let mut service = TrustServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER);
        let message = tonic::Request::new(std::mem::take(&mut request));
        let answered = match timeout(ANSWER_TIME, service.join(message)).await {
            Ok(answered) => answered,
            Err(_) => Err(tonic::Status::deadline_exceeded("there was no answer in time")),
        };
        let answer = answered.map_err(|status| refused(host, &status))?.into_inner();
        self.read(answer, &keys).ok_or_else(|| Error::Answer {
            host: host.to_owned(),
        })
    }

    /// Makes the keys and the requests for them.
    fn requests(&self) -> Result<(Vec<PrivateKey>, Vec<CertificateRequest>), Error> {
        let (mut keys, mut requests) = (Vec::new(), Vec::new());
        for one in self.wanted {
            let key = match one.which == API {
                true => PrivateKey::from_pem(&self.own.to_pem(), "the node's own key")?,
                false => PrivateKey::generate_ecdsa()?,
            };
            let subject = Subject {
                name: &one.name,
                organization: one.organization.as_deref(),
                alternative_names: &one.alternative_names,
                purposes: Purposes::default(),
            };
            requests.push(CertificateRequest {
                which: one.which.clone(),
                der: SigningRequest::make(&subject, &key)?,
            });
            keys.push(key);
        }
        Ok((keys, requests))
    }

    /// Reads an answer. Returns none where it is not one to these requests.
    fn read(&self, answer: JoinResponse, keys: &[PrivateKey]) -> Option<Answer> {
        let mut certificates = BTreeMap::new();
        if answer.certificates.len() != self.wanted.len() {
            return None;
        }
        for ((issued, wanted), key) in answer.certificates.into_iter().zip(self.wanted).zip(keys) {
            let certificate = Certificate::from_pem(&issued.certificate, "the answer").ok()?;
            if issued.which != wanted.which || !certificate.is_for(key) {
                return None;
            }
            let details = certificate.details();
            let kept = KeptCertificate {
                certificate: issued.certificate,
                key: key.to_pem().to_string(),
                names: wanted.names(),
                not_before: seconds(details.not_before),
                not_after: seconds(details.not_after),
            };
            certificates.insert(wanted.which.clone(), kept);
        }
        let control_planes = answer.control_planes.into_iter().take(16).map(|plane| {
            let addresses = plane.addresses.iter().filter_map(|address| address.parse().ok());
            (plane.name, addresses.take(8).collect())
        });
        Some(Answer {
            certificates,
            control_planes: control_planes.collect(),
        })
    }
}

/// Makes the connection, and verifies who is at its end.
async fn connect(client: &Client, host: &str, port: u16) -> Result<Channel, Error> {
    let unreachable = |source| Error::Unreachable {
        host: host.to_owned(),
        port,
        source,
    };
    let untrusted = |source| Error::Untrusted {
        host: host.to_owned(),
        source,
    };
    let late = || io::Error::from(io::ErrorKind::TimedOut);
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|error| untrusted(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let stream = timeout(DIAL_TIME, TcpStream::connect((host, port))).await;
    let stream = stream.map_err(|_| unreachable(late()))?.map_err(unreachable)?;
    let connector = TlsConnector::from(client.config.clone());
    let stream = timeout(DIAL_TIME, connector.connect(name, stream)).await;
    let stream = match stream.map_err(|_| unreachable(late()))? {
        Ok(stream) => stream,
        // Closed by the other side: a control plane that does not sign yet.
        Err(error) if error.kind() != io::ErrorKind::InvalidData => return Err(unreachable(error)),
        Err(error) => return Err(untrusted(error)),
    };
    // One connection, made already: gRPC does not dial again behind our back.
    let mut stream = Some(TokioIo::new(stream));
    let take = tower::service_fn(move |_: http::Uri| {
        let stream = stream
            .take()
            .ok_or_else(|| io::Error::other("the connection was lost"));
        std::future::ready(stream)
    });
    let channel = Endpoint::from_static("http://node")
        .connect_with_connector(take)
        .await;
    channel.map_err(|error| Error::Later {
        host: host.to_owned(),
        reason: state::chain(&error),
    })
}

fn refused(host: &str, status: &tonic::Status) -> Error {
    let (host, reason) = (host.to_owned(), status.message().to_owned());
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument => {
            Error::Refused { host, reason }
        }
        _ => Error::Later { host, reason },
    }
}

fn seconds(moment: SystemTime) -> u64 {
    moment
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

impl Drop for JoinRequest {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}
