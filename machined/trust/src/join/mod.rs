//! A worker's side: keeps its certificates, and asks control planes for them in turn, forever.
//!
//! [`plan`] and [`vouch`] decide, [`ask`] speaks, [`keep`] remembers.

mod ask;
mod keep;
mod plan;
mod vouch;

pub use ask::Error;
pub use keep::{Folder, Kept, KeptCertificate};
pub use plan::{Need, Wanted, due, hosts, in_turn, need, pause};
pub use vouch::Authorities;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use machine_config::{MachineConfig, Secret};
use node::events::Events;
use pki::{NodeClock, PrivateKey};
use state::kinds::{
    ClusterMember, ClusterPeer, ComponentCertificate, HostNameStatus, JoinStatus, NODE, NetworkStatus,
    TimeStatus,
};
use state::{Action, Controller, ControllerError, Resource as _, Store, chain};
use sys::clock::Clock;

use crate::PORT;
use ask::Ask;
use keep::moment;

const NAME: &str = "cluster-join";
/// The node's certificate for Kubernetes, which proves at the next renewal who it is.
const AGENT: &str = "bedplate/kubernetes";
/// The longest time until it is looked again what is due: clocks are set without a word.
const LOOK: Duration = Duration::from_secs(600);

/// Keeps the certificates of a worker. Sole owner of [`JoinStatus`], and owner of its own [`ComponentCertificate`]s and
/// [`ClusterPeer`]s.
pub struct JoinController {
    folder: Folder,
    clock: Arc<NodeClock>,
    system: Box<dyn Clock>,
    events: Events,
    port: u16,
    key: Option<PrivateKey>,
    kept: Option<Kept>,
    /// When it got its certificates, if it did in this boot.
    got: Option<Instant>,
    failures: u32,
    /// When it asks again after a failure.
    again: Option<Instant>,
    /// What it asked for last.
    asked: Option<(MachineConfig, Vec<Wanted>)>,
}

impl JoinController {
    /// Keeps the certificates in a folder, and reports what happens.
    pub fn new(folder: Folder, clock: Arc<NodeClock>, system: Box<dyn Clock>, events: Events) -> Self {
        Self {
            folder,
            clock,
            system,
            events,
            port: PORT,
            key: None,
            kept: None,
            got: None,
            failures: 0,
            again: None,
            asked: None,
        }
    }

    /// Asks on another port than the usual.
    #[must_use]
    pub fn on_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// Makes true that there is nothing to join.
    fn leave(&mut self, store: &Store) -> Result<Action, ControllerError> {
        if store.get::<JoinStatus>(NODE).is_some() {
            self.folder.forget();
        }
        self.kept = None;
        self.got = None;
        store.replace::<ComponentCertificate>(NAME, Vec::new())?;
        store.replace::<ClusterPeer>(NAME, Vec::new())?;
        store.remove::<JoinStatus>(NAME, NODE)?;
        Ok(Action::WaitForChange)
    }

    /// Publishes what the node has and is still good.
    fn publish(&self, store: &Store, kept: &Kept, wanted: &[Wanted]) -> Result<(), ControllerError> {
        let now = self.clock.now(self.system.now());
        let good = kept.certificates.iter().filter(|(which, held)| {
            moment(held.not_after) > now && wanted.iter().any(|wanted| wanted.which == **which)
        });
        let certificates = good.map(|(which, held)| {
            let certificate = ComponentCertificate {
                certificate: held.certificate.clone(),
                key: Secret::new(held.key.as_str()),
                names: held.names.clone(),
                not_before: held.not_before,
                not_after: held.not_after,
            };
            (which.clone(), certificate)
        });
        store.replace(NAME, certificates.collect())?;
        let own: Vec<(String, ClusterPeer)> = kept
            .control_planes
            .iter()
            .map(|(name, addresses)| {
                let peer = ClusterPeer {
                    node: name.clone(),
                    control_plane: true,
                    addresses: addresses.clone(),
                };
                (format!("{NAME}/{name}"), peer)
            })
            .collect();
        store.replace(NAME, own)?;
        Ok(())
    }

    /// Asks the control planes in turn, until one signs.
    async fn ask(
        &mut self,
        config: &MachineConfig,
        wanted: &[Wanted],
        found: &[IpAddr],
    ) -> Result<String, Error> {
        let (Some(key), Some(kept)) = (&self.key, &mut self.kept) else {
            return Err(pki::Error::Random.into());
        };
        let now = self.clock.now(self.system.now());
        let ask = Ask {
            authorities: config.machine.ca.cert.as_str(),
            token: config.machine.token.as_ref().map_or("", Secret::expose),
            own: key,
            wanted,
            clock: &self.clock,
        };
        let shown = kept
            .certificates
            .get(AGENT)
            .filter(|held| moment(held.not_after) > now)
            .cloned();
        let mut failure: Option<Error> = None;
        for host in hosts(config, kept.last.as_deref(), &kept.control_planes, found) {
            match ask.at(&host, self.port, shown.as_ref()).await {
                Ok(answer) => {
                    kept.certificates = answer.certificates;
                    kept.control_planes = answer.control_planes;
                    kept.last = Some(host.clone());
                    for held in kept.certificates.values() {
                        // It was signed after that moment: so much time has certainly passed.
                        self.clock.raise_floor(moment(held.not_before));
                    }
                    return Ok(host);
                }
                // Somebody has to act on a refusal; that another one is away is less of a reason.
                Err(error)
                    if failure
                        .as_ref()
                        .is_none_or(|before| error.is_refusal() && !before.is_refusal()) =>
                {
                    failure = Some(error);
                }
                Err(_) => {}
            }
        }
        Err(failure.unwrap_or(Error::Nobody))
    }

