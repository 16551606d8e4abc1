//! Writes `/etc/resolv.conf`.

use std::fs;
use std::io;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use machine_config::MachineConfig;
use machine_config::value::Host;
use state::kinds::{ContainerMode, Dhcp6Lease, DhcpLease, NODE, ResolverStatus, RouterAdvertisement};
use state::{Action, Controller, ControllerError, Resource, Store};

/// The most name servers the C library looks at (`MAXNS`), and the most domains worth a search.
const MOST_SERVERS: usize = 3;
const MOST_DOMAINS: usize = 6;
/// The interval of checks without an event.
const RESYNC: Duration = Duration::from_secs(60);

/// Writes the file from the config and the leases. Sole owner of `ResolverStatus`.
pub struct Resolver {
    path: PathBuf,
}

impl Resolver {
    /// Makes the controller of a file.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

/// Which file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
pub struct WriteError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// What names and name servers are chosen from.
#[derive(Default)]
struct Sources {
    config: Option<MachineConfig>,
    container: Option<ContainerMode>,
    leases: Vec<(String, DhcpLease)>,
    leases6: Vec<(String, Dhcp6Lease)>,
    advertised: Vec<(String, RouterAdvertisement)>,
}

/// Decides: the config's servers, or all that a container engine, servers and routers named; domains always come from
/// those. Pure.
///
/// A server of each kind goes first, as only three are used and either protocol may be without a way to the world.
fn choose(sources: &Sources) -> ResolverStatus {
    let config = sources.config.as_ref();
    let listed = config.map_or(&[][..], |config| &config.machine.network.nameservers);
    let mut status = ResolverStatus::default();
    let servers: Vec<String> = if listed.is_empty() {
        let given = sources
            .container
            .iter()
            .flat_map(|container| &container.nameservers);
        let given = given.map(ToString::to_string);
        given
            .chain(alternate(sources.servers4(), sources.servers6()))
            .collect()
    } else {
        listed.iter().map(ToString::to_string).collect()
    };
    for server in servers {
        if !status.servers.contains(&server) && status.servers.len() < MOST_SERVERS {
            status.servers.push(server);
        }
    }
    let domains = sources.container.iter().flat_map(|container| &container.search);
    let domains = domains.chain(sources.leases.iter().flat_map(|(_, lease)| &lease.search));
    let domains = domains.chain(sources.leases6.iter().flat_map(|(_, lease)| &lease.search));
    for domain in domains.chain(sources.advertised.iter().flat_map(|(_, named)| &named.search)) {
        if !status.search.contains(domain) && status.search.len() < MOST_DOMAINS {
            status.search.push(domain.clone());
        }
    }
    status
}

impl Sources {
    fn servers4(&self) -> Vec<String> {
        let all = self.leases.iter().flat_map(|(_, lease)| &lease.nameservers);
        unique(all.map(ToString::to_string))
    }

    fn servers6(&self) -> Vec<String> {
        let leased = self
            .leases6
            .iter()
            .map(|(link, lease)| (link, &lease.nameservers));
        let named = self
            .advertised
            .iter()
            .map(|(link, named)| (link, &named.nameservers));
        // A link-local address means nothing without its interface.
        let text = |link: &str, server: &Ipv6Addr| {
            if server.is_unicast_link_local() {
                format!("{server}%{link}")
            } else {
                server.to_string()
            }
        };
        let texts = leased
            .chain(named)
            .flat_map(|(link, servers)| servers.iter().map(move |server| text(link, server)));
        unique(texts)
    }
}

fn unique(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut all = Vec::new();
    for text in texts {
        if !all.contains(&text) {
            all.push(text);
        }
    }
    all
}

/// Interleaves two lists.
fn alternate(first: Vec<String>, second: Vec<String>) -> Vec<String> {
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut all = Vec::new();
    loop {
        let pair = (first.next(), second.next());
        if pair == (None, None) {
            return all;
        }
        all.extend([pair.0, pair.1].into_iter().flatten());
    }
}

/// Writes the file's text. Pure; the types keep line ends out of it.
fn render(status: &ResolverStatus) -> String {
    let mut text = String::from("# Written by machined from the machine config, DHCP and IPv6 routers.\n");
    for server in &status.servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    if !status.search.is_empty() {
        let domains: Vec<_> = status.search.iter().map(Host::as_str).collect();
        text.push_str(&format!("search {}\n", domains.join(" ")));
    }
    text
}

/// Atomically sets the content of a file. Returns true if that changed it.
pub(super) fn keep_file(path: &Path, text: &str) -> Result<bool, WriteError> {
    let failed = |source| WriteError {
        path: path.to_owned(),
        source,
    };
    // A link stays a link: what it points to is what is written.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if fs::read(&target).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(false);
    }
    sys::durable::write(&target, text.as_bytes(), 0o644).map_err(failed)?;
    Ok(true)
}

