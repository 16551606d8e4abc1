//! Sets the node's host name.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use machine_config::MachineConfig;
use machine_config::value::{HostName as Name, MacAddress};
use state::kinds::{ContainerMode, DhcpLease, HostNameStatus, LinkKind, LinkStatus, NODE, NameSource};
use state::{Action, Controller, ControllerError, Resource, Store};

use super::resolver::keep_file;

/// The interval of checks without an event.
const RESYNC: Duration = Duration::from_secs(60);

/// Keeps the kernel's host name and `/etc/hosts` up to date. Sole owner of `HostNameStatus`.
pub struct HostName {
    hosts: PathBuf,
    machine_id: PathBuf,
    /// The kernel's host name; tests have their own.
    kernel: Box<dyn KernelName>,
}

/// Reads and sets the kernel's name for the machine.
trait KernelName: Send + Sync {
    fn get(&self) -> String;
    fn set(&self, name: &str) -> sys::Result<()>;
}

struct Linux;

impl KernelName for Linux {
    fn get(&self) -> String {
        sys::host::name()
    }

    fn set(&self, name: &str) -> sys::Result<()> {
        sys::host::set_name(name)
    }
}

impl HostName {
    /// Makes the controller of the files `/etc/hosts` and `/etc/machine-id`.
    pub fn new(hosts: PathBuf, machine_id: PathBuf) -> Self {
        Self {
            hosts,
            machine_id,
            kernel: Box::new(Linux),
        }
    }
}

/// Decides the name. Pure.
fn choose(
    config: Option<&MachineConfig>,
    container: Option<&ContainerMode>,
    leases: &[(String, DhcpLease)],
    machine_id: Option<&str>,
    links: &[(String, LinkStatus)],
) -> HostNameStatus {
    let named = |name: String, source| {
        Some(HostNameStatus {
            name: name.parse().ok()?,
            source,
        })
    };
    let config = config.and_then(|config| config.machine.hostname.clone());
    let config = config.map(|name| HostNameStatus {
        name,
        source: NameSource::Config,
    });
    let given = || {
        Some(HostNameStatus {
            name: container?.hostname.clone()?,
            source: NameSource::Container,
        })
    };
    let leased = || {
        let name = leases.iter().find_map(|(_, lease)| lease.hostname.clone())?;
        Some(HostNameStatus {
            name,
            source: NameSource::Dhcp,
        })
    };
    let identity = || {
        let id = machine_id
            .map(str::trim)
            .filter(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))?;
        named(
            format!("bedplate-{}", &id[..8].to_ascii_lowercase()),
            NameSource::MachineId,
        )
    };
    let hardware = || {
        let real = links.iter().filter(|(_, link)| link.kind == LinkKind::Ethernet);
        let MacAddress([_, _, _, a, b, c]) = real.filter_map(|(_, link)| link.mac_address).next()?;
        named(format!("bedplate-{a:02x}{b:02x}{c:02x}"), NameSource::MacAddress)
    };
    let last = || HostNameStatus {
        name: "bedplate".parse().expect("it is a host name"),
        source: NameSource::Default,
    };
    config
        .or_else(given)
        .or_else(leased)
        .or_else(identity)
        .or_else(hardware)
        .unwrap_or_else(last)
}

/// Writes the text of `/etc/hosts`: the node finds itself without a name server.
fn render(name: &Name) -> String {
    let short = name.as_str().split('.').next().unwrap_or_default();
    let both = if short == name.as_str() {
        short.to_owned()
    } else {
        format!("{name} {short}")
    };
    format!("# Written by machined.\n127.0.0.1 localhost\n::1 localhost ip6-localhost\n127.0.1.1 {both}\n")
}

#[async_trait]
impl Controller for HostName {
    fn name(&self) -> &'static str {
        "hostname"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            MachineConfig::KIND,
            ContainerMode::KIND,
            DhcpLease::KIND,
            LinkStatus::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[HostNameStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let machine_id = std::fs::read_to_string(&self.machine_id).ok();
        let config = store.get::<MachineConfig>(NODE);
        let status = choose(
            config.as_ref(),
            store.get(NODE).as_ref(),
            &store.list(),
            machine_id.as_deref(),
            &store.list(),
        );
        if self.kernel.get() != status.name.as_str() {
            self.kernel.set(status.name.as_str())?;
            tracing::info!("the node's name is {} now", status.name);
        }
        keep_file(&self.hosts, &render(&status.name))?;
        store.put(self.name(), NODE, status)?;
        Ok(Action::After(RESYNC))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::spec::tests::{lease, link};
    use super::*;

    #[derive(Clone, Default)]
    struct Recorded(Arc<Mutex<String>>);

    impl KernelName for Recorded {
        fn get(&self) -> String {
            self.0.lock().unwrap().clone()
        }
        fn set(&self, name: &str) -> sys::Result<()> {
            name.clone_into(&mut self.0.lock().unwrap());
            Ok(())
        }
    }

    #[test]
    fn names_have_an_order() {
        let config = state::testkit::config();
        let leases = [("eth0".to_owned(), lease("10.0.2.15/24", "10.0.2.2"))];
        let id = Some("0123456789ABCDEF0123456789abcdef\n");
        let links = [("eth0".to_owned(), link(2, LinkKind::Ethernet))];
        let container = ContainerMode {
            hostname: Some("cp1".parse().unwrap()),
            ..ContainerMode::default()
        };
        let name = |status: HostNameStatus| format!("{} {:?}", status.name, status.source);
        assert_eq!(
            name(choose(Some(&config), Some(&container), &leases, id, &links)),
            "node1 Config"
        );
        assert_eq!(
            name(choose(None, Some(&container), &leases, id, &links)),
            "cp1 Container"
        );
        assert_eq!(name(choose(None, None, &leases, id, &links)), "given Dhcp");
        assert_eq!(
            name(choose(None, None, &[], id, &links)),
            "bedplate-01234567 MachineId"
        );
        assert_eq!(
            name(choose(None, None, &[], Some("uninitialized"), &links)),
            "bedplate-000002 MacAddress"
        );
        assert_eq!(name(choose(None, None, &[], None, &[])), "bedplate Default");
    }

    #[test]
    fn a_full_name_also_resolves_by_its_short_form() {
        assert!(render(&"n1.example.org".parse().unwrap()).ends_with("127.0.1.1 n1.example.org n1\n"));
        assert!(render(&"n1".parse().unwrap()).ends_with("127.0.1.1 n1\n"));
    }

    #[tokio::test]
    async fn a_changed_name_is_set_again() {
        let dir = tempfile::TempDir::new().unwrap();
        let kernel = Recorded::default();
        let mut controller = HostName::new(dir.path().join("hosts"), dir.path().join("machine-id"));
        controller.kernel = Box::new(kernel.clone());
        let store = Store::new();
        store.put("t", NODE, state::testkit::config()).unwrap();
        for _ in 0..2 {
            controller.reconcile(&store).await.unwrap();
            assert_eq!(kernel.get(), "node1");
            kernel.set("other").unwrap();
        }
        assert!(
            std::fs::read_to_string(dir.path().join("hosts"))
                .unwrap()
                .contains("127.0.1.1 node1")
        );
    }
}
