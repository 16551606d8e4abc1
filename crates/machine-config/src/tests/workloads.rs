//! Rules of workloads and registries.

use super::faults::faults;
use super::{GOLDEN, SMALLEST};
use crate::{parse, parse_over};

/// Adds workloads to the smallest document; the first line is line 9.
fn with(lines: &str) -> Vec<String> {
    faults(&format!("{SMALLEST}workloads:\n{lines}\n"))
}

#[test]
fn a_workload_needs_a_name_and_one_image() {
    assert_eq!(with("  - name: a\n    image: {reference: nginx}"), [""; 0]);
    let table = [
        (
            "  - {}",
            "workloads[0].name: is missing; logs and commands name the workload by it (line 9)",
        ),
        (
            "  - name: A\n    image: {bundled: a}",
            "workloads[0].name: \"A\" is not a name;",
        ),
        (
            "  - name: a\n    image: {}",
            "workloads[0].image: needs exactly one of reference, file and bundled (line 10)",
        ),
        (
            "  - name: a\n    image: {file: /var/a.tar, bundled: a}",
            "workloads[0].image: needs exactly one of reference, file and bundled (line 10)",
        ),
        (
            "  - name: a\n    image: {file: /etc/shadow}",
            "workloads[0].image.file: \"/etc/shadow\" is not a file on DATA;",
        ),
        (
            "  - name: a\n    image: nginx",
            "workloads[0].image: expected a map, found a text (line 10)",
        ),
        (
            "  - name: a\n    image: {bundled: a}\n  - name: a\n    image: {bundled: a}",
            "workloads[1]: a is listed twice (line 11)",
        ),
    ];
    for (lines, expected) in table {
        let found = with(lines);
        assert!(
            found.iter().any(|fault| fault.starts_with(expected)),
            "{lines}\n{found:?}"
        );
    }
    let long = format!("  - name: {}\n    image: {{bundled: a}}", "a".repeat(49));
    assert!(with(&long)[0].contains("has 49 characters; at most 48 are allowed"));
}

