//! The table of scenarios.

mod boots;
mod checks;
mod cluster;
pub mod cluster_ha;
mod cluster_podman;
mod cluster_power;
mod cluster_writer;
mod config_drive;
pub mod containers;
mod copies;
mod faults;
mod follow;
mod grow;
mod hardened;
mod kills;
mod life;
mod lock;
mod ota_pi;
mod platforms;
mod pod;
mod releases;
mod tamper;
mod trial;
mod upgrade;
mod workloads;

use std::time::Duration;

use crate::scenario::{Processors, Scenario};

/// The scenarios that are run unless others are named, the most telling first.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "life",
        shows: "a node is flashed, waits for a config, gets one, runs, restarts as the same node, and is reset",
        limit: minutes(10),
        machines: 1,
        processors: Processors::Several,
        takes: 40,
        run: life::run,
    },
    Scenario {
        name: "pod",
        shows: "a pod is started through containerd's CRI, from the image that came with the system, without a registry; \
                root cannot change the kernel",
        limit: minutes(5),
        machines: 1,
        processors: Processors::Several,
        takes: 27,
        run: pod::run,
    },
    Scenario {
        name: "grow",
        shows: "a disk image on a larger medium grows its DATA to the end at the first boot, and leaves a sound table",
        limit: minutes(5),
        machines: 1,
        processors: Processors::One,
        takes: 17,
        run: grow::run,
    },
    Scenario {
        name: "copies",
        shows: "of two equal disks the node uses the one that was started, and a copy that is plugged in later is reported",
        limit: minutes(12),
        machines: 1,
        processors: Processors::One,
        takes: 132,
        run: copies::run,
    },
    Scenario {
        name: "tamper",
        shows: "one changed bit, a stranger's signature or an empty slot is refused with its reason; the other slot boots",
        limit: minutes(5),
        machines: 1,
        processors: Processors::One,
        takes: 32,
        run: tamper::run,
    },
    Scenario {
        name: "lock",
        shows: "a damaged STATE heals or locks the node: strangers are refused, and its owner repairs it",
        limit: minutes(10),
        machines: 1,
        processors: Processors::One,
        takes: 55,
        run: lock::run,
    },
    Scenario {
        name: "trial",
        shows: "a slot on trial has its tries and no more, is committed when healthy, and then survives any power cut",
        limit: minutes(5),
        machines: 1,
        processors: Processors::One,
        takes: 62,
        run: trial::run,
    },
    Scenario {
        name: "upgrade",
        shows: "a node is upgraded by a fraction of a bundle, taken back, upgraded without a server, and refuses what it must",
        limit: minutes(20),
        machines: 1,
        processors: Processors::Several,
        takes: 134,
        run: upgrade::run,
    },
    Scenario {
        name: "follow",
        shows: "a node that nobody asks follows a signed rollout: it waits, honours a stop, upgrades, refuses older versions",
        limit: minutes(20),
        machines: 1,
        processors: Processors::One,
        takes: 172,
        run: follow::run,
    },
    Scenario {
        name: "kills",
        shows: "the power is cut at random moments of upgrades and first boots, and the node comes back each time",
        limit: minutes(6),
        machines: 2,
        processors: Processors::Several,
        takes: 455,
        run: kills::run,
    },
    Scenario {
        name: "faults",
        shows: "twenty faults of a new release or its machine end as they must: which slot runs, after how long, and why",
        limit: minutes(20),
        machines: 2,
        processors: Processors::Several,
        takes: 492,
        run: faults::run,
    },
    Scenario {
        name: "image",
        shows: "checkers that are not ours accept partition table, file systems, hash tree and signature",
        limit: minutes(5),
        machines: 1,
        processors: Processors::Several,
        takes: 42,
        run: checks::foreign,
    },
    Scenario {
        name: "boot-edk2",
        shows: "an arm64 image with its config on the disk boots under edk2 up to the API",
        limit: minutes(5),
        machines: 1,
        processors: Processors::Several,
        takes: 16,
        run: boots::edk2,
    },
    Scenario {
        name: "boot-amd64",
        shows: "an x86_64 image with its config on the disk boots under edk2 up to the API",
        limit: minutes(5),
        machines: 1,
        processors: Processors::Several,
        takes: 16,
        run: boots::amd64,
    },
    Scenario {
        name: "platforms",
        shows: "nodes take their config and name from a config drive, a NoCloud stick and a metadata service, say what is wrong \
                with it, and keep what they have",
        limit: minutes(20),
        machines: 1,
        processors: Processors::Several,
        takes: 150,
        run: platforms::run,
    },
    Scenario {
        name: "loader-amd64",
        shows: "the x86_64 loader starts under U-Boot, too, verifies a slot and hands over to its kernel",
        limit: minutes(3),
        machines: 1,
        processors: Processors::One,
        takes: 14,
        run: boots::amd64_uboot,
    },
    Scenario {
        name: "boot-rpi3",
        shows: "the Raspberry Pi 3 image boots through its own U-Boot up to the API over a USB network card",
        limit: minutes(16),
        machines: 1,
        processors: Processors::Several,
        takes: 55,
        run: boots::rpi3,
    },
    Scenario {
        name: "reproducible",
        shows: "the same inputs give the same bundle, byte for byte, in another folder and at another time",
        limit: minutes(30),
        machines: 1,
        processors: Processors::Several,
        takes: 5,
        run: checks::reproducible,
    },
];

