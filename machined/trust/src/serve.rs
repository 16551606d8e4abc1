//! Listens on control planes, with what the machine config says at the time.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use kubernetes::config::wanted;
use machine_config::MachineConfig;
use machine_config::v1alpha1::Role;
use pki::{Authority, NodeClock, ServerTls, Serving};
use state::kinds::{
    ClusterMember, EtcdMembership, EtcdStart, HostNameStatus, NODE, NetworkStatus, TimeStatus,
};
use state::{Resource as _, Store, chain};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::Service;

use crate::answer::{Signer, Signing};
use crate::policy::{API_NAME, LOOPBACK, Taken};
use crate::proto::trust_service_server::TrustServiceServer;

/// Largest request in bytes: eight requests for certificates, and the token.
const MAX_REQUEST: usize = 16 * 1024;
/// How often it is looked whether the certificate that is served is old.
const LOOK: Duration = Duration::from_secs(600);

/// The door at which nodes join. It is open on control planes that have a token, and closed everywhere else.
pub struct Door {
    /// The node's state.
    pub store: Store,
    /// What answers.
    pub signer: Signer,
    /// What the node knows of the time.
    pub clock: Arc<NodeClock>,
}

/// Everything that the door is made from: when it changes, so does the door.
#[derive(Debug, Clone, PartialEq)]
struct Inputs {
    config: MachineConfig,
    member: Option<ClusterMember>,
    etcd: Option<EtcdMembership>,
    hostname: String,
    addresses: Vec<IpAddr>,
    synchronised: bool,
}

impl Door {
    /// Serves until `stop`. `bind` is called once, when the node turns out to be a control plane.
    ///
    /// # Errors
    ///
    /// The listener's.
    pub async fn run(
        self,
        bind: impl FnOnce() -> std::io::Result<TcpListener>,
        stop: CancellationToken,
    ) -> std::io::Result<()> {
        let tls = Arc::new(ServerTls::new());
        let keep = self.keep(tls.clone(), stop.clone());
        let listen = async {
            let mut open = tls.subscribe();
            // Ends only by `stop`: `tls` is here.
            let _ = open.wait_for(Option::is_some).await;
            let listener = bind()?;
            let calls =
                Calls(TrustServiceServer::new(self.signer.clone()).max_decoding_message_size(MAX_REQUEST));
            server::door::serve(calls, tls.clone(), self.clock.clone(), listener, stop.clone()).await;
            Ok(())
        };
        tokio::select! {
            // Cancel safe: what it set stays until both are gone.
            () = keep => Ok(()),
            // Not cancel safe, and need not be: the node stops.
            ended = listen => ended,
        }
    }