#[test]
fn each_rule_has_a_sentence_with_a_way_out() {
    let table = [
        (
            "capabilities: [CAP_NET_RAW]",
            "capabilities[0]: \"CAP_NET_RAW\" is not a capability; expected the kernel's name without CAP_, such as NET_BIND_SERVICE",
        ),
        (
            "mounts: [{volume: ../x, target: /a}]",
            "mounts[0].volume: \"../x\" is not the name of a volume",
        ),
        (
            "mounts: [{volume: x, target: /proc/a}]",
            "mounts[0].target: /proc/a is taken: /proc is made for every workload",
        ),
        (
            "mounts: [{volume: x, target: /a}, {volume: y, target: /a}]",
            "mounts[1]: /a is listed twice",
        ),
        ("tmpfs: [{target: /a, size: 1}]", "tmpfs[0].size: expected a text"),
        ("devices: [{}]", "devices[0]: needs either path or usb"),
        (
            "devices: [{usb: \"1234:5678\", target: /dev/a}]",
            "devices[0]: target goes with path",
        ),
        (
            "devices: [{path: /etc/shadow}]",
            "devices[0].path: \"/etc/shadow\" is not a device",
        ),
        (
            "resources: {memory: 1MiB}",
            "resources.memory: 1MiB is less than 4MiB, which runs nothing",
        ),
        (
            "resources: {cpu: 0}",
            "resources.cpu: \"0\" is not an amount of processors",
        ),
        ("resources: {pids: 0}", "resources.pids: "),
        ("user: root", "user: \"root\" is not a user; expected numbers"),
        (
            "seccomp: none",
            "seccomp: \"none\" is not one of default, unconfined",
        ),
        (
            "logs: {maxSize: 1KiB}",
            "logs.maxSize: must be from 256KiB to 1GiB",
        ),
        ("logs: {maxFiles: 0}", "logs.maxFiles: "),
        (
            "restartPolicy: Always",
            "restartPolicy: \"Always\" is not one of always, onFailure, never",
        ),
        ("stopSignal: TERM", "stopSignal: \"TERM\" is not one of SIGTERM"),
        ("stopGracePeriod: 0s", "stopGracePeriod: must be from 1s to 1h"),
        (
            "network: {mode: bride}",
            "network.mode: \"bride\" is not one of none, host, bridge, did you mean \"bridge\"?",
        ),
        (
            "network: {mode: host, ports: [{container: 80}]}",
            "network.ports: publishes ports, which goes with mode: bridge alone",
        ),
        (
            "network: {mode: bridge, ports: [{host: 80}]}",
            "network.ports[0].container: is missing",
        ),
        (
            "network: {mode: bridge, ports: [{container: 80, address: \"::1\"}]}",
            "network.ports[0].address: \"::1\" is not an IPv4 address of the node",
        ),
        (
            "network: {mode: bridge, ports: [{container: 50000}]}",
            "network.ports[0]: takes port 50000, which is that of the node's own API",
        ),
        (
            "healthCheck: {}",
            "healthCheck: needs exactly one of command, http and tcp",
        ),
        ("healthCheck: {command: []}", "healthCheck.command: is empty"),
        ("healthCheck: {tcp: 80}", "healthCheck: http and tcp ask a port"),
        (
            "dependsOn: [b]",
            "workloads[0]: depends on b, which is not a workload here",
        ),
        (
            "dependsOn: [a]",
            "workloads[0]: waits for itself: a; remove one of their dependsOn",
        ),
        (
            "secrets: [{name: a, value: b, variable: X}]\n    environment: {X: y}",
            "workloads[0]: X is listed twice, in environment and in secrets",
        ),
        (
            "secrets: [{name: a}]",
            "secrets[0].value: is missing; give its text",
        ),
    ];
    for (line, expected) in table {
        let found = with(&format!("  - name: a\n    image: {{bundled: a}}\n    {line}"));
        let matches = |fault: &String| {
            let own = fault.strip_prefix("workloads[0].").unwrap_or(fault);
            own.starts_with(expected)
        };
        assert!(found.iter().any(matches), "{line}\n{found:?}");
    }
}

#[test]
fn a_circle_is_named_and_numbers_are_words_of_commands() {
    let one = |name: &str, other: &str| {
        format!("  - name: {name}\n    image: {{bundled: a}}\n    dependsOn: [{other}]\n")
    };
    let circle = with(&format!("{}{}{}", one("a", "b"), one("b", "c"), one("c", "b")));
    assert!(circle[0].contains("waits for itself: a, b, c"), "{circle:?}");
    let text = format!(
        "{SMALLEST}workloads:\n  - name: a\n    image: {{bundled: a}}\n    args: [--port, 8080, true]\n"
    );
    assert_eq!(
        parse(&text).unwrap().workloads[0].args,
        ["--port", "8080", "true"]
    );
}

#[test]
fn lists_are_bounded() {
    let many: String = (0..65)
        .map(|n| format!("  - name: a{n}\n    image: {{bundled: a}}\n"))
        .collect();
    assert_eq!(
        with(&many),
        ["workloads: lists 65 workloads; at most 64 are allowed (line 8)"]
    );
}

#[test]
fn secrets_of_workloads_and_registries_are_kept_by_name() {
    let config = parse(GOLDEN).unwrap();
    assert!(
        !config.to_yaml().contains("WorkloadExampleE=") && !config.to_yaml().contains("RegistryExampleE=")
    );
    let applied = parse_over(&config.to_yaml().replace("size: 16MiB", "size: 8MiB"), &config).unwrap();
    assert_eq!(applied.workloads[0].secrets, config.workloads[0].secrets);
    assert_eq!(applied.machine.registries, config.machine.registries);
    let renamed = parse_over(&config.to_yaml().replace("name: token", "name: other"), &config).unwrap_err();
    assert!(
        renamed
            .to_string()
            .contains("workloads[0].secrets[0].value: is the mark of a redacted secret"),
        "{renamed}"
    );
}

