//! Answers those who ask to join.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use backend::peer::Peer;
use kubernetes::{Cluster, identity};
use machine_config::Secret;
use machine_config::value::IpPrefix;
use node::events::Events;
use pki::{Authority, NodeClock, SigningRequest};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tonic::{Request, Response, Status};

use crate::attempts::Attempts;
use crate::ledger::{Claim, Entry, Ledger, Refused};
use crate::living::Living;
use crate::policy::{Asked, By, Facts, Granted, Taken, decide};
use crate::proto::trust_service_server::TrustService;
use crate::proto::{ControlPlane, IssuedCertificate, JoinRequest, JoinResponse};

/// The part of the node in events.
const SOURCE: &str = "trust";
/// The most nodes that a new one replaces at a time: its name and its addresses may be of several.
const MAX_GONE: usize = 4;
/// The most certificates in a request.
const MAX_REQUESTS: usize = 8;

/// What a control plane signs with, and what it knows. It is made again when any of it changes.
#[derive(Debug)]
pub struct Signing {
    /// The token of the cluster.
    pub token: Secret,
    /// The authority of machined's API.
    pub machine: Authority,
    /// The cluster and the authority of its Kubernetes; none where it runs none.
    pub kubernetes: Option<(Cluster, Authority)>,
    /// Networks that nodes have their addresses in.
    pub subnets: Vec<IpPrefix>,
    /// Names and addresses that no other node may have.
    pub taken: Taken,
    /// The control planes that are known.
    pub control_planes: Vec<(String, Vec<IpAddr>)>,
}

/// The service that signs. Clones share everything.
#[derive(Clone)]
pub struct Signer {
    shared: Arc<Shared>,
}

struct Shared {
    signing: Mutex<Option<Arc<Signing>>>,
    attempts: Mutex<Attempts>,
    ledger: Arc<dyn Ledger>,
    living: Arc<dyn Living>,
    clock: Arc<NodeClock>,
    events: Events,
    started: Instant,
}

