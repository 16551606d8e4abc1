//! The controllers of a node: those that need no disk, and those that do.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use balancer::Balancer;
use clock::{HostTime, Restored, Sntp, TimeSync};
use discovery::Discovery;
use dns::ClusterDns;
use etcd::EtcdHandle;
use firmware::{FirmwareHandle, FirmwareWatch};
use health::{ApiCheck, NodeHealth};
use kubernetes_client::Clients;
use kubernetes_node::{Cordons, Drain, KubernetesNode};
use manifests::ClusterManifests;
use network;
use network::{NetlinkError, NetworkFiles};
use node::boot::sysctls;
use node::children::Children;
use node::packet_filter::Nft;
use node::{Node, modules};
use pki::{NodeClock, ServerTls};
use pod_network::{ClusterNodes, Files, Mesh, PodNetwork, WireGuard};
use server::certificate::CertificateController;
use services::containerd;
use services::containerd::OfflineImages;
use state::Runtime;
use state::kinds::{ContainerMode, NODE, Volume};
use storage::controller::Means as StorageMeans;
use storage::{MountedVolumes, OwnDisk, Storage, WatchRoom};
use sys::announce::LinuxAnnouncer;
use sys::block::LinuxResize;
use sys::clock::LinuxClock;
use sys::modules::LinuxModules;
use sys::mount::LinuxMounts;
use trust::join::{Folder, JoinController};
use upgrades::hooks::NodeIsHealthy;
use upgrades::trial::{Places, Slots};
use upgrades::{RolloutFollower, UpgradeContext, UpgradeController, UpgradeHandle};
use virtual_ip::VirtualIp;
use workloads::{LinuxBridge, WorkloadNetwork, Workloads};

use super::draining::DrainBeforeReboot;
use super::kernel::KernelSettings;
use super::quorum::KeepsQuorum;
use super::watchdog::WatchdogFeeder;

/// Container images that came with the system.
const IMAGES: &str = "/usr/share/bedplate/images";

/// Which list of manifests was last in agreement with the cluster's, on STATE.
const MANIFESTS: &str = "manifests";
/// That the node was Ready in its cluster, on STATE.
const WAS_READY: &str = "was-ready.json";
/// What the node knows of its cluster, on STATE.
const CLUSTER: &str = "cluster-nodes.json";
/// Which images workloads were healthy with, on STATE.
const WORKLOADS: &str = "workloads.json";
/// The node's private key in the mesh between nodes, on STATE.
const MESH_KEY: &str = "mesh.key";
/// What a worker has got from control planes, on STATE.
const JOINED: &str = "joined";
/// The program that puts rules of the packet filter in force, and the files with ours.
const NFT: &str = "/usr/sbin/nft";
const POD_RULES: &str = "/run/bedplate/pod-network.nft";
const WORKLOAD_RULES: &str = "/run/bedplate/workloads.nft";

/// What the controllers that need the disk start from.
pub(super) struct Pieces {
    /// What the clock was lifted to.
    pub restored: Restored,
    /// The certificate in service.
    pub tls: Arc<ServerTls>,
    /// What the node knows of the time.
    pub clock: Arc<NodeClock>,
    /// Where the API listens, seen from the node itself.
    pub api: SocketAddr,
    /// What starts programs.
    pub children: Children,
    /// What upgrades the node; none when it has no slots.
    pub upgrades: Option<UpgradeHandle>,
    /// What keeps the EFI system partition; none when it has none of its own.
    pub firmware: Option<FirmwareHandle>,
    /// The etcd of a control plane.
    pub etcd: EtcdHandle,
    /// The switch by which a drain keeps the node cordoned.
    pub cordons: Cordons,
}

/// Makes the controllers that run from the start. The watchdog may have a number in this process already.
pub(super) fn base(node: &Node, children: &Children, watchdog: Option<i32>) -> Runtime {
    let means = StorageMeans {
        devices: node.devices.clone(),
        mounter: Box::new(LinuxMounts),
        kernel: Box::new(LinuxResize),
        tools: Box::new(children.clone()),
        config_in: config::config_in,
        root: "/".into(),
    };
    let mut runtime = Runtime::new(node.store.clone());
    runtime
        .add(Storage::new(means))
        .add(OwnDisk::new(
            node.devices.clone(),
            Path::new(Volume::State.target()),
            node.events.clone(),
        ))
        .add(WatchdogFeeder::new(watchdog));
    // Here and not below: a system on trial that cannot open its own disk must be abandoned, too.
    runtime.add(NodeHealth::new(Box::new(LinuxClock), node.events.clone()));
    let devices = node.devices.clone();
    let places = move |guid: &str| Places::find(&devices, guid);
    runtime.add(Slots::new(
        places,
        Box::new(LinuxClock),
        node.events.clone(),
        node.power.clone(),
    ));
    runtime
}