    /// Keeps what is signed and served with as the store says, until `stop`.
    async fn keep(&self, tls: Arc<ServerTls>, stop: CancellationToken) {
        let mut watch = self.store.watch(&[
            MachineConfig::KIND,
            ClusterMember::KIND,
            EtcdMembership::KIND,
            HostNameStatus::KIND,
            NetworkStatus::KIND,
            TimeStatus::KIND,
        ]);
        let mut made: Option<(Inputs, SystemTime)> = None;
        loop {
            let inputs = self.inputs();
            let now = self.clock.now(SystemTime::now());
            let same = match (&inputs, &made) {
                (Some(inputs), Some((before, renewed))) => inputs == before && now < *renewed,
                (None, None) => true,
                _ => false,
            };
            if !same {
                made = self.open(inputs, &tls);
            }
            tokio::select! {
                // Cancel safe: asks for a state.
                () = stop.cancelled() => return,
                // Cancel safe: a change that is not seen is looked for again.
                _ = watch.changed() => {}
                // Cancel safe: only a pause.
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    fn inputs(&self) -> Option<Inputs> {
        let config = self.store.get::<MachineConfig>(NODE)?;
        let signs = config.machine.role == Role::ControlPlane
            && config.machine.ca.key.is_some()
            && config.machine.token.is_some();
        let hostname = self.store.get::<HostNameStatus>(NODE);
        let network: NetworkStatus = self.store.get(NODE).unwrap_or_default();
        let time = self.store.get::<TimeStatus>(NODE);
        let member: Option<ClusterMember> = self.store.get(NODE);
        // Without a member nothing is known of the cluster's networks yet, and workers wait.
        let known = config.cluster.ca.is_none() || member.is_some();
        (signs && known).then(|| Inputs {
            config,
            member,
            etcd: self.store.get(NODE),
            hostname: hostname.map(|status| status.name.to_string()).unwrap_or_default(),
            addresses: network.addresses,
            synchronised: time.is_some_and(|time| time.synchronised),
        })
    }

    /// Opens or closes the door. Returns what it was opened with, and when it is time for another certificate.
    fn open(&self, inputs: Option<Inputs>, tls: &ServerTls) -> Option<(Inputs, SystemTime)> {
        let Some(inputs) = inputs else {
            self.signer.set(None);
            tls.set(None);
            return None;
        };
        match self.serving(&inputs) {
            Ok((signing, serving, renewed)) => {
                self.signer.set(Some(Arc::new(signing)));
                tls.set(Some(serving));
                Some((inputs, renewed))
            }
            Err(error) => {
                tracing::error!("no node can join here: {}", chain(&error));
                self.signer.set(None);
                tls.set(None);
                None
            }
        }
    }

    fn serving(&self, inputs: &Inputs) -> Result<(Signing, Serving, SystemTime), pki::Error> {
        let signing = signing(inputs)?;
        let validity = self
            .clock
            .plan(SystemTime::now())
            .within(signing.machine.validity());
        let issued = signing.machine.issue_server(API_NAME, &names(inputs), validity)?;
        let clients = match &signing.kubernetes {
            Some((_, authority)) => authority,
            None => &signing.machine,
        };
        let serving = Serving::optional(clients.certificate_pem(), &issued, self.clock.clone())?;
        let life = validity.not_after.duration_since(validity.not_before);
        Ok((
            signing,
            serving,
            validity.not_before + life.unwrap_or_default() / 2,
        ))
    }
}

/// Reads what to sign with.
fn signing(inputs: &Inputs) -> Result<Signing, pki::Error> {
    let (machine, cluster) = (&inputs.config.machine, &inputs.config.cluster);
    let key = |key: &Option<machine_config::Secret>| key.clone().unwrap_or_default();
    let member = inputs.member.as_ref();
    let wanted = member.and_then(|member| {
        wanted(&inputs.config, &member.node, &member.addresses)
            .ok()
            .flatten()
    });
    let kubernetes = match (wanted, &cluster.ca) {
        (Some(wanted), Some(ca)) => {
            let authority = Authority::from_pem(ca.cert.as_str(), key(&ca.key).expose(), "cluster.ca")?;
            Some((wanted.cluster, authority))
        }
        _ => None,
    };
    let ca = &machine.ca;
    let control_planes = control_planes(inputs);
    Ok(Signing {
        token: key(&machine.token),
        machine: Authority::from_pem(ca.cert.as_str(), key(&ca.key).expose(), "machine.ca")?,
        kubernetes,
        subnets: cluster.subnets.clone(),
        taken: taken(inputs, &control_planes),
        control_planes,
    })
}

/// Returns the control planes that are known for certain: this one, and those with which etcd runs.
fn control_planes(inputs: &Inputs) -> Vec<(String, Vec<IpAddr>)> {
    let mut planes: Vec<(String, Vec<IpAddr>)> = Vec::new();
    if let Some(member) = &inputs.member {
        planes.push((member.node.clone(), member.addresses.clone()));
    }
    if let Some(EtcdStart::Joins(peers)) = inputs.etcd.as_ref().map(|etcd| &etcd.start) {
        for peer in peers {
            if !planes.iter().any(|(name, _)| *name == peer.name) {
                planes.push((peer.name.clone(), vec![peer.address]));
            }
        }
    }
    planes
}

/// Returns the names and addresses that no node may have that joins.
fn taken(inputs: &Inputs, planes: &[(String, Vec<IpAddr>)]) -> Taken {
    let config = &inputs.config;
    let host = endpoint_host(config);
    let own = [inputs.hostname.clone()].into_iter().chain(host);
    let own = own.chain(config.machine.cert_sans.iter().map(ToString::to_string));
    let all = own.chain(planes.iter().map(|(name, _)| name.clone()));
    let mut taken = Taken {
        names: Vec::new(),
        addresses: inputs.addresses.clone(),
    };
    for name in all.filter(|name| !name.is_empty() && !LOOPBACK.contains(&name.as_str())) {
        match name.parse() {
            Ok(address) => taken.addresses.push(address),
            Err(_) => taken.names.push(name.to_ascii_lowercase()),
        }
    }
    taken
        .addresses
        .extend(planes.iter().flat_map(|(_, addresses)| addresses));
    taken
}

/// Returns the names that the door is served under.
fn names(inputs: &Inputs) -> Vec<String> {
    let config = &inputs.config;
    let mut names = LOOPBACK.map(str::to_owned).to_vec();
    names.push(inputs.hostname.clone());
    names.extend(endpoint_host(config));
    names.extend(config.machine.cert_sans.iter().map(ToString::to_string));
    names.extend(inputs.addresses.iter().map(ToString::to_string));
    let member = inputs.member.iter().flat_map(|member| &member.addresses);
    names.extend(member.map(ToString::to_string));
    names.retain(|name| !name.is_empty());
    names.sort();
    names.dedup();
    names
}

/// Returns the host in the cluster's endpoint.
pub(crate) fn endpoint_host(config: &MachineConfig) -> Option<String> {
    let endpoint = config.cluster.endpoint.as_ref()?;
    Some(kubernetes::cluster::host_of(endpoint).to_owned())
}

/// The service, with the limits of its requests.
#[derive(Clone)]
struct Calls(TrustServiceServer<Signer>);

impl Service<http::Request<Body>> for Calls {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = <TrustServiceServer<Signer> as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<http::Request<Body>>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.0.call(server::door::metered(request, MAX_REQUEST))
    }
}
