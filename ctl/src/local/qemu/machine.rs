//! Decides with which options QEMU runs a node. Pure.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use machine_config::value::MacAddress;

use super::kvm::Accelerator;
use super::tools::{Firmware, Kind};
use crate::local::plan::{Forwarded, Node};

/// The network of the nodes of every cluster, each on its own. It is reserved for measuring networks, so that no cluster hides a
/// network that people reach from here.
pub(super) const NETWORK: &str = "198.19.0.0/24";
/// The ports of a node's API, and of the API server of a control plane.
const PORTS: [u16; 2] = [api::PORT, 6443];
/// The start of hardware addresses that QEMU's guests have.
const VENDOR: [u8; 3] = [0x52, 0x54, 0x00];

/// How large a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Bytes of memory.
    pub memory: u64,
    /// Processors.
    pub processors: u32,
    /// Bytes of the disk.
    pub disk: u64,
}

/// The files of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    pub(super) fn below(folder: PathBuf) -> Self {
        Files { folder }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The disk.
    pub(super) fn disk(&self) -> PathBuf {
        self.folder.join("disk.qcow2")
    }

    /// The variables of the firmware.
    pub(super) fn variables(&self) -> PathBuf {
        self.folder.join("firmware-variables.fd")
    }

    /// What the machine writes on its serial port.
    pub(super) fn console(&self) -> PathBuf {
        self.folder.join("console.log")
    }

    /// The file that QEMU holds a lock on, as long as it runs.
    pub(super) fn pid(&self) -> PathBuf {
        self.folder.join("pid")
    }
}

/// A card of a node, one in each of its networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Card {
    /// The way to the world, and from this host to the node.
    Host = 0,
    /// The network of the cluster.
    Cluster = 1,
}

impl Card {
    /// Returns the hardware address of a node's card.
    pub(super) fn hardware_address(self, node: &Node) -> MacAddress {
        let [a, b, c] = VENDOR;
        MacAddress([a, b, c, 0, self as u8, host_number(node.address)])
    }
}

/// What a machine is made of.
pub(super) struct Wiring<'a> {
    /// The name of the cluster.
    pub cluster: &'a str,
    /// The node.
    pub node: &'a Node,
    /// How large it is.
    pub size: Size,
    /// Its files.
    pub files: &'a Files,
    /// The volumes with its machine config.
    pub seeds: &'a [PathBuf],
    /// Its firmware.
    pub firmware: &'a Firmware,
    /// The ports on loopback that lead to it.
    pub forwarded: Forwarded,
    /// The group of datagrams that the cluster's network is.
    pub group: &'a str,
}

