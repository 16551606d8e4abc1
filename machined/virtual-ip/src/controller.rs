//! Keeps the virtual address where it belongs.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kubernetes::{Kind, Ports};
use machine_config::MachineConfig;
use machine_config::value::{IpPrefix, MacAddress};
use node::power::Power;
use state::kinds::{
    AddressStatus, ApiBalancerStatus, ClusterMember, ComponentCertificate, ContributedAddress, LinkSpec,
    LinkStatus, NODE, NetworkContribution, Precedence, ServerHealth, ServiceState, ServiceStatus,
    VirtualIpStatus,
};
use state::{Action, Controller, ControllerError, Resource, Store, chain};
use sys::announce::Announcer;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::election::{Election, Error, EtcdElection};
use crate::turn::{Answer, Standing, Step, answered, next};

/// The name of the contribution to the network.
const NAME: &str = "virtual-ip";
/// How often it is looked who has the address, and whether a lease is to be renewed.
const TICK: Duration = Duration::from_secs(1);
/// How often the address is announced when it is new, a tick apart: the first packets may be lost by a switch that wakes up.
const ANNOUNCED: u32 = 5;
/// How often it is announced after that: who missed it learns it then.
const AGAIN: Duration = Duration::from_secs(60);

/// Gives the node the cluster's virtual address while it is its turn. Sole owner of [`VirtualIpStatus`].
pub struct VirtualIp {
    connect: Box<Connect>,
    announcer: Box<dyn Announcer>,
    power: Power,
    bell: Arc<Notify>,
    standing: Standing,
    election: Option<Connected>,
    announced: Announced,
    /// Rings when the node is to stop, so that the address is released before etcd ends.
    stopping: Option<AbortOnDropHandle<()>>,
}

/// Makes the election for an address from what the store holds.
type Connect = dyn Fn(&Store, IpAddr) -> Result<Box<dyn Election>, Error> + Send + Sync;

/// An election, and what it was made for.
struct Connected {
    address: IpAddr,
    certificate: Option<ComponentCertificate>,
    election: Box<dyn Election>,
    /// Rings when the address is free, so that it is taken at once.
    _watch: AbortOnDropHandle<()>,
}

/// How often the address was announced since it is here, and when next.
#[derive(Debug, Default)]
struct Announced {
    times: u32,
    next: Option<Instant>,
}

/// An interface that the address can be given to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    link: String,
    index: u32,
    hardware: MacAddress,
}

/// What the store says about the address.
#[derive(Debug)]
struct Facts {
    address: IpAddr,
    node: String,
    place: Option<Place>,
    /// Set when an interface has the address.
    there: bool,
    /// Why the node must not have the address.
    problem: Option<String>,
}

impl VirtualIp {
    /// Makes the controller of a node that is stopped by this request.
    pub fn new(announcer: Box<dyn Announcer>, power: Power) -> Self {
        let connect = |store: &Store, address| -> Result<Box<dyn Election>, Error> {
            Ok(Box::new(EtcdElection::new(store, address)?))
        };
        Self::with(Box::new(connect), announcer, power)
    }

    fn with(connect: Box<Connect>, announcer: Box<dyn Announcer>, power: Power) -> Self {
        Self {
            connect,
            announcer,
            power,
            bell: Arc::default(),
            standing: Standing::default(),
            election: None,
            announced: Announced::default(),
            stopping: None,
        }
    }

    /// Returns the election; it is connected again when the node's certificate was renewed.
    fn election(&mut self, store: &Store, address: IpAddr) -> Result<&dyn Election, Error> {
        let certificate = store.get::<ComponentCertificate>("bedplate/etcd");
        let same = |made: &Connected| made.address == address && made.certificate == certificate;
        if !self.election.as_ref().is_some_and(same) {
            let election = (self.connect)(store, address)?;
            self.election = Some(Connected {
                address,
                certificate,
                _watch: election.watch(self.bell.clone()),
                election,
            });
        }
        let made = self.election.as_ref();
        Ok(made.expect("it was just made").election.as_ref())
    }

