//! Asks for IPv4 leases on the interfaces that want one.
//!
//! One task per interface talks to the server: `client` is the exchange, `wire` transports it, `message` and `udp` are its
//! bytes, and `lease` checks what the server said. A lease outlives its cable: it stays until it expires, so that a
//! loose plug does not remove the node's address; a server that revokes it ends it at once.

mod client;
mod lease;
mod message;
mod udp;
mod wire;

pub use lease::LeaseError;
pub use wire::Servers;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use machine_config::value::{HostName, MacAddress};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::leases::Leases;
pub use super::leases::Reporter;
use state::kinds::{DhcpLease, DhcpSpec, LinkStatus};
use state::{Action, Controller, ControllerError, Resource, Store, chain, tasks};

/// Acquires and renews leases for an interface.
#[async_trait]
pub trait LeaseSource: Send + Sync + 'static {
    /// Runs until the wire fails: every lease, and the loss of one, is sent to `report`.
    ///
    /// May be dropped at any time, when the interface is gone or no longer wants a lease.
    async fn run(&self, link: Asker, report: Reporter) -> DhcpError;
}

/// The interface that wants a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// Its hardware address.
    pub mac_address: MacAddress,
    /// The host name that is sent to the server.
    pub hostname: Option<HostName>,
}

/// Why there is no lease at the moment.
#[derive(Debug, thiserror::Error)]
pub enum DhcpError {
    /// The interface carries no messages.
    #[error("cannot talk to DHCP servers on {link}")]
    Wire {
        /// The interface.
        link: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// There is no socket for it.
    #[error(transparent)]
    Socket(#[from] sys::Error),
}

/// Keeps a lease for each interface that wants one. Sole owner of `DhcpLease`.
pub struct Dhcp<S> {
    source: Arc<S>,
    tasks: HashMap<String, (Asker, AbortOnDropHandle<()>)>,
    leases: Leases<DhcpLease>,
}

impl<S: LeaseSource> Dhcp<S> {
    /// Makes the controller over a source of leases.
    pub fn new(source: S) -> Self {
        Self {
            source: Arc::new(source),
            tasks: HashMap::new(),
            leases: Leases::new(),
        }
    }

    fn start(&self, asker: Asker) -> (Asker, AbortOnDropHandle<()>) {
        let (source, link) = (self.source.clone(), asker.clone());
        let reporter = self.leases.reporter(&asker.name);
        let task = tasks::keep(format!("DHCP on {}", link.name), move || {
            let (source, link, reporter) = (source.clone(), link.clone(), reporter.clone());
            async move {
                let error = source.run(link, reporter).await;
                Err::<(), _>(chain(&error))
            }
        });
        (asker, task)
    }
}

/// Selects the interfaces that want a lease, have a hardware address, and a carrier. Pure.
fn askers(
    specs: &BTreeMap<String, DhcpSpec>,
    links: &BTreeMap<String, LinkStatus>,
) -> BTreeMap<String, Asker> {
    let asker = |(name, spec): (&String, &DhcpSpec)| {
        let link = links.get(name).filter(|link| link.up && link.carrier)?;
        let asker = Asker {
            name: name.clone(),
            index: link.index,
            mac_address: link.mac_address?,
            hostname: spec.hostname.clone(),
        };
        Some((name.clone(), asker))
    };
    specs.iter().filter_map(asker).collect()
}

#[async_trait]
impl<S: LeaseSource> Controller for Dhcp<S> {
    fn name(&self) -> &'static str {
        "network-dhcp"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[DhcpSpec::KIND, LinkStatus::KIND]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[DhcpLease::KIND]
    }

    fn wake(&self) -> Option<Arc<Notify>> {
        Some(self.leases.bell())
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let specs = BTreeMap::from_iter(store.list::<DhcpSpec>());
        let askers = askers(&specs, &BTreeMap::from_iter(store.list::<LinkStatus>()));
        self.tasks
            .retain(|name, (asker, _)| askers.get(name) == Some(asker));
        for (name, asker) in askers {
            if !self.tasks.contains_key(&name) {
                let task = self.start(asker);
                self.tasks.insert(name, task);
            }
        }
        let (leases, next) = self.leases.valid(|link| specs.contains_key(link));
        store.replace(self.name(), leases)?;
        Ok(next.map_or(Action::WaitForChange, Action::After))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use state::kinds::LinkKind;

    use super::super::spec::tests::{lease, link};
    use super::*;

    /// A client that returns one lease per run, then waits forever; or fails, or panics, at once.
    struct Scripted {
        runs: Arc<AtomicU32>,
        then: Then,
    }

    #[derive(Clone, Copy, PartialEq)]
    enum Then {
        Waits,
        Fails,
        Panics,
    }

    #[async_trait]
    impl LeaseSource for Scripted {
        async fn run(&self, link: Asker, report: Reporter) -> DhcpError {
            self.runs.fetch_add(1, Ordering::SeqCst);
            assert!(self.then != Then::Panics, "a server said something new");
            if self.then == Then::Fails {
                return DhcpError::Wire {
                    link: link.name,
                    source: io::ErrorKind::NetworkDown.into(),
                };
            }
            report.report(Some(lease("10.0.2.15/24", "10.0.2.2")));
            std::future::pending().await
        }
    }

    fn bench(then: Then) -> (Store, Dhcp<Scripted>, Arc<AtomicU32>) {
        let store = Store::new();
        store.put("t", "eth0", link(2, LinkKind::Ethernet)).unwrap();
        store.put("t", "eth0", DhcpSpec { hostname: None }).unwrap();
        let runs = Arc::new(AtomicU32::new(0));
        (
            store,
            Dhcp::new(Scripted {
                runs: runs.clone(),
                then,
            }),
            runs,
        )
    }

    async fn step(store: &Store, dhcp: &mut Dhcp<Scripted>) -> Action {
        dhcp.reconcile(store).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        dhcp.reconcile(store).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_outlives_the_cable_but_not_its_time() {
        let (store, mut dhcp, runs) = bench(Then::Waits);
        assert!(matches!(step(&store, &mut dhcp).await, Action::After(_)));
        assert!(store.get::<DhcpLease>("eth0").is_some());
        store
            .put(
                "t",
                "eth0",
                LinkStatus {
                    carrier: false,
                    ..link(2, LinkKind::Ethernet)
                },
            )
            .unwrap();
        step(&store, &mut dhcp).await;
        assert!(store.get::<DhcpLease>("eth0").is_some(), "the plug is loose");
        tokio::time::sleep(Duration::from_secs(3601)).await;
        step(&store, &mut dhcp).await;
        assert_eq!(store.get::<DhcpLease>("eth0"), None);
        assert_eq!(runs.load(Ordering::SeqCst), 1, "nobody is asked without a cable");
        store.put("t", "eth0", link(2, LinkKind::Ethernet)).unwrap();
        step(&store, &mut dhcp).await;
        assert!(store.get::<DhcpLease>("eth0").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_interface_that_wants_no_lease_keeps_none() {
        let (store, mut dhcp, _) = bench(Then::Waits);
        step(&store, &mut dhcp).await;
        store.remove::<DhcpSpec>("t", "eth0").unwrap();
        step(&store, &mut dhcp).await;
        assert_eq!(store.list::<DhcpLease>(), []);
        assert!(dhcp.tasks.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_fails_or_panics_is_restarted_with_growing_pauses() {
        for then in [Then::Fails, Then::Panics] {
            let (store, mut dhcp, runs) = bench(then);
            step(&store, &mut dhcp).await;
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(
                runs.load(Ordering::SeqCst),
                8,
                "after 0, 0.25, 0.75, 1.75, 3.75, 7.75, 15.75 and 31.75 seconds"
            );
        }
    }
}