#[async_trait]
impl Controller for Resolver {
    fn name(&self) -> &'static str {
        "network-resolver"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            MachineConfig::KIND,
            ContainerMode::KIND,
            DhcpLease::KIND,
            Dhcp6Lease::KIND,
            RouterAdvertisement::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[ResolverStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let status = choose(&Sources {
            config: store.get(NODE),
            container: store.get(NODE),
            leases: store.list(),
            leases6: store.list(),
            advertised: store.list(),
        });
        keep_file(&self.path, &render(&status))?;
        store.put(self.name(), NODE, status)?;
        Ok(Action::After(RESYNC))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::spec::tests::{config, lease};
    use super::*;

    fn sources(config: Option<MachineConfig>, leases: Vec<(String, DhcpLease)>) -> Sources {
        Sources {
            config,
            leases,
            ..Sources::default()
        }
    }

    fn leases() -> Vec<(String, DhcpLease)> {
        let other = DhcpLease {
            nameservers: ["10.0.2.3", "10.0.3.1", "10.0.3.2", "10.0.3.3"]
                .map(|ip| ip.parse().unwrap())
                .to_vec(),
            ..lease("10.0.3.15/24", "10.0.3.1")
        };
        vec![
            ("eth0".into(), lease("10.0.2.15/24", "10.0.2.2")),
            ("eth1".into(), other),
        ]
    }

    #[test]
    fn leased_servers_are_joined_up_to_what_is_used() {
        let text = render(&choose(&sources(None, leases())));
        assert_eq!(
            text.lines().skip(1).collect::<Vec<_>>(),
            [
                "nameserver 10.0.2.3",
                "nameserver 10.0.3.1",
                "nameserver 10.0.3.2",
                "search example.org"
            ]
        );
    }

    #[test]
    fn configured_servers_replace_leased_ones() {
        let status = choose(&sources(Some(config("{name: eth0, dhcp: true}")), leases()));
        assert_eq!(status.servers, ["192.0.2.53"]);
    }

    #[test]
    fn a_container_asks_the_servers_that_its_engine_named() {
        let container = ContainerMode {
            nameservers: vec!["10.89.0.1".parse().unwrap()],
            search: vec!["dns.podman".parse().unwrap()],
            ..ContainerMode::default()
        };
        let status = choose(&Sources {
            container: Some(container),
            ..Sources::default()
        });
        assert_eq!(status.servers, ["10.89.0.1"]);
        assert_eq!(status.search[0].as_str(), "dns.podman");
    }

    #[test]
    fn names_of_routers_are_used_in_addition_to_leases() {
        let named = RouterAdvertisement {
            nameservers: ["2001:db8::53", "fe80::1"].map(|ip| ip.parse().unwrap()).to_vec(),
            search: vec!["lab.example".parse().unwrap()],
        };
        let all = Sources {
            advertised: vec![("eth0".into(), named)],
            ..sources(None, leases())
        };
        let status = choose(&all);
        assert_eq!(status.servers, ["10.0.2.3", "2001:db8::53", "10.0.3.1"]);
        assert_eq!(status.search.len(), 2);
        let alone = Sources {
            leases: Vec::new(),
            ..all
        };
        assert_eq!(choose(&alone).servers, ["2001:db8::53", "fe80::1%eth0"]);
    }

    #[tokio::test]
    async fn the_file_is_kept_through_a_link() {
        let dir = tempfile::TempDir::new().unwrap();
        let (real, link) = (dir.path().join("run.conf"), dir.path().join("resolv.conf"));
        fs::write(&real, "nameserver 6.6.6.6\n").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let store = Store::new();
        store.put("t", "eth0", lease("10.0.2.15/24", "10.0.2.2")).unwrap();
        let mut resolver = Resolver::new(link.clone());
        resolver.reconcile(&store).await.unwrap();
        assert!(
            fs::read_to_string(&real)
                .unwrap()
                .contains("nameserver 10.0.2.3\n")
        );
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        fs::remove_file(&real).unwrap();
        resolver.reconcile(&store).await.unwrap();
        assert!(
            fs::read_to_string(&link)
                .unwrap()
                .contains("nameserver 10.0.2.3\n")
        );
        assert!(
            !keep_file(&link, &fs::read_to_string(&link).unwrap()).unwrap(),
            "an equal text is not written"
        );
    }

    proptest! {
        #[test]
        fn no_name_can_add_a_line(servers in proptest::collection::vec(any::<std::net::IpAddr>(), 0..9), names in proptest::collection::vec(any::<String>(), 0..9)) {
            let search = names.iter().filter_map(|name| name.parse().ok()).collect();
            let lease = DhcpLease { nameservers: servers, search, ..lease("10.0.2.15/24", "10.0.2.2") };
            let text = render(&choose(&sources(None, vec![("eth0".into(), lease)])));
            let known = |line: &str| ["# Written", "nameserver ", "search "].iter().any(|start| line.starts_with(start));
            prop_assert!(text.lines().all(known) && text.lines().count() <= 2 + MOST_SERVERS, "{text}");
        }
    }
}