/// Makes the controllers that run from the start in a container: it has neither a disk nor a watchdog of its own.
pub(super) fn base_of_container(node: &Node) -> Runtime {
    let mut runtime = Runtime::new(node.store.clone());
    runtime
        .add(MountedVolumes::new(Arc::new(LinuxMounts), "/".into()))
        .add(NodeHealth::new(Box::new(LinuxClock), node.events.clone()));
    runtime
}

/// Makes the controllers that run once STATE is there. Must be called inside the async runtime.
pub(super) fn main(node: &Node, pieces: Pieces) -> Result<Runtime, NetlinkError> {
    let Pieces {
        restored,
        tls,
        clock,
        api,
        children,
        upgrades,
        firmware,
        etcd,
        cordons,
    } = pieces;
    let system = Arc::new(LinuxClock);
    let mut runtime = Runtime::new(node.store.clone());
    network::add_controllers(&mut runtime, NetworkFiles::default())?;
    cluster::add_controllers(&mut runtime, node.release.kubernetes.as_ref(), clock.clone());
    let clients = Clients::new(node.store.clone());
    let state = Path::new(Volume::State.target());
    runtime
        .add(ClusterNodes::new(clients.clone(), state.join(CLUSTER)))
        .add(ClusterManifests::new(clients, "/".into(), state.join(MANIFESTS)))
        .add(KubernetesNode::new(
            node.store.clone(),
            state.join(WAS_READY),
            cordons,
        ))
        .add(Balancer::default())
        .add(ClusterDns)
        .add(Discovery::default())
        .add(Mesh::new(state.join(MESH_KEY), WireGuard))
        .add(VirtualIp::new(Box::new(LinuxAnnouncer), node.power.clone()))
        .add(PodNetwork::new(
            Files::default(),
            Nft::new(children.clone(), NFT.into(), POD_RULES.into()),
        ));
    match node.store.get::<ContainerMode>(NODE) {
        Some(_) => runtime.add(HostTime),
        None => runtime.add(TimeSync::new(
            Sntp::new(system.clone()),
            system,
            clock::SAVED.into(),
            restored,
        )),
    };
    runtime
        .add(JoinController::new(
            Folder::new(state.join(JOINED)),
            clock.clone(),
            Box::new(LinuxClock),
            node.events.clone(),
        ))
        .add(CertificateController::new(
            tls,
            clock,
            restored,
            Box::new(LinuxClock),
        ))
        .add(ApiCheck::new(api, Box::new(LinuxClock)))
        .add(KernelSettings {
            root: "/".into(),
            sysctls: sysctls::ROOT.into(),
            modules: modules::folder(),
            loader: Box::new(LinuxModules),
        })
        .add(OfflineImages::new(
            Path::new(IMAGES),
            Path::new(containerd::SOCKET),
            node.events.clone(),
        ))
        .add(WorkloadNetwork::new(
            LinuxBridge,
            Nft::new(children, NFT.into(), WORKLOAD_RULES.into()),
            workloads::runner::Places::default().hosts,
        ))
        .add(Workloads::new(
            workloads::runner::Places::default(),
            IMAGES.into(),
            state.join(WORKLOADS),
            node.events.clone(),
            node.logs.clone(),
        ))
        .add(WatchRoom::new(node.events.clone()))
        .add(etcd.controller())
        .add(etcd.disk_controller())
        .add(etcd.snapshots_controller(etcd::SETTLING));
    if let Some(upgrades) = upgrades {
        runtime
            .add(UpgradeController::new(upgrades.clone()))
            .add(RolloutFollower::new(upgrades));
    }
    if let Some(firmware) = firmware {
        runtime.add(FirmwareWatch::new(
            firmware,
            Box::new(LinuxClock),
            node.power.clone(),
        ));
    }
    Ok(runtime)
}

