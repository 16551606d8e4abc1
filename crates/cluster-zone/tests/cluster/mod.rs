//! A cluster that has one of everything.

#![allow(dead_code, reason = "each test uses its part")]
#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use cluster_zone::objects::{Endpoint, Port, Protocol, Service, Slice, Target};
use cluster_zone::proto::rr::Name;
use cluster_zone::{Zone, ZoneConfig};

/// Returns the usual networks.
pub fn config() -> ZoneConfig {
    ZoneConfig {
        domain: Name::from_ascii("cluster.local.").unwrap(),
        dns: vec!["10.96.0.10".parse().unwrap()],
        pods: ["10.244.0.0/16", "fd00:244::/56"]
            .map(|text| text.parse().unwrap())
            .to_vec(),
        services: ["10.96.0.0/12", "fd00:96::/112"]
            .map(|text| text.parse().unwrap())
            .to_vec(),
    }
}

/// Makes ports of TCP.
pub fn ports(all: &[(&str, u16)]) -> Box<[Port]> {
    let port = |(name, number): &(&str, u16)| Port {
        name: (*name).into(),
        protocol: Protocol::Tcp,
        number: *number,
    };
    all.iter().map(port).collect()
}

/// Makes a service with addresses.
pub fn cluster_ip(addresses: &[&str], all: &[(&str, u16)]) -> Service {
    Service {
        target: Target::Addresses(addresses.iter().map(|text| text.parse().unwrap()).collect()),
        ports: ports(all),
        publishes_not_ready: false,
    }
}

/// Makes a headless service.
pub fn headless(publishes_not_ready: bool) -> Service {
    Service {
        target: Target::Endpoints,
        ports: ports(&[("http", 80)]),
        publishes_not_ready,
    }
}

/// Makes a service that is a name for another name.
pub fn external(name: &str) -> Service {
    Service {
        target: Target::Name(name.into()),
        ports: ports(&[("http", 80)]),
        publishes_not_ready: false,
    }
}

/// Makes a slice of endpoints: address, host name, ready.
pub fn slice(service: &str, port: u16, all: &[(&str, Option<&str>, bool)]) -> Slice {
    let endpoint = |(address, hostname, ready): &(&str, Option<&str>, bool)| Endpoint {
        address: address.parse().unwrap(),
        hostname: hostname.map(Into::into),
        ready: *ready,
    };
    Slice {
        service: service.into(),
        ports: ports(&[("http", port)]),
        endpoints: all.iter().map(endpoint).collect(),
    }
}

/// Returns all of it.
pub fn zone() -> Zone {
    let mut zone = Zone::new(config());
    for namespace in ["default", "web", "quiet"] {
        zone.set_namespace(namespace);
    }
    zone.set_service(
        "default",
        "kubernetes",
        cluster_ip(&["10.96.0.1"], &[("https", 443)]),
    );
    let mut web = |name: &str, service| zone.set_service("web", name, service);
    web(
        "both",
        cluster_ip(&["10.96.0.20", "fd00:96::20"], &[("http", 80)]),
    );
    web("plain", cluster_ip(&["10.96.0.21"], &[("", 80)]));
    for name in ["headless", "empty", "asleep", "on-nodes"] {
        web(name, headless(false));
    }
    web("eager", headless(true));
    web("shop", external("www.example.com"));
    web("inside", external("kubernetes.default.svc.cluster.local"));
    web("nowhere", external("gone.web.svc.cluster.local"));
    web("round", external("round.web.svc.cluster.local."));
    web("odd", external("not..a..name"));
    let mut of = |name: &str, slice| zone.set_slice("web", name, slice);
    of(
        "headless-1",
        slice(
            "headless",
            8080,
            &[
                ("10.244.1.2", Some("my-pet"), true),
                ("10.244.1.3", None, true),
                ("10.244.1.4", Some("sick"), false),
            ],
        ),
    );
    of(
        "headless-2",
        slice("headless", 8080, &[("10.244.2.2", Some("my-pet"), true)]),
    );
    let mut v6 = slice("headless", 8080, &[("fd00:244::2", None, true)]);
    v6.ports = Box::default();
    of("headless-6", v6);
    of("asleep-1", slice("asleep", 80, &[("10.244.3.8", None, false)]));
    of(
        "eager-1",
        slice("eager", 80, &[("10.244.3.9", Some("early"), false)]),
    );
    of("on-nodes-1", slice("on-nodes", 80, &[("192.0.2.40", None, true)]));
    of(
        "both-1",
        slice("both", 80, &[("10.244.1.50", Some("db-0"), true)]),
    );
    zone.set_synced();
    zone
}
