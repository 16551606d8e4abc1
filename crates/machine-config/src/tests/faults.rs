//! What is refused, and the error messages.

use super::{GOLDEN, SMALLEST};
use crate::{Overrides, parse};

/// Lists the faults of a document, one line each.
pub(super) fn faults(text: &str) -> Vec<String> {
    parse(text).map_or_else(
        |faults| faults.list().iter().map(ToString::to_string).collect(),
        |_| Vec::new(),
    )
}

/// Adds lines under `machine:` of the smallest document; the first is on line 8.
fn with(lines: &str) -> String {
    format!("{SMALLEST}{lines}\n")
}

#[test]
fn the_smallest_document_is_valid() {
    assert_eq!(faults(SMALLEST), [""; 0]);
}

#[test]
fn all_faults_are_reported_at_once_with_paths_and_lines() {
    let text = with(
        "  hostnme: node1
  network:
    interfaces:
      - name: eth0
        dhcp: maybe
        addresses: [10.0.0.2/24, 10.0.0.300/24]
        routes: [{via: 10.0.0.1}]
      - addresses: [10.0.0.0/24]
  time: {servers: 5}
clutser: {}",
    );
    assert_eq!(
        faults(&text),
        [
            "machine.hostnme: unknown field, did you mean \"hostname\"?; known here: role, hostname, ca, token, \
             certSANs, network, time, sysctls, modules, health, upgrades, firmware, services, nodeLabels, nodeTaints, kubelet, registries (line 8)",
            "machine.network.interfaces[0].dhcp: expected true or false, found a text (line 12)",
            "machine.network.interfaces[0].addresses[1]: \"10.0.0.300/24\" is not an address; expected IP/prefix (line 13)",
            "machine.network.interfaces[0].routes[0].to: is missing; give the network, or default for the default \
             route (line 14)",
            "machine.network.interfaces[1]: has neither name nor macAddress; give one (line 15)",
            "machine.network.interfaces[1].addresses[0]: 10.0.0.0/24 is the network itself; give the node's own \
             address in it (line 15)",
            "machine.time.servers: expected a list, found a number (line 16)",
            "clutser: unknown field, did you mean \"cluster\"?; known here: apiVersion, kind, machine, cluster, workloads (line 17)",
        ]
    );
}

