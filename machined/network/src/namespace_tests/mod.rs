//! The real kernel: everything runs over a virtual cable, in a network and host-name namespace of the
//! test's own.

use state::kinds::{AddressStatus, DhcpLease, HostNameStatus, LinkStatus, NetworkStatus, RouteStatus};

mod dhcp_server;
mod ipv6;
mod router;

use std::future::Future;
use std::net::Ipv4Addr;
use std::time::Duration;

use futures::TryStreamExt;
use nix::sched::{CloneFlags, unshare};
use rtnetlink::{Handle, LinkUnspec, LinkVeth};
use state::kinds::NODE;
use state::{Resource, Store};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::spec::tests::config;
use super::*;

/// The timeout of a change; the host may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test in a namespace, on a thread of its own: a thread cannot come back from one.
fn in_namespace<F: Future<Output = ()>>(test: impl FnOnce(Bench) -> F + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can make a network namespace");
        return;
    }
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS).expect("root can make a namespace");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { test(Bench::start().await).await });
    };
    std::thread::spawn(run).join().unwrap();
}

/// All controllers of the network, over a cable from `v0`, the node's end, to `v1`, the other one.
struct Bench {
    dir: TempDir,
    store: Store,
    /// A connection for changes by others.
    other: Handle,
    stop: CancellationToken,
}