/// Returns the options of the emulator.
pub(super) fn options(kind: &Kind, accelerator: Accelerator, wiring: &Wiring<'_>) -> Vec<String> {
    let (node, size, files) = (wiring.node, wiring.size, wiring.files);
    let mut options = Vec::new();
    let mut add = |option: &str, value: String| options.extend([option.to_owned(), value]);
    // For people who look at a list of processes: nothing is found by it.
    add("-name", format!("bedplate-{}-{}", wiring.cluster, node.name));
    add("-machine", kind.machine.to_owned());
    add("-accel", accelerator.word().to_owned());
    add("-cpu", accelerator.processor().to_owned());
    add("-smp", size.processors.to_string());
    add("-m", format!("{}M", size.memory >> 20));
    let flash = |path: &Path| format!("if=pflash,format=raw,file={}", escaped(path));
    add("-drive", flash(&wiring.firmware.code) + ",readonly=on");
    add("-drive", flash(&files.variables()));
    // Flushes matter only where the host loses its power, which no cluster outlives.
    add(
        "-drive",
        format!(
            "if=none,id=disk,format=qcow2,cache=unsafe,file={}",
            escaped(&files.disk())
        ),
    );
    add("-device", "virtio-blk-pci,drive=disk,bootindex=0".to_owned());
    for (number, seed) in wiring.seeds.iter().enumerate() {
        let file = escaped(seed);
        add(
            "-drive",
            format!("if=none,id=seed{number},format=raw,readonly=on,file={file}"),
        );
        add("-device", format!("virtio-blk-pci,drive=seed{number}"));
    }
    add("-device", "virtio-rng-pci".to_owned());
    // A network for each node alone, so that no two nodes have one address.
    let number = host_number(node.address);
    let outside = Ipv4Addr::new(198, 19, number, 0);
    let forwarded = [wiring.forwarded.api, wiring.forwarded.kubernetes];
    let forward = |(here, there): (u16, u16)| format!(",hostfwd=tcp:127.0.0.1:{here}-:{there}");
    let forwards: String = forwarded.into_iter().zip(PORTS).map(forward).collect();
    add(
        "-netdev",
        format!("user,id=host,ipv6=off,net={outside}/24{forwards}"),
    );
    let (host, port) = wiring.group.split_once(':').unwrap_or((wiring.group, "0"));
    add(
        "-netdev",
        format!(
            "dgram,id=cluster,local.type=inet,local.host=127.0.0.1,local.port=0,remote.type=inet,remote.host={host},remote.port={port}"
        ),
    );
    for (network, card) in [("host", Card::Host), ("cluster", Card::Cluster)] {
        let mac = card.hardware_address(node);
        // Without a ROM, which is in a package of its own and would only start from the network.
        add(
            "-device",
            format!("virtio-net-pci,netdev={network},mac={mac},romfile="),
        );
    }
    add("-serial", format!("file:{}", files.console().display()));
    add("-pidfile", files.pid().display().to_string());
    let plain = [
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-monitor",
        "none",
        "-daemonize",
    ];
    options.extend(plain.map(str::to_owned));
    options
}

/// Returns the number of a host in its network.
fn host_number(address: Ipv4Addr) -> u8 {
    address.octets()[3]
}

/// Writes a path as a value among others, which commas separate.
pub(super) fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::plan;

    #[test]
    fn a_node_has_a_disk_a_config_and_two_networks() {
        let node = plan::nodes(NETWORK, 1, 1).unwrap().remove(1);
        let files = Files::below("/s/a,b/nodes/worker-1".into());
        let firmware = Firmware {
            code: "/f/code.fd".into(),
            variables: "/f/vars.fd".into(),
        };
        let wiring = Wiring {
            cluster: "lab",
            node: &node,
            size: Size {
                memory: 2 << 30,
                processors: 2,
                disk: 10 << 30,
            },
            files: &files,
            seeds: &["/s/seed.img".into()],
            firmware: &firmware,
            forwarded: Forwarded {
                api: 40_001,
                kubernetes: 40_002,
            },
            group: "239.1.2.3:20001",
        };
        let kind = Kind::of_host().unwrap();
        let text = options(&kind, Accelerator::Emulation, &wiring).join(" ");
        for part in [
            "-accel tcg,thread=multi -cpu max -smp 2 -m 2048M ",
            "if=pflash,format=raw,file=/f/code.fd,readonly=on ",
            "file=/s/a,,b/nodes/worker-1/disk.qcow2 ",
            "id=seed0,format=raw,readonly=on,file=/s/seed.img ",
            "net=198.19.11.0/24,hostfwd=tcp:127.0.0.1:40001-:50000,hostfwd=tcp:127.0.0.1:40002-:6443 ",
            "local.host=127.0.0.1,local.port=0,remote.type=inet,remote.host=239.1.2.3,remote.port=20001 ",
            "netdev=host,mac=52:54:00:00:00:0b,romfile= ",
            "netdev=cluster,mac=52:54:00:00:01:0b,romfile= ",
            "-pidfile /s/a,b/nodes/worker-1/pid ",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn no_two_nodes_share_a_network_or_a_card() {
        let nodes = plan::nodes(NETWORK, 1, plan::MOST - 1).unwrap();
        let cards = nodes
            .iter()
            .flat_map(|node| [Card::Host, Card::Cluster].map(|card| card.hardware_address(node).to_string()));
        let mut once: Vec<String> = cards.collect();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), 2 * plan::MOST);
        // Nor does any network of a node's own overlap that of the cluster.
        assert!(nodes.iter().all(|node| host_number(node.address) > 0));
    }
}