#[test]
fn one_fault_each() {
    let table = [
        (
            "  hostname: 5",
            "machine.hostname: expected a text, found a number; put it in quotes: \"5\"",
        ),
        (
            "  hostname: -a",
            "machine.hostname: \"-a\" is not a host name; expected letters",
        ),
        (
            "  hostname: LocalHost",
            "machine.hostname: \"LocalHost\" is not a host name; expected letters, digits and hyphens, in parts divided by \
             dots, 63 characters at most, and not localhost",
        ),
        (
            "  hostname: localhost.localdomain",
            "machine.hostname: \"localhost.localdomain\" is not a host name",
        ),
        ("  hostname: localhost1", ""),
        (
            "  network: {interfaces: [{name: eth0, addresses: [255.255.255.255/32]}]}",
            "machine.network.interfaces[0].addresses[0]: 255.255.255.255 is not an address a node can have",
        ),
        (
            "  time: {servers: [10.0.0.300]}",
            "machine.time.servers[0]: \"10.0.0.300\" is not a host",
        ),
        (
            "  sysctls: {nodots: 1}",
            "machine.sysctls.nodots: \"nodots\" is not a kernel parameter",
        ),
        (
            "  sysctls: {../../etc.x: 1}",
            "machine.sysctls[\"../../etc.x\"]: \"../../etc.x\" is not a kernel parameter",
        ),
        (
            "  sysctls: {kernel.panic: [1]}",
            "machine.sysctls[\"kernel.panic\"]: expected a text or number, found a list",
        ),
        (
            "  modules: [../x]",
            "machine.modules[0]: \"../x\" is not a module name",
        ),
        (
            "  health: {timeout: 5}",
            "machine.health.timeout: expected a length of time, found the number 5",
        ),
        (
            "  health: {timeout: 5 min}",
            "machine.health.timeout: \"5 min\" is not a length of time",
        ),
        ("  health: {timeout: 20s}", ""),
        (
            "  health: {commitAfter: 10m}",
            "machine.health.commitAfter: must be shorter than the timeout (10m)",
        ),
        (
            "  health: {require: [tiem]}",
            "machine.health.require[0]: \"tiem\" is not one of api, network, time, services, cluster, did you",
        ),
        (
            "  health: {require: [api, api]}",
            "machine.health.require[1]: is listed twice",
        ),
        (
            "  upgrades: {window: {start: 2h, duration: 2h}}",
            "machine.upgrades.window.start: \"2h\" is not a time of day; expected HH:MM",
        ),
        ("  upgrades: {window: {start: 02:30, duration: 24h}}", ""),
        (
            "  upgrades: {window: {start: 02:30, duration: 25h}}",
            "machine.upgrades.window.duration: must be from 1m to 1d",
        ),
        (
            "  upgrades: {window: {start: 02:30}}",
            "machine.upgrades.window.duration: is missing; set it to how long",
        ),
        (
            "  upgrades: {window: {days: [mon, mon], start: 02:30, duration: 1h}}",
            "machine.upgrades.window.days[1]: is listed twice",
        ),
        (
            "  upgrades: {window: {days: [monday], start: 02:30, duration: 1h}}",
            "machine.upgrades.window.days[0]: \"monday\" is not one of mon, tue, wed, thu, fri, sat, sun, did you",
        ),
        (
            "  upgrades: {window: {days: [], start: 02:30, duration: 1h}}",
            "machine.upgrades.window.days: lists no day; leave it out for every day",
        ),
        (
            "  upgrades: {proxy: \"http://me:secret@proxy:1\"}",
            "machine.upgrades.proxy: is not a proxy; expected http://HOST:PORT, without user and password (line",
        ),
        (
            "  upgrades: {rateLimit: 5}",
            "machine.upgrades.rateLimit: expected a text, found a number",
        ),
        (
            "  upgrades: {rateLimit: 5 MB/h}",
            "machine.upgrades.rateLimit: \"5 MB/h\" is not a rate; expected a number and a unit of bytes per second, such as 500k",
        ),
        (
            "  upgrades: {ca: x}",
            "machine.upgrades.ca: is not a certificate; expected PEM",
        ),
        ("  upgrades: {rollout: {url: \"https://a/b\", interval: 24h}}", ""),
        (
            "  upgrades: {rollout: {interval: 1m}}",
            "machine.upgrades.rollout.url: is missing; set it to where the rollout is published",
        ),
        (
            "  upgrades: {rollout: {url: \"https://me:secret@a/b\"}}",
            "machine.upgrades.rollout.url: is not an address; expected http://HOST/PATH or https://HOST/PATH, without \
             user and password (line",
        ),
        (
            "  upgrades: {rollout: {url: \"https://a/b\", interval: 59s}}",
            "machine.upgrades.rollout.interval: must be from 1m to 1d",
        ),
        (
            "  upgrades: {rollout: {url: \"https://a/b\", interval: 25h}}",
            "machine.upgrades.rollout.interval: must be from 1m to 1d",
        ),
        (
            "  upgrades: {rollout: {url: \"https://a/b\", every: 1h}}",
            "machine.upgrades.rollout.every: unknown field; known here: url, interval",
        ),
        (
            "  services: {containerd: true}",
            "machine.services.containerd: expected a map, found true or false",
        ),
        (
            "  services: {containerd: {}}",
            "machine.services.containerd.enabled: is missing; set it to true or false",
        ),
        ("  token: short", "machine.token: is not a token"),
        (
            "  token: <redacted>",
            "machine.token: is the mark of a redacted secret",
        ),
        (
            "  network: {nameservers: [dns.example]}",
            "machine.network.nameservers[0]: \"dns.example\" is not an IP address",
        ),
        (
            "  network: {interfaces: [{name: a/b}]}",
            "machine.network.interfaces[0].name: \"a/b\" is not an interface name",
        ),
        (
            "  network: {interfaces: [{name: a, macAddress: \"02:00:00:00:00:01\"}]}",
            "machine.network.interfaces[0]: has both",
        ),
        (
            "  network: {interfaces: [{macAddress: \"02:00:00:00:01\"}]}",
            "machine.network.interfaces[0].macAddress: \"02",
        ),
        (
            "  network: {interfaces: [{name: a}, {name: a}]}",
            "machine.network.interfaces[1]: interface a is listed twice",
        ),
        (
            "  network: {interfaces: [{name: a, mtu: 60}]}",
            "machine.network.interfaces[0].mtu: expected a whole number from 68",
        ),
        (
            "  network: {interfaces: [{name: a, mtu: 1000, addresses: [\"2001:db8::1/64\"]}]}",
            "machine.network.interfaces[0].mtu: an interface with IPv6 addresses needs 1280 or more",
        ),
        (
            "  network: {interfaces: [{name: a, addresses: [10.0.0.255/24]}]}",
            "machine.network.interfaces[0].addresses[0]: 10.0.0.255/24 is the network's broadcast address",
        ),
        (
            "  network: {interfaces: [{name: a, addresses: [10.0.0.2/24, 10.0.0.2/16]}]}",
            "machine.network.interfaces[0].addresses[1]: address 10.0.0.2 is listed twice",
        ),
        (
            "  network: {interfaces: [{name: a, routes: [{to: default}]}]}",
            "",
        ),
        (
            "  network: {interfaces: [{name: a, routes: [{to: defualt}]}]}",
            "machine.network.interfaces[0].routes[0].to: \"defualt\" is not an address",
        ),
        ("  sysctls: {kernel/panic: 10, vm.swappiness: 1}", ""),
        (
            "  sysctls: {kernel/panic: 10, kernel.panic: 11}",
            "machine.sysctls[\"kernel.panic\"]: kernel.panic is listed twice",
        ),
        (
            "  sysctls: {/proc/sys/kernel/panic: 10}",
            "machine.sysctls./proc/sys/kernel/panic: \"/proc/sys/kernel/panic\" is not a kernel parameter",
        ),
        (
            "  health: {timeout: 30}",
            "machine.health.timeout: expected a length of time, found the number 30; write 30s for seconds",
        ),
        (
            "  health: {timeout: \"30\"}",
            "machine.health.timeout: \"30\" is not a length of time; expected a whole number with s, m, h or d behind it",
        ),
        (
            "  upgrades: {window: {start: \"02:30\", duration: 7200}}",
            "machine.upgrades.window.duration: expected a length of time, found the number 7200; write 7200s",
        ),
        (
            "  network: {interfaces: [{name: a, routes: [{to: 10.1.2.3/16}]}]}",
            "machine.network.interfaces[0].routes[0].to: 10.1.2.3/16 is an address in the network 10.1.0.0/16",
        ),
        (
            "  network: {interfaces: [{name: a, routes: [{to: 10.1.0.0/16, via: \"fe80::1\"}]}]}",
            "machine.network.interfaces[0].routes[0].via: the router and the network are of different IP versions",
        ),
        (
            "cluster: {endpoint: 10.0.0.2:6443}",
            "cluster.endpoint: \"10.0.0.2:6443\" is not an endpoint",
        ),
        ("cluster: {name: Attic}", "cluster.name: \"Attic\" is not a name"),
    ];
    for (lines, expected) in table {
        let found = faults(&with(lines));
        match expected {
            "" => assert_eq!(found, [""; 0], "{lines}"),
            _ => assert!(
                found.len() == 1 && found[0].starts_with(expected),
                "{lines}\n{found:?}"
            ),
        }
    }
}