impl Bench {
    async fn start() -> Self {
        let (connection, other, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        other
            .link()
            .add(LinkVeth::new("v0", "v1").build())
            .execute()
            .await
            .unwrap();
        let (dir, store, stop) = (TempDir::new().unwrap(), Store::new(), CancellationToken::new());
        let mut runtime = Runtime::new(store.clone());
        let files = NetworkFiles {
            resolv_conf: dir.path().join("resolv.conf"),
            hosts: dir.path().join("hosts"),
            machine_id: dir.path().join("machine-id"),
        };
        add_controllers(&mut runtime, files).unwrap();
        tokio::spawn(runtime.run(stop.clone()));
        Self {
            dir,
            store,
            other,
            stop,
        }
    }

    fn configure(&self, interfaces: &str) {
        self.store.put("test", NODE, config(interfaces)).unwrap();
    }

    /// Configures without name servers.
    fn configure_without_servers(&self, interfaces: &str) {
        let mut config = config(interfaces);
        config.machine.network.nameservers.clear();
        self.store.put("test", NODE, config).unwrap();
    }

    async fn index(&self, name: &str) -> u32 {
        let mut links = self.other.link().get().match_name(name).execute();
        links.try_next().await.unwrap().unwrap().header.index
    }

    async fn kernel_has(&self, address: Ipv4Addr) -> bool {
        let mut found = self
            .other
            .address()
            .get()
            .set_address_filter(address.into())
            .execute();
        found.try_next().await.unwrap().is_some()
    }

    async fn switch(&self, name: &str, on: bool) {
        let link = rtnetlink::LinkMessageBuilder::<LinkUnspec>::new().index(self.index(name).await);
        let link = if on { link.up() } else { link.down() };
        self.other.link().set(link.build()).execute().await.unwrap();
    }

    async fn add_address(&self, name: &str, address: [u8; 4], length: u8) {
        let index = self.index(name).await;
        self.other
            .address()
            .add(index, Ipv4Addr::from(address).into(), length)
            .execute()
            .await
            .unwrap();
    }

    /// Waits until a resource is as it should be.
    async fn until<R: Resource + std::fmt::Debug>(
        &self,
        id: &str,
        what: &str,
        good: impl Fn(Option<&R>) -> bool,
    ) {
        let mut watch = self.store.watch(&[R::KIND]);
        let wait = async {
            while !good(self.store.get::<R>(id).as_ref()) {
                watch.changed().await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            let failing = self.store.list::<state::ControllerStatus>();
            panic!("{what}: there is {:?}; {failing:#?}", self.store.list::<R>());
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

const STATIC: &str = "{name: v0, mtu: 1400, addresses: [10.9.0.2/24, \"2001:db8::2/64\"], \
                      routes: [{to: 0.0.0.0/0, via: 10.9.0.1}, {to: 10.8.0.0/16, via: 192.0.2.1, metric: 7}]}";

#[test]
fn static_addresses_are_set_kept_and_removed() {
    in_namespace(|bench| async move {
        bench.configure(STATIC);
        bench
            .until::<LinkStatus>("lo", "lo is switched on", |link| link.is_some_and(|link| link.up))
            .await;
        bench
            .until::<LinkStatus>("v0", "the MTU is set", |link| {
                link.is_some_and(|l| l.up && l.mtu == 1400)
            })
            .await;
        let ours = |found: Option<&AddressStatus>| found.is_some_and(|found| found.ours);
        bench.until("v0/10.9.0.2/24", "IPv4", ours).await;
        bench.until("v0/2001:db8::2/64", "IPv6", ours).await;
        let ours = |found: Option<&RouteStatus>| found.is_some_and(|found| found.ours);
        bench
            .until("v0/0.0.0.0/0/1024/10.9.0.1", "default route", ours)
            .await;
        bench
            .until(
                "v0/10.8.0.0/16/7/192.0.2.1",
                "route through a router beyond the network",
                ours,
            )
            .await;
        bench
            .until::<NetworkStatus>(NODE, "ready", |status| status.is_some_and(|s| s.ready))
            .await;
        bench
            .until::<HostNameStatus>(NODE, "named", |status| {
                status.is_some_and(|s| s.name.as_str() == "node1")
            })
            .await;
        assert_eq!(sys::host::name(), "node1");

        bench.add_address("v0", [192, 0, 2, 7], 32).await;
        bench
            .until::<AddressStatus>("v0/192.0.2.7/32", "somebody else's", |found| found.is_some())
            .await;
        let index = bench.index("v0").await;
        let stolen = rtnetlink::AddressMessageBuilder::<Ipv4Addr>::new()
            .index(index)
            .address([10, 9, 0, 2].into(), 24);
        bench.other.address().del(stolen.build()).execute().await.unwrap();
        // Asked of the kernel, not of the store, which may not have seen yet that it was gone.
        let back = async {
            while !bench.kernel_has(Ipv4Addr::new(10, 9, 0, 2)).await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, back).await.expect("it comes back");
        let default = "v0/0.0.0.0/0/1024/10.9.0.1";
        bench
            .until::<RouteStatus>(default, "its route, too", |found| found.is_some())
            .await;

        bench.configure("{name: v0, addresses: [10.9.0.3/24]}");
        bench
            .until::<AddressStatus>("v0/10.9.0.3/24", "the new one", |found| found.is_some())
            .await;
        bench
            .until::<AddressStatus>("v0/10.9.0.2/24", "the old one", |found| found.is_none())
            .await;
        bench
            .until::<RouteStatus>("v0/10.8.0.0/16/7/192.0.2.1", "its routes", |found| {
                found.is_none()
            })
            .await;
        let foreign = bench.store.get::<AddressStatus>("v0/192.0.2.7/32").unwrap();
        assert!(!foreign.ours, "what somebody else added stays");
    });
}

#[test]
fn a_lease_is_acquired_used_and_released() {
    in_namespace(|bench| async move {
        bench.switch("v1", true).await;
        bench.add_address("v1", [10, 9, 0, 1], 24).await;
        let _server = dhcp_server::Server::with(&[]).serve("v1");
        bench.configure("{name: v0, dhcp: true}");
        bench
            .until::<DhcpLease>("v0", "a lease", |lease| lease.is_some())
            .await;
        let lease: DhcpLease = bench.store.get("v0").unwrap();
        assert_eq!(
            (lease.address.to_string().as_str(), lease.seconds),
            ("10.9.0.50/24", 600)
        );
        assert_eq!(
            lease.time_servers,
            ["10.9.0.4".parse::<std::net::IpAddr>().unwrap()]
        );
        bench
            .until::<AddressStatus>("v0/10.9.0.50/24", "its address", |found| found.is_some())
            .await;
        let default = |status: Option<&NetworkStatus>| {
            status.is_some_and(|s| s.ready && s.default_route.as_deref() == Some("10.9.0.1 on v0"))
        };
        bench.until(NODE, "its route", default).await;
        let resolv = std::fs::read_to_string(bench.dir.path().join("resolv.conf")).unwrap();
        assert!(
            resolv.contains("nameserver 192.0.2.53\nsearch lab.example\n"),
            "{resolv}"
        );

        bench.switch("v1", false).await;
        bench
            .until::<LinkStatus>("v0", "the cable is out", |link| link.is_some_and(|l| !l.carrier))
            .await;
        bench.switch("v1", true).await;
        bench
            .until::<LinkStatus>("v0", "and in again", |link| link.is_some_and(|l| l.carrier))
            .await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(bench.store.get("v0"), Some(lease), "the same lease, all the time");
        assert!(bench.kernel_has(Ipv4Addr::new(10, 9, 0, 50)).await);

        bench
            .store
            .remove::<machine_config::MachineConfig>("test", NODE)
            .unwrap();
        bench
            .until::<DhcpLease>("v0", "released", |lease| lease.is_none())
            .await;
        bench
            .until::<AddressStatus>("v0/10.9.0.50/24", "taken away", |found| found.is_none())
            .await;
    });
}

/// All mistakes of home routers at once: the address is used anyway, and the mistakes are reported.
#[test]
fn a_server_with_many_mistakes_still_provides_an_address() {
    in_namespace(|bench| async move {
        bench.switch("v1", true).await;
        bench.add_address("v1", [10, 9, 0, 1], 24).await;
        let server = dhcp_server::Server::with(&[
            // T1 after T2, no mask, more bytes than a veth can take, and a name that is none.
            (58, &500_u32.to_be_bytes()),
            (59, &400_u32.to_be_bytes()),
            (1, &[]),
            (26, &u16::MAX.to_be_bytes()),
            (12, b"localhost"),
        ]);
        let _server = server.serve("v1");
        bench.configure("{name: v0, dhcp: true}");
        bench
            .until::<DhcpLease>("v0", "a lease", |lease| lease.is_some())
            .await;
        let lease: DhcpLease = bench.store.get("v0").unwrap();
        assert_eq!(
            (lease.address.to_string().as_str(), lease.hostname),
            ("10.9.0.50/8", None)
        );
        assert_eq!(lease.remarks.len(), 3, "{:?}", lease.remarks);
        bench
            .until::<NetworkStatus>(NODE, "ready", |status| status.is_some_and(|s| s.ready))
            .await;
        assert_eq!(sys::host::name(), "node1");
        // The largest packet is what the card can do, and the controller is at rest.
        bench
            .until::<LinkStatus>("v0", "a size it can do", |link| {
                link.is_some_and(|link| Some(link.mtu) == link.max_mtu.map(|most| most.min(u16::MAX.into())))
            })
            .await;
        bench
            .until::<state::ControllerStatus>("network-links", "at rest", |status| {
                status.is_some_and(|status| status.state == state::ControllerState::Ready)
            })
            .await;
    });
}

#[test]
fn a_revoked_lease_is_removed_and_the_node_is_not_ready() {
    in_namespace(|bench| async move {
        bench.switch("v1", true).await;
        bench.add_address("v1", [10, 9, 0, 1], 24).await;
        // Both ends are in one namespace here: what comes from the one must be believed by the other.
        let folder = std::path::Path::new("/proc/sys");
        node::boot::sysctls::set(folder, "net.ipv4.conf.v1.accept_local", "1").unwrap();
        // Asked again after eight seconds. Without its name (54) everybody is asked, by the cable and not within.
        let server = dhcp_server::Server {
            grants: 1,
            ..dhcp_server::Server::with(&[(54, &[]), (58, &8_u32.to_be_bytes())])
        };
        let _server = server.serve("v1");
        bench.configure("{name: v0, dhcp: true}");
        bench
            .until::<NetworkStatus>(NODE, "ready", |status| status.is_some_and(|s| s.ready))
            .await;
        bench
            .until::<DhcpLease>("v0", "taken back", |lease| lease.is_none())
            .await;
        bench
            .until::<AddressStatus>("v0/10.9.0.50/24", "its address, too", |found| found.is_none())
            .await;
        bench
            .until::<NetworkStatus>(NODE, "not ready", |status| status.is_some_and(|s| !s.ready))
            .await;
    });
}