/// Makes what upgrades the node.
pub(super) fn upgrades(node: &Node, places: Places, state: &Path, cordons: Cordons) -> UpgradeHandle {
    let drain = Drain::new(node.store.clone(), node.events.clone(), cordons);
    UpgradeHandle::new(UpgradeContext {
        store: node.store.clone(),
        events: node.events.clone(),
        power: node.power.clone(),
        clock: Arc::new(LinuxClock),
        places,
        state: state.to_owned(),
        survives: vec![
            Arc::new(NodeIsHealthy::new(node.store.clone())),
            Arc::new(KeepsQuorum::new(node.store.clone())),
        ],
        before: vec![Arc::new(DrainBeforeReboot(drain))],
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, SystemTime};

    use clock::Bounds;
    use machine_config::MachineConfig;
    use release_file::Release;
    use state::kinds::{
        BootStatus, ConfigStatus, ContainerStoreStatus, DiskStatus, OwnerStatus, ServiceStatus, TimeFrom,
        TimeStatus, UpgradeStatus, VolumeStatus, WatchdogStatus,
    };
    use state::{ControllerStatus, Resource};

    use super::*;

    /// Kinds that are written, but by no controller.
    const OTHERS: [&str; 9] = [
        BootStatus::KIND,
        ConfigStatus::KIND,
        ContainerMode::KIND,
        ContainerStoreStatus::KIND,
        ControllerStatus::KIND,
        MachineConfig::KIND,
        OwnerStatus::KIND,
        ServiceStatus::KIND,
        UpgradeStatus::KIND,
    ];

    fn all() -> [Runtime; 2] {
        let node = Node::new(Release::default());
        let places = Places {
            bootstate: "/nowhere/bootstate".into(),
            slots: ["/nowhere/a".into(), "/nowhere/b".into()],
        };
        let upgrades = upgrades(&node, places, Path::new("/nowhere"), Cordons::default());
        [
            base(&node, &Children::new(), None),
            main(
                &node,
                Pieces {
                    firmware: Some(FirmwareHandle::new(&node, nowhere(), None)),
                    ..pieces(&node, Some(upgrades))
                },
            )
            .unwrap(),
        ]
    }

    fn nowhere() -> firmware::Places {
        firmware::Places {
            esp: "/nowhere/esp".into(),
            bootstate: "/nowhere/bootstate".into(),
            release: "/nowhere/firmware".into(),
            memory: "/nowhere/firmware.json".into(),
        }
    }

    fn pieces(node: &Node, upgrades: Option<UpgradeHandle>) -> Pieces {
        Pieces {
            restored: Restored {
                source: TimeFrom::None,
                bounds: Bounds::of_image(SystemTime::UNIX_EPOCH),
                passed: SystemTime::UNIX_EPOCH,
                at: Duration::ZERO,
            },
            tls: Arc::new(ServerTls::new()),
            clock: Arc::new(NodeClock::new()),
            api: ([127, 0, 0, 1], 1).into(),
            children: Children::new(),
            upgrades,
            firmware: None,
            etcd: EtcdHandle::new(
                node,
                etcd::Places::below(Path::new("/nowhere")),
                etcd::Ports::default(),
                etcd::Restorer::new(Children::new(), etcd::TOOL),
            ),
            cordons: Cordons::default(),
        }
    }

    #[tokio::test]
    async fn each_kind_has_one_owner() {
        one_owner_each(&all());
    }

    #[tokio::test]
    async fn each_kind_has_one_owner_in_a_container() {
        let node = Node::new(Release::default());
        node.store.put("boot", NODE, ContainerMode::default()).unwrap();
        let runtimes = [
            base_of_container(&node),
            main(&node, pieces(&node, None)).unwrap(),
        ];
        one_owner_each(&runtimes);
        let written: Vec<&str> = runtimes
            .iter()
            .flat_map(Runtime::outputs)
            .map(|(kind, _)| kind)
            .collect();
        for needed in [VolumeStatus::KIND, TimeStatus::KIND] {
            assert!(written.contains(&needed), "{needed}");
        }
        for left_to_the_host in [WatchdogStatus::KIND, DiskStatus::KIND] {
            assert!(!written.contains(&left_to_the_host), "{left_to_the_host}");
        }
    }

    fn one_owner_each(runtimes: &[Runtime]) {
        let mut owners = BTreeMap::new();
        for (kind, owner) in runtimes.iter().flat_map(Runtime::outputs) {
            assert_eq!(
                owners.insert(kind, owner),
                None,
                "{kind} has a second owner: {owner}"
            );
        }
    }

    #[tokio::test]
    async fn a_shared_kind_is_nobodys_alone() {
        let runtimes = all();
        let shared: Vec<_> = runtimes.iter().flat_map(Runtime::shared_outputs).collect();
        for (kind, owner) in runtimes.iter().flat_map(Runtime::outputs) {
            let others: Vec<_> = shared.iter().filter(|(other, _)| *other == kind).collect();
            assert!(
                others.is_empty(),
                "{owner} owns {kind}, and {others:?} write it too"
            );
        }
    }

    #[tokio::test]
    async fn what_is_read_is_written_by_somebody() {
        let runtimes = all();
        let written: Vec<&str> = runtimes
            .iter()
            .flat_map(|runtime| runtime.outputs().chain(runtime.shared_outputs()))
            .map(|(kind, _)| kind)
            .collect();
        for (kind, reader) in runtimes.iter().flat_map(Runtime::inputs) {
            assert!(
                written.contains(&kind) || OTHERS.contains(&kind),
                "{reader} waits for {kind} forever"
            );
        }
    }
}