/// Scenarios that are run only when they are named: they take long, for what others show on other machines.
pub const NAMED: &[Scenario] = &[
    Scenario {
        name: "cluster",
        shows: "a flashed node is bootstrapped, becomes Ready, and runs a pod from its own image that answers by its \
                DNS name, and comes back after an upgrade; a release without a working kubelet falls back",
        limit: minutes(60),
        machines: 1,
        processors: Processors::Several,
        takes: 1200,
        run: cluster::run,
    },
    Scenario {
        name: "cluster-user-data",
        shows: "a control plane and a worker are started from one image of a cloud, with nothing but their user data and \
                what the cloud says of them, and are a cluster",
        limit: minutes(60),
        machines: 2,
        processors: Processors::Several,
        takes: 1000,
        run: cluster::user_data::run,
    },
    Scenario {
        name: "cluster-qemu",
        shows: "a cluster of virtual machines is made by one command, its nodes are Ready, and nothing is left of it",
        limit: minutes(60),
        machines: 2,
        processors: Processors::Several,
        takes: 600,
        run: cluster::local::run,
    },
    Scenario {
        name: "cluster-podman",
        shows: "a cluster of Podman containers is made by one command, its nodes are Ready and say what they are, and nothing \
                is left of it, nor of one that was not made to the end",
        limit: minutes(20),
        machines: 1,
        processors: Processors::Several,
        takes: 90,
        run: cluster_podman::run,
    },
    Scenario {
        name: "cluster-ha",
        shows: "three control planes and a worker join in any order behind a virtual address, outlive the loss of each \
                control plane, rotate their authorities, replace one, recover from a snapshot, and refuse whoever is not \
                what it says",
        limit: minutes(60),
        machines: 1,
        processors: Processors::Several,
        takes: 560,
        run: cluster_ha::run,
    },
    Scenario {
        name: "cluster-writer",
        shows: "nothing that etcd acknowledged is lost while members are killed, cut off and paused at random",
        limit: minutes(60),
        machines: 1,
        processors: Processors::Several,
        takes: 255,
        run: cluster_writer::run,
    },
    Scenario {
        name: "cluster-power",
        shows: "the power of nodes is cut at random moments of bootstrap, join, snapshot and rotation, and the \
                cluster goes on by itself",
        limit: minutes(60),
        machines: 1,
        processors: Processors::Several,
        takes: 420,
        run: cluster_power::run,
    },
    Scenario {
        name: "workloads",
        shows: "a node runs containers from its bundle, from a real registry and from an archive; crashes, sick images, too \
                little memory, a full DATA, a registry that is gone and a power cut while pulling are dealt with, and a published \
                port answers",
        limit: minutes(25),
        machines: 1,
        processors: Processors::Several,
        takes: 300,
        run: workloads::run,
    },
    Scenario {
        name: "ota-rpi3",
        shows: "the Raspberry Pi 3 image is upgraded on its SD card, started on trial by the loader, and committed",
        limit: minutes(10),
        machines: 1,
        processors: Processors::Several,
        takes: 300,
        run: ota_pi::run,
    },
];

/// Says why a scenario cannot run on this machine; none if it can. Those of clusters need programs that are not ours.
pub fn missing(name: &str) -> Option<String> {
    match name {
        "cluster" | "cluster-user-data" | "cluster-qemu" => crate::kubernetes_programs::missing(),
        "cluster-podman" => containers::missing(),
        "cluster-ha" => containers::missing().or_else(|| containers::missing_tool(cluster_ha::TOOLS)),
        "cluster-writer" => containers::missing().or_else(|| containers::missing_tool(cluster_writer::TOOLS)),
        "cluster-power" => containers::missing().or_else(|| containers::missing_tool(cluster_power::TOOLS)),
        "workloads" => containers::missing_tool(workloads::TOOLS),
        _ => None,
    }
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}