    /// Takes the next step, and returns who has the address, where that is known.
    async fn step(&mut self, store: &Store, facts: &Facts) -> Result<Option<String>, Error> {
        let mut standing = self.standing;
        let step = next(
            &mut standing,
            facts.problem.is_none(),
            facts.there,
            Instant::now(),
        );
        self.standing = standing;
        let node = facts.node.clone();
        let election = self.election(store, facts.address)?;
        let holder = match step {
            Step::Wait | Step::Renew(_) if standing.has_address() => Some(node.clone()),
            Step::Renew(_) | Step::Release(_) => None,
            Step::Wait | Step::Try => election.holder().await?,
        };
        let outcome = match step {
            Step::Wait => return Ok(holder),
            // Known to be another's: no lease is asked for in vain.
            Step::Try if holder.is_some() => return Ok(holder),
            Step::Try => election.take(&node).await,
            Step::Renew(lease) => election.renew(lease).await,
            Step::Release(lease) => election.release(lease).await.map(|()| None),
        };
        let answer = match &outcome {
            Ok(Some(lease)) => Answer::Granted(*lease),
            Ok(None) => Answer::Others,
            Err(_) => Answer::Failed,
        };
        answered(&mut self.standing, step, answer);
        if standing.has_address() != self.standing.has_address() {
            tracing::info!(
                "virtual-ip: {} is {}here",
                facts.address,
                if self.standing.has_address() {
                    ""
                } else {
                    "no longer "
                }
            );
        }
        outcome?;
        Ok(match self.standing {
            Standing::Holds(_) => Some(node),
            _ => holder,
        })
    }

    /// Contributes the address, or removes it.
    fn contribute(&self, store: &Store, facts: &Facts) -> Result<(), ControllerError> {
        match (&facts.place, self.standing.has_address()) {
            (Some(place), true) => {
                let mut contribution = NetworkContribution::new(Precedence::Node);
                contribution.addresses.push(ContributedAddress {
                    link: place.link.clone(),
                    address: whole(facts.address),
                });
                store.put(NAME, NAME, contribution)?;
            }
            _ => {
                store.remove::<NetworkContribution>(NAME, NAME)?;
            }
        }
        Ok(())
    }

    /// Tells the neighbours, when it is time.
    fn announce(&mut self, facts: &Facts) {
        let Some(place) = facts
            .place
            .as_ref()
            .filter(|_| facts.there && self.standing.has_address())
        else {
            self.announced = Announced::default();
            return;
        };
        let now = Instant::now();
        if self.announced.next.is_some_and(|next| now < next) {
            return;
        }
        let sent = self
            .announcer
            .announce(place.index, place.hardware.0, facts.address);
        if let Err(error) = sent {
            tracing::warn!("virtual-ip: {}", chain(&error));
        }
        self.announced.times = self.announced.times.saturating_add(1);
        let pause = if self.announced.times < ANNOUNCED {
            TICK
        } else {
            AGAIN
        };
        self.announced.next = Some(now + pause);
    }

    fn stop(&mut self, store: &Store) -> Result<(), ControllerError> {
        self.standing = Standing::default();
        self.election = None;
        self.announced = Announced::default();
        store.remove::<NetworkContribution>(NAME, NAME)?;
        store.remove::<VirtualIpStatus>(NAME, NODE)?;
        Ok(())
    }
}

