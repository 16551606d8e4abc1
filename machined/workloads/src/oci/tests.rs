use super::*;
use machine_config::v1alpha1::{NetworkMode, Workload};

use crate::network::join::Place;

fn workload(lines: &str) -> Workload {
    let text = format!(
        "apiVersion: bedplate.dev/v1alpha1\nkind: MachineConfig\nmachine:\n  role: standalone\n  ca:\n    cert: \"-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\"\n    key: \"-----BEGIN PRIVATE KEY-----\\nMC4C\\n-----END PRIVATE KEY-----\"\nworkloads:\n  - name: a\n    image: {{bundled: a}}\n{lines}"
    );
    machine_config::parse(&text).unwrap().workloads.remove(0)
}

fn settings(lines: &str) -> Settings {
    let workload = workload(lines);
    let network = match workload.network.mode {
        NetworkMode::None => Network::None,
        NetworkMode::Host => Network::Host,
        NetworkMode::Bridge => Network::Bridge(Place {
            address: [10, 87, 0, 2].into(),
            length: 24,
            gateway: [10, 87, 0, 1].into(),
        }),
    };
    Settings::of(&workload, "docker.io/library/a:latest", network)
}

fn image() -> Execution {
    Execution {
        entrypoint: vec!["/entry".into()],
        cmd: vec!["default".into()],
        env: vec!["A=1".into(), "PATH=/bin".into()],
        ..Execution::default()
    }
}

const FOLDERS: Folders<'_> = Folders {
    volumes: "/volumes",
    secrets: "/secrets",
    hosts: "/hosts",
    namespace: None,
};

#[test]
fn a_workload_that_says_nothing_can_do_nothing_special() {
    let spec = spec(&settings(""), &image(), &[], &FOLDERS).unwrap();
    assert_eq!(spec["process"]["capabilities"]["bounding"], json!([]));
    assert_eq!(spec["process"]["noNewPrivileges"], true);
    assert_eq!(spec["root"]["readonly"], true);
    assert_eq!(spec["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_ERRNO");
    assert_eq!(
        spec["linux"]["resources"]["devices"],
        json!([{"allow": false, "access": "rwm"}])
    );
    assert_eq!(spec["linux"]["resources"]["pids"]["limit"], 1024);
    let kinds: Vec<_> = spec["linux"]["namespaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| &n["type"])
        .collect();
    assert_eq!(kinds, ["pid", "ipc", "uts", "mount", "network"]);
    let text = spec["mounts"].to_string();
    assert!(!text.contains("\"bind\"") && !text.contains("cgroup"), "{text}");
}

#[test]
fn command_and_arguments_follow_kubernetes() {
    let words = |lines: &str| command(&settings(lines), &image()).unwrap().join(" ");
    assert_eq!(words(""), "/entry default");
    assert_eq!(words("    args: [x]\n"), "/entry x");
    assert_eq!(words("    command: [/own]\n"), "/own");
    assert_eq!(words("    command: [/own]\n    args: [x, 1]\n"), "/own x 1");
    assert_eq!(
        command(&settings(""), &Execution::default()),
        Err(Unfit::NoCommand)
    );
}

#[test]
fn the_last_of_two_variables_counts_and_secrets_are_read_only_files() {
    let settings = settings(
        "    environment: {A: \"2\"}\n    secrets: [{name: key, value: hidden, variable: KEY}]\n    mounts: [{volume: v, target: /data, readOnly: true}]\n    network: {mode: host}\n",
    );
    let spec = spec(&settings, &image(), &[], &FOLDERS).unwrap();
    assert_eq!(
        spec["process"]["env"],
        json!(["PATH=/bin", "HOSTNAME=a", "A=2", "KEY=hidden"])
    );
    let mounts = spec["mounts"].as_array().unwrap();
    let at = |target: &str| {
        mounts
            .iter()
            .find(|mount| mount["destination"] == target)
            .unwrap()
    };
    assert_eq!(at("/data")["source"], "/volumes/v");
    assert_eq!(at("/run/secrets")["source"], "/secrets");
    for target in ["/data", "/run/secrets", "/etc/resolv.conf"] {
        assert!(
            at(target)["options"].as_array().unwrap().contains(&json!("ro")),
            "{target}"
        );
    }
    let place = |target: &str| {
        mounts
            .iter()
            .position(|mount| mount["destination"] == target)
            .unwrap()
    };
    assert!(
        place("/run") < place("/run/secrets"),
        "a folder comes before those in it"
    );
}

#[test]
fn limits_devices_and_users_are_as_written() {
    let settings = settings(
        "    user: \"7:8\"\n    capabilities: [NET_RAW]\n    resources: {memory: 64MiB, cpu: 500m, pids: 9}\n    readOnlyRootFilesystem: false\n",
    );
    let device = Device {
        path: "/dev/ttyUSB0".into(),
        block: false,
        major: 188,
        minor: 0,
        read_only: true,
    };
    let spec = spec(&settings, &image(), &[device], &FOLDERS).unwrap();
    assert_eq!(spec["process"]["user"], json!({"uid": 7, "gid": 8}));
    assert_eq!(spec["process"]["capabilities"]["ambient"], json!(["CAP_NET_RAW"]));
    let resources = &spec["linux"]["resources"];
    assert_eq!(resources["memory"], json!({"limit": 64 << 20, "swap": 64 << 20}));
    assert_eq!(resources["cpu"], json!({"quota": 50_000, "period": 100_000}));
    let rule = json!({"allow": true, "type": "c", "major": 188, "minor": 0, "access": "r"});
    assert_eq!(resources["devices"][1], rule);
    assert_eq!(spec["root"]["readonly"], false);
}

#[test]
fn a_user_by_name_is_refused_with_the_way_out() {
    let image = |user: &str| Execution {
        user: user.into(),
        ..image()
    };
    for (text, expected) in [
        ("", (0, 0)),
        ("root", (0, 0)),
        ("12", (12, 0)),
        ("12:13", (12, 13)),
    ] {
        assert_eq!(user(&settings(""), &image(text)), Ok(expected), "{text}");
    }
    let refused = user(&settings(""), &image("nginx")).unwrap_err();
    assert!(refused.to_string().contains("set user to its numbers"));
    assert_eq!(user(&settings("    user: \"5\"\n"), &image("nginx")), Ok((5, 0)));
}

#[test]
fn a_workload_on_the_bridge_has_the_namespace_that_was_made_for_it() {
    let folders = Folders {
        namespace: Some("/proc/1/fd/9".into()),
        ..FOLDERS
    };
    let spec = spec(
        &settings("    network: {mode: bridge}\n"),
        &image(),
        &[],
        &folders,
    )
    .unwrap();
    let network = &spec["linux"]["namespaces"][4];
    assert_eq!(*network, json!({"type": "network", "path": "/proc/1/fd/9"}));
    assert_eq!(
        spec["linux"]["sysctl"]["net.ipv4.ip_unprivileged_port_start"],
        "0"
    );
    let names = spec["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .find(|mount| mount["destination"] == "/etc/hosts");
    assert_eq!(names.unwrap()["source"], "/hosts");
}
