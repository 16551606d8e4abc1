//! Answers for the API: what the traits of the crate `backend` ask, out of the node's handles and resources.

mod logs;
mod machine;
mod peers;
mod power;

use std::path::Path;
use std::sync::Arc;

use backend::{Backend, Firmware, Services, Upgrades, WithoutFirmware, WithoutSlots};
use config::ConfigHandle;
use etcd::EtcdHandle;
use firmware::FirmwareHandle;
use node::Node;
use services::ServicesHandle;
use services::containerd::{NodeContainers, SOCKET};
use trust::person::Persons;
use upgrades::UpgradeHandle;
use workloads::runner::Places;
use workloads::{ImagesHandle, WorkloadsHandle};

/// Where archives of images are until they are imported, on DATA.
const INCOMING: &str = "/var/lib/workloads/incoming";

/// Puts the answers together. Without slots there is nothing to upgrade.
pub(super) fn backend(
    node: &Node,
    configs: ConfigHandle,
    upgrades: Option<UpgradeHandle>,
    firmware: Option<FirmwareHandle>,
    etcd: EtcdHandle,
    persons: Persons,
    cgroups: &Path,
) -> Backend {
    let upgrades: Arc<dyn Upgrades> = match upgrades {
        Some(handle) => Arc::new(handle),
        None => Arc::new(WithoutSlots::default()),
    };
    let firmware: Arc<dyn Firmware> = match firmware {
        Some(handle) => Arc::new(handle),
        None => Arc::new(WithoutFirmware),
    };
    let services: Arc<dyn Services> = Arc::new(ServicesHandle::new(node));
    let workloads = WorkloadsHandle::new(node.store.clone(), services.clone(), cgroups.to_owned());
    workloads::sweep_incoming(Path::new(INCOMING));
    let images = ImagesHandle::new(
        node.store.clone(),
        node.events.clone(),
        Places::default().socket,
        INCOMING.into(),
    );
    Backend {
        machine: Arc::new(machine::NodeMachine::new(node)),
        services,
        logs: Arc::new(logs::NodeLogs::new(node)),
        configs: Arc::new(configs),
        power: Arc::new(power::NodePower::new(node, etcd.clone())),
        upgrades,
        etcd: Arc::new(etcd),
        kubernetes: Arc::new(persons),
        peers: Arc::new(peers::NodePeers::new(node)),
        workloads: Arc::new(workloads),
        images: Arc::new(images),
        containers: Arc::new(NodeContainers::new(SOCKET)),
        firmware,
    }
}