/// Reads what matters about the address; none on a node that it does not concern.
fn facts(store: &Store, stopping: bool) -> Option<Facts> {
    let config: MachineConfig = store.get(NODE)?;
    let member: ClusterMember = store.get(NODE)?;
    let address = config.cluster.virtual_ip.filter(|_| member.control_plane)?;
    let addresses: Vec<AddressStatus> = store.list().into_iter().map(|(_, found)| found).collect();
    let managed: Vec<String> = store
        .list::<LinkSpec>()
        .into_iter()
        .map(|(link, _)| link)
        .collect();
    let place = place(address, &member, &addresses, &managed, &store.list());
    let there = addresses.iter().any(|found| found.address.address == address);
    let ready = store
        .get::<ApiBalancerStatus>(NODE)
        .is_some_and(|status| is_ready(&status, &member));
    let problem = if stopping {
        Some("the node is about to stop".to_owned())
    } else if place.is_none() {
        Some(format!(
            "no interface of the node is in a network that {address} is in"
        ))
    } else if store.get(Kind::ApiServer.name()).is_some_and(|own| !runs(&own)) {
        // Known before anybody is refused, or asks in vain.
        Some("the node's own API server is about to stop, or starts".to_owned())
    } else if !ready {
        Some("the node's own API server is not ready".to_owned())
    } else {
        None
    };
    Some(Facts {
        address,
        node: member.node,
        place,
        there,
        problem,
    })
}

/// Returns true if a service is not about to end, and has not.
fn runs(status: &ServiceStatus) -> bool {
    status.wanted && matches!(status.state, ServiceState::Starting | ServiceState::Running)
}

/// Returns true if the node's own API server is ready.
fn is_ready(status: &ApiBalancerStatus, member: &ClusterMember) -> bool {
    let at = |address: &IpAddr| std::net::SocketAddr::new(*address, Ports::default().api).to_string();
    let own: Vec<String> = member.addresses.iter().map(at).collect();
    let mut found = status
        .servers
        .iter()
        .filter(|server| own.contains(&server.address));
    found.any(|server| server.health == ServerHealth::Ready)
}

/// Finds the interface with an address in whose network the virtual one is, the node's own address first. Pure.
fn place(
    address: IpAddr,
    member: &ClusterMember,
    addresses: &[AddressStatus],
    managed: &[String],
    links: &[(String, LinkStatus)],
) -> Option<Place> {
    let near = addresses.iter().filter(|found| {
        let own = found.address.address;
        managed.contains(&found.link) && own != address && found.address.contains(address)
    });
    let best = near.min_by_key(|found| !member.addresses.contains(&found.address.address))?;
    let (_, link) = links.iter().find(|(name, _)| *name == best.link)?;
    Some(Place {
        link: best.link.clone(),
        index: link.index,
        hardware: link.mac_address?,
    })
}

/// Returns an address alone, without others of its network.
fn whole(address: IpAddr) -> IpPrefix {
    let length = if address.is_ipv4() { 32 } else { 128 };
    IpPrefix { address, length }
}

#[async_trait]
impl Controller for VirtualIp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            MachineConfig::KIND,
            ClusterMember::KIND,
            ComponentCertificate::KIND,
            ApiBalancerStatus::KIND,
            ServiceStatus::KIND,
            AddressStatus::KIND,
            LinkStatus::KIND,
            LinkSpec::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[VirtualIpStatus::KIND]
    }

    fn shared_outputs(&self) -> &'static [&'static str] {
        &[NetworkContribution::KIND]
    }

    fn wake(&self) -> Option<Arc<Notify>> {
        Some(self.bell.clone())
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let (power, bell) = (self.power.clone(), self.bell.clone());
        self.stopping.get_or_insert_with(|| {
            AbortOnDropHandle::new(tokio::spawn(async move {
                power.wait().await;
                bell.notify_one();
            }))
        });
        let Some(facts) = facts(store, self.power.requested().is_some()) else {
            self.stop(store)?;
            return Ok(Action::WaitForChange);
        };
        let stepped = self.step(store, &facts).await;
        // Whatever etcd answered: what the node has decided counts.
        self.contribute(store, &facts)?;
        self.announce(&facts);
        let (holder, failed) = match stepped {
            Ok(holder) => (holder, None),
            Err(error) => (None, Some(chain(&error))),
        };
        let status = VirtualIpStatus {
            address: facts.address,
            holder,
            here: self.standing.has_address(),
            problem: facts.problem.or(failed),
        };
        store.put(NAME, NODE, status)?;
        Ok(Action::After(TICK))
    }
}

#[cfg(test)]
mod tests;