#[test]
fn a_registry_has_a_user_with_a_password_or_neither() {
    let registry = |text: &str| faults(&format!("{SMALLEST}  registries: [{text}]\n"));
    assert_eq!(registry("{host: docker.io}"), [""; 0]);
    for (text, expected) in [
        ("{}", "machine.registries[0].host: is missing"),
        (
            "{host: \"https://a.b\"}",
            "machine.registries[0].host: \"https://a.b\" is not a registry",
        ),
        (
            "{host: a.b, username: me}",
            "machine.registries[0]: username and password go together",
        ),
        (
            "{host: a.b, mirrors: [\"https://me:secret@a.b\"]}",
            "machine.registries[0].mirrors[0]: is not the address of a mirror",
        ),
        (
            "{host: a.b}, {host: a.b}",
            "machine.registries[1]: a.b is listed twice",
        ),
    ] {
        let found = registry(text);
        assert!(found[0].starts_with(expected), "{text}\n{found:?}");
        assert!(!found[0].contains("secret@"), "{found:?}");
    }
}

#[test]
fn a_port_that_is_published_twice_names_both_workloads() {
    let two = |one: &str, other: &str| {
        let workload = |name: &str, port: &str| {
            format!(
                "  - name: {name}\n    image: {{bundled: a}}\n    network: {{mode: bridge, ports: [{port}]}}\n"
            )
        };
        with(&format!("{}{}", workload("web", one), workload("shop", other)))
    };
    let told =
        "workloads[1]: publishes port 8080/tcp, and so does web; set another host in one of them (line 12)";
    for (one, other) in [
        ("{container: 80, host: 8080}", "{container: 8080}"),
        ("{container: 8080}", "{container: 8080, address: 192.0.2.1}"),
        (
            "{container: 8080, address: 192.0.2.1}",
            "{container: 8080, address: 192.0.2.1}",
        ),
    ] {
        assert_eq!(two(one, other), [told], "{one}, {other}");
    }
    for (one, other) in [
        ("{container: 80, host: 8080}", "{container: 80}"),
        ("{container: 53}", "{container: 53, protocol: udp}"),
        (
            "{container: 80, address: 127.0.0.1}",
            "{container: 80, address: 192.0.2.1}",
        ),
        ("{container: 50000, protocol: udp}", "{container: 1}"),
    ] {
        assert_eq!(two(one, other), [""; 0], "{one}, {other}");
    }
    let twice = two("{container: 1}, {container: 2, host: 1}", "{container: 3}");
    assert_eq!(twice, ["workloads[0]: publishes port 1/tcp twice (line 9)"]);
}

#[test]
fn the_network_of_workloads_is_a_network_of_its_own() {
    let subnet = |text: &str| {
        faults(&format!(
            "{SMALLEST}  network: {{workloadSubnet: {text}, interfaces: [{{name: eth0, addresses: [10.1.0.2/24]}}]}}\n"
        ))
    };
    assert_eq!(subnet("10.2.0.0/24"), [""; 0]);
    for (text, expected) in [
        ("\"fd00::/64\"", "fd00::/64 is not a network for workloads"),
        ("10.2.0.0/28", "10.2.0.0/28 is not a network for workloads"),
        (
            "10.2.0.1/24",
            "10.2.0.1/24 is an address in a network; write 10.2.0.0/24",
        ),
        ("10.0.0.0/8", "10.0.0.0/8 has 10.1.0.2, an address of the node"),
    ] {
        let found = subnet(text);
        assert!(
            found[0].starts_with(&format!("machine.network.workloadSubnet: {expected}")),
            "{found:?}"
        );
    }
}