impl Signer {
    /// Starts without anything to sign with.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        living: Arc<dyn Living>,
        clock: Arc<NodeClock>,
        events: Events,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                signing: Mutex::default(),
                attempts: Mutex::default(),
                ledger,
                living,
                clock,
                events,
                started: Instant::now(),
            }),
        }
    }

    /// Sets what the next request is signed with; none ends it.
    pub fn set(&self, signing: Option<Arc<Signing>>) {
        *self.shared.signing.lock().unwrap_or_else(PoisonError::into_inner) = signing;
    }

    fn signing(&self) -> Result<Arc<Signing>, Status> {
        let signing = self.shared.signing.lock().unwrap_or_else(PoisonError::into_inner);
        signing
            .clone()
            .ok_or_else(|| Status::unavailable("the control plane is not ready to sign; it is asked again"))
    }

    fn attempt(&self, address: IpAddr) -> Result<(), Status> {
        let since = self.shared.started.elapsed();
        let mut attempts = self
            .shared
            .attempts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match attempts.take(address.into(), since) {
            true => Ok(()),
            false => Err(Status::resource_exhausted(
                "this address has asked to join too often; it is answered again in a few seconds",
            )),
        }
    }

    async fn join(&self, peer: &Peer, request: JoinRequest) -> Result<JoinResponse, Status> {
        let address = peer.address.map(|address| address.ip().to_canonical());
        let address = address.ok_or_else(|| Status::internal("the connection has no address"))?;
        self.attempt(address)?;
        let signing = self.signing()?;
        let shown = agent(peer);
        if shown.is_none() && !same(&request.token, &signing.token) {
            let text = format!("a node at {address} asked to join with a wrong token, and was refused");
            self.shared.events.warning(SOURCE, text);
            return Err(Status::unauthenticated(
                "the token is wrong; set machine.token to that of the cluster's control planes",
            ));
        }
        self.sign(&signing, address, shown, request)
            .await
            .inspect_err(|status| {
                let text = format!("a node at {address} was refused: {}", status.message());
                self.shared.events.warning(SOURCE, text);
            })
    }

    async fn sign(
        &self,
        signing: &Signing,
        address: IpAddr,
        shown: Option<&str>,
        request: JoinRequest,
    ) -> Result<JoinResponse, Status> {
        let asked = read(&request)?;
        let facts = Facts {
            cluster: signing.kubernetes.as_ref().map(|(cluster, _)| cluster),
            subnets: &signing.subnets,
            peer: address,
            shown,
            taken: &signing.taken,
        };
        let granted =
            decide(&facts, &asked).map_err(|refusal| Status::permission_denied(refusal.to_string()))?;
        let system = SystemTime::now();
        let now = self.shared.clock.now(system);
        let planned = self.shared.clock.plan(system);
        let claim = Claim {
            name: granted.name.to_string(),
            entry: Entry {
                key: granted.key.to_string(),
                addresses: granted.addresses.clone(),
                until: seconds(planned.not_after),
            },
            proven: shown.is_some(),
            gone: Vec::new(),
            now: seconds(now),
        };
        self.claim(claim).await.map_err(refused)?;
        let certificates = self.certificates(signing, &asked, &granted).map_err(|error| {
            let chain = state::chain(&error);
            Status::internal(format!("the control plane cannot sign: {chain}"))
        })?;
        let text = format!(
            "signed {} certificates of node {} at {address}",
            certificates.len(),
            granted.name
        );
        self.shared.events.info(SOURCE, text);
        let control_planes = signing
            .control_planes
            .iter()
            .map(|(name, addresses)| ControlPlane {
                name: name.clone(),
                addresses: addresses.iter().map(IpAddr::to_string).collect(),
            });
        Ok(JoinResponse {
            certificates,
            control_planes: control_planes.collect(),
        })
    }

    /// Claims a name and addresses. Those of a node that is gone are free.
    async fn claim(&self, mut claim: Claim) -> Result<(), Refused> {
        let shared = &self.shared;
        loop {
            let refused = match shared.ledger.claim(claim.clone()).await {
                Ok(()) => break,
                Err(refused) => refused,
            };
            let (holder, until) = match &refused {
                Refused::Name { name, until, .. } => (name, *until),
                Refused::Address { holder, until, .. } => (holder, *until),
                _ => return Err(refused),
            };
            let now = shared.clock.moment(SystemTime::now());
            if claim.gone.len() >= MAX_GONE || shared.living.lives(holder, until, now).await {
                return Err(refused);
            }
            claim.gone.push(holder.clone());
        }
        for name in claim.gone {
            let text = format!("node {name} is gone, and another machine has its name or its address now");
            shared.events.warning(SOURCE, text);
        }
        Ok(())
    }

    fn certificates(
        &self,
        signing: &Signing,
        asked: &[Asked],
        granted: &Granted,
    ) -> Result<Vec<IssuedCertificate>, pki::Error> {
        let planned = self.shared.clock.plan(SystemTime::now());
        let mut issued = Vec::new();
        for (asked, certificate) in asked.iter().zip(&granted.certificates) {
            let authority = match (certificate.by, &signing.kubernetes) {
                (By::Kubernetes, Some((_, authority))) => authority,
                _ => &signing.machine,
            };
            let validity = planned.within(authority.validity());
            let (_, pem) = authority.sign(&asked.request, &certificate.subject(), validity)?;
            issued.push(IssuedCertificate {
                which: asked.which.clone(),
                certificate: pem,
            });
        }
        Ok(issued)
    }
}

/// Returns the name in the certificate of a node's agent, if the peer showed one.
fn agent(peer: &Peer) -> Option<&str> {
    let identity = peer.identity.as_ref()?;
    let agent =
        identity.organizations == [identity::AGENTS] && identity.name.starts_with(identity::AGENT_PREFIX);
    agent.then_some(identity.name.as_str())
}

/// Compares a token without telling by the time it takes how much of it is right, or how long the right one is.
fn same(given: &str, token: &Secret) -> bool {
    let [given, token] = [given, token.expose()].map(|text| Sha256::digest(text.as_bytes()));
    given.as_slice().ct_eq(token.as_slice()).into()
}

fn read(request: &JoinRequest) -> Result<Vec<Asked>, Status> {
    if request.requests.len() > MAX_REQUESTS {
        let text = format!("a node has at most {MAX_REQUESTS} certificates");
        return Err(Status::invalid_argument(text));
    }
    let read = |one: &crate::proto::CertificateRequest| {
        let request = SigningRequest::from_der(&one.der);
        let request = request
            .map_err(|flaw| Status::invalid_argument(format!("the request for {:?} {flaw}", one.which)))?;
        Ok(Asked {
            which: one.which.clone(),
            request,
        })
    };
    request.requests.iter().map(read).collect()
}

fn refused(refused: Refused) -> Status {
    match refused {
        Refused::Name { .. } | Refused::Address { .. } => Status::permission_denied(refused.to_string()),
        Refused::Full => Status::resource_exhausted(refused.to_string()),
        Refused::Io(_) | Refused::Shared(_) => Status::unavailable(state::chain(&refused)),
    }
}

fn seconds(moment: SystemTime) -> u64 {
    moment
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[tonic::async_trait]
impl TrustService for Signer {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let peer = peer.ok_or_else(|| Status::internal("the connection has no peer"))?;
        let answer = Signer::join(self, &peer, request.into_inner()).await?;
        Ok(Response::new(answer))
    }
}