    fn status(&self, waits_for: Option<String>) -> JoinStatus {
        let kept = self.kept.as_ref();
        let ends = kept.and_then(|kept| kept.certificates.values().map(|held| held.not_after).min());
        JoinStatus {
            control_plane: kept.and_then(|kept| kept.last.clone()),
            valid_until: ends,
            waits_for,
        }
    }

    /// Reads what is on the disk, once, and keeps what these authorities accept.
    fn load(&mut self, authorities: &Authorities) -> Result<(), keep::Error> {
        if self.key.is_none() {
            self.key = Some(self.folder.key()?);
        }
        let kept = self.kept.take().unwrap_or_else(|| self.folder.read());
        let kept = kept.under(authorities);
        if kept.certificates.is_empty() {
            self.got = None;
        }
        self.kept = Some(kept);
        Ok(())
    }

    async fn renew(
        &mut self,
        store: &Store,
        config: MachineConfig,
        wanted: Vec<Wanted>,
    ) -> Result<Action, ControllerError> {
        let asked = Some((config.clone(), wanted.clone()));
        if self.asked != asked {
            self.asked = asked;
            self.again = None;
            self.failures = 0;
        }
        if let Some(left) = self
            .again
            .and_then(|again| again.checked_duration_since(Instant::now()))
        {
            return Ok(Action::After(left));
        }
        let found: Vec<IpAddr> = store
            .list::<ClusterPeer>()
            .into_iter()
            .filter(|(_, peer)| peer.control_plane)
            .flat_map(|(_, peer)| peer.addresses)
            .collect();
        let found = in_turn(found, self.failures);
        let waits_for = match self.ask(&config, &wanted, &found).await {
            Ok(host) => {
                let first = self.got.replace(Instant::now()).is_none();
                (self.failures, self.again) = (0, None);
                if let Some(kept) = &self.kept {
                    self.publish(store, kept, &wanted)?;
                    // Without them on the disk it asks again at the next start.
                    if let Err(error) = self.folder.save(kept) {
                        tracing::warn!("{}", chain(&error));
                    }
                }
                if first {
                    self.events.info(
                        NAME,
                        format!("control plane {host} signed the node's certificates"),
                    );
                }
                None
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                self.again = Some(Instant::now() + pause(self.failures));
                Some(chain(&error))
            }
        };
        let before = store.get::<JoinStatus>(NODE).and_then(|status| status.waits_for);
        if let Some(text) = waits_for.as_ref().filter(|text| before.as_ref() != Some(text)) {
            self.events.warning(NAME, text.clone());
        }
        store.put(NAME, NODE, self.status(waits_for))?;
        Ok(Action::After(match self.failures {
            0 => LOOK,
            failures => pause(failures),
        }))
    }
}

#[async_trait]
impl Controller for JoinController {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            MachineConfig::KIND,
            ClusterMember::KIND,
            HostNameStatus::KIND,
            NetworkStatus::KIND,
            TimeStatus::KIND,
            ClusterPeer::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[JoinStatus::KIND]
    }

    fn shared_outputs(&self) -> &'static [&'static str] {
        &[ComponentCertificate::KIND, ClusterPeer::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let config: Option<MachineConfig> = store.get(NODE);
        let member: Option<ClusterMember> = store.get(NODE);
        let hostname = store.get::<HostNameStatus>(NODE);
        let hostname = hostname.map(|status| status.name.to_string()).unwrap_or_default();
        let network: NetworkStatus = store.get(NODE).unwrap_or_default();
        let wanted = match need(config.as_ref(), member.as_ref(), &hostname, &network.addresses) {
            Need::Nothing => return self.leave(store),
            Need::NotYet(text) => {
                store.put(NAME, NODE, self.status(Some(text)))?;
                return Ok(Action::WaitForChange);
            }
            Need::Join(wanted) => wanted,
        };
        let Some(config) = config else {
            return self.leave(store);
        };
        let authorities = Authorities::of(&config)?;
        self.load(&authorities)?;
        let Some(kept) = &self.kept else {
            return Ok(Action::After(LOOK));
        };
        self.publish(store, kept, &wanted)?;
        let moment = self.clock.moment(self.system.now());
        let age = self.got.map(|got| got.elapsed());
        match due(kept, &wanted, &authorities, moment.at, moment.certain, age) {
            Some(left) => {
                store.put(NAME, NODE, self.status(None))?;
                Ok(Action::After(left.min(LOOK)))
            }
            None => self.renew(store, config, wanted).await,
        }
    }
}