#[test]
fn the_default_route_is_of_the_routers_ip_version() {
    for (via, to) in [("10.0.0.1", "0.0.0.0/0"), ("\"fe80::1\"", "::/0")] {
        let lines =
            format!("  network: {{interfaces: [{{name: a, routes: [{{to: default, via: {via}}}]}}]}}");
        let config = parse(&with(&lines)).unwrap();
        assert_eq!(config.machine.network.interfaces[0].routes[0].to.to_string(), to);
    }
}

#[test]
fn roles_have_their_own_requirements() {
    let worker = SMALLEST.replace("standalone", "worker");
    let found = faults(&worker);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found[0].starts_with("cluster.endpoint: is missing; a worker must know"),
        "{found:?}"
    );
    assert!(
        found[1].starts_with("machine.token: is missing; nodes join"),
        "{found:?}"
    );
    assert!(
        found[2].starts_with("machine.ca.key: a worker must not have the authority's key"),
        "{found:?}"
    );
    let keyless: String = SMALLEST
        .lines()
        .filter(|line| !line.contains("key:"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(
        faults(&keyless),
        ["machine.ca.key: is missing; only workers do without it (line 5)"]
    );
}

#[test]
fn a_fault_never_shows_a_secret() {
    let text = GOLDEN
        .replace("BEGIN PRIVATE KEY", "BEGIN PRIVAT KEY")
        .replace("3f1c9ad02b7e4655.8e1d", "3f1c\u{fc}9");
    let found = parse(&text).unwrap_err().to_string();
    assert!(
        found.contains("machine.ca.key") && found.contains("machine.token"),
        "{found}"
    );
    assert!(!found.contains("MC4CAQ") && !found.contains("3f1c"), "{found}");
}

#[test]
fn overrides_are_checked_as_a_whole() {
    let config = parse(SMALLEST).unwrap();
    let address = Overrides {
        address: "10.0.0.2/24".parse().ok(),
        ..Overrides::default()
    };
    assert!(
        address
            .apply(&config)
            .unwrap_err()
            .to_string()
            .contains("name the interface for the address")
    );
    let named = Overrides {
        interface: "eth0".parse().ok(),
        hostname: "n7".parse().ok(),
        gateway: "10.0.0.1".parse().ok(),
        ..address
    };
    let set = named.apply(&config).unwrap();
    let interface = &set.machine.network.interfaces[0];
    assert_eq!(
        set.machine.hostname.as_ref().map(ToString::to_string).as_deref(),
        Some("n7")
    );
    assert_eq!(
        (interface.dhcp, interface.addresses.len(), interface.routes.len()),
        (false, 1, 1)
    );
    assert_eq!(named.apply(&set).unwrap(), set, "a second time changes nothing");
    let elsewhere = Overrides {
        gateway: "10.1.0.1".parse().ok(),
        ..named
    };
    let faults = elsewhere.apply(&config).unwrap_err().to_string();
    assert!(
        faults.ends_with("gateway 10.1.0.1 is not in the network of 10.0.0.2/24"),
        "{faults}"
    );
}
