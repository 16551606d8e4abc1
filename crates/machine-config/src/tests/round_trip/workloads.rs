//! Any workloads.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::Secret;
use crate::v1alpha1::*;
use crate::value::{ByteSize, Period};

prop_compose! {
    fn workload()(
        name in "[a-z]{1,9}",
        source in 0..3,
        word in "[ -~]{0,12}",
        tag in "[0-9]{1,3}",
        seconds in 10_u32..3600,
        memory in 4_u64 << 20..1 << 40,
        milli in 1_u32..9000,
        flag: bool,
        signal in proptest::sample::select(StopSignal::ALL.to_vec()),
        restart in proptest::sample::select(RestartPolicy::ALL.to_vec()),
    ) -> Workload {
        let image = |wanted: i32| (source == wanted).then(|| format!("r.example.org/{name}:{tag}").parse().unwrap());
        let port = PublishedPort {
            container: 80,
            host: flag.then_some(8080),
            protocol: if source == 0 { PortProtocol::Udp } else { PortProtocol::Tcp },
            address: (source == 1).then_some(std::net::Ipv4Addr::LOCALHOST),
        };
        let network = match source {
            2 => WorkloadNetwork { mode: if flag { NetworkMode::Host } else { NetworkMode::None }, ports: Vec::new() },
            _ => WorkloadNetwork { mode: NetworkMode::Bridge, ports: vec![port] },
        };
        let asks = flag && network.mode != NetworkMode::None;
        Workload {
            image: WorkloadImage {
                reference: image(0),
                bundled: image(1),
                file: (source == 2).then(|| format!("/var/{name}/1e5").parse().unwrap()),
            },
            command: vec![word.clone(), "true".into(), tag.clone()],
            args: Vec::new(),
            working_dir: flag.then(|| "/null".parse().unwrap()),
            environment: BTreeMap::from([("TAG".parse().unwrap(), tag.clone()), ("WORD".parse().unwrap(), word.clone())]),
            secrets: vec![WorkloadSecret {
                name: "no".parse().unwrap(),
                value: Secret::new(format!("{word}!")),
                variable: flag.then(|| "SECRET".parse().unwrap()),
            }],
            mounts: vec![WorkloadMount { volume: tag.parse().unwrap(), target: "/a b".parse().unwrap(), read_only: flag }],
            tmpfs: vec![Tmpfs { target: "/tmp".parse().unwrap(), size: ByteSize::of(memory) }],
            devices: vec![WorkloadDevice {
                path: flag.then(|| "/dev/null".parse().unwrap()),
                usb: (!flag).then(|| "1234:5678".parse().unwrap()),
                target: None,
                read_only: !flag,
            }],
            network,
            resources: WorkloadResources {
                memory: Some(ByteSize::of(memory)),
                cpu: Some(format!("{milli}m").parse().unwrap()),
                pids: if flag { 1024 } else { 1 },
            },
            user: Some(format!("{milli}:{seconds}").parse().unwrap()),
            capabilities: vec!["CHOWN".into()],
            seccomp: if flag { Seccomp::Default } else { Seccomp::Unconfined },
            read_only_root_filesystem: flag,
            restart_policy: restart.1,
            health_check: Some(WorkloadHealth {
                command: if asks { Vec::new() } else { vec![word, tag] },
                http: None,
                tcp: asks.then_some(8080),
                interval: Period::seconds(seconds),
                timeout: Period::seconds(seconds),
                retries: 3,
            }),
            stop_signal: Some(signal.1),
            stop_grace_period: Period::seconds(seconds),
            depends_on: Vec::new(),
            logs: WorkloadLogs { max_size: ByteSize::of((256 << 10) + memory % (1 << 20)), max_files: seconds % 20 + 1 },
            trial_period: Period::seconds(seconds),
            name: name.parse().unwrap(),
        }
    }
}

pub(super) fn workloads() -> impl Strategy<Value = Vec<Workload>> {
    proptest::collection::vec(workload(), 0..3).prop_map(|mut list| {
        list.sort_by(|one, other| one.name.cmp(&other.name));
        list.dedup_by(|one, other| one.name == other.name);
        let mut published = Vec::new();
        for one in &mut list {
            one.network.ports.retain(|port| {
                let free = !published.iter().any(|other: &PublishedPort| other.collides(port));
                published.push(port.clone());
                free
            });
        }
        // Each waits for the one before it.
        for at in 1..list.len() {
            list[at].depends_on = vec![list[at - 1].name.clone()];
        }
        list
    })
}
