//! A cluster of a cloud: two instances of one image, which differ in nothing but their user data and what the cloud says of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::image::Image;
use super::kubectl::Kubectl;
use super::{READY, UP, answers, bootstrap, workload};
use crate::disk::Disk;
use crate::emulator::Emulator;
use crate::kubernetes_programs as programs;
use crate::machine::Machine;
use crate::scenario::Stage;
use crate::scenarios::config_drive::ConfigDrive;
use crate::tools::Tool;

const CLOUD: &str = "openstack-amd64";
/// The disk of a flavor.
const DISK_SIZE: u64 = 6 << 30;
/// The network of the instances; each also has one of its own, by which the test reaches it.
const SUBNET: &str = "192.168.77.0/24";
const ENDPOINT: &str = "https://192.168.77.10:6443";
/// The emulator's own network, in which all instances have one hardware address.
const OUTSIDE: &str = "52:54:00:12:34:56";
/// Until a worker has its certificates and is Ready, after it is up.
const JOINED: Duration = Duration::from_secs(420);

/// An instance as `openstack server create` describes it.
struct Instance {
    name: &'static str,
    user_data: &'static str,
    address: &'static str,
    hardware_address: &'static str,
    memory: u32,
}

const CONTROL_PLANE: Instance = Instance {
    name: "cp1",
    user_data: "controlplane.yaml",
    address: "192.168.77.10",
    hardware_address: "52:54:00:77:00:0a",
    memory: 2560,
};
const WORKER: Instance = Instance {
    name: "worker1",
    user_data: "worker.yaml",
    address: "192.168.77.11",
    hardware_address: "52:54:00:77:00:0b",
    memory: 1536,
};

impl Instance {
    /// Starts it from the image, with a config drive.
    fn create(&self, stage: &Stage, image: &Disk, configs: &Path) -> Result<Emulator> {
        let disk = image.copy_to(&stage.folder.join(format!("{}.img", self.name)))?;
        fs::OpenOptions::new()
            .write(true)
            .open(disk.path())?
            .set_len(DISK_SIZE)?;
        let meta_data = json!({"hostname": format!("{}.novalocal", self.name)});
        let network_data = json!({
            "links": [
                {"id": "outside", "type": "phy", "ethernet_mac_address": OUTSIDE},
                {"id": "inside", "type": "ovs", "ethernet_mac_address": self.hardware_address},
            ],
            "networks": [
                {"id": "network0", "link": "outside", "type": "ipv4_dhcp"},
                {"id": "network1", "link": "inside", "type": "ipv4", "ip_address": self.address, "netmask": "255.255.255.0"},
            ],
        });
        let drive = ConfigDrive::make(
            &stage.folder.join(format!("{}-drive", self.name)),
            &configs.join(self.user_data),
            &[
                ("meta_data.json", &meta_data.to_string()),
                ("network_data.json", &network_data.to_string()),
            ],
        )?;
        let size = format!("-cpu max -m {}", self.memory);
        let card = format!(
            "{} -device virtio-net-pci,netdev=inside,mac={}",
            network(),
            self.hardware_address
        );
        stage.start_with(
            Machine::Amd64Ovmf,
            &disk,
            self.name,
            &[&size, &drive.options(), &card],
        )
    }
}

/// Makes a cluster of a control plane and a worker, and runs a server and a client on it.
pub fn run(stage: &Stage) -> Result<()> {
    let configs = configs(stage)?;
    let image = Image::of_board(stage, CLOUD)?.build_disk(stage, "0.1.0")?;
    let control_plane = CONTROL_PLANE.create(stage, &image, &configs)?;
    let client = configs.join("client.yaml");
    let node = stage.node_of(&control_plane, client.clone());
    node.phase("running", UP)?;
    bootstrap(stage, &node)?;

    let kubeconfig = stage.folder.join("kubeconfig");
    node.command(&["kubeconfig"]).arg(&kubeconfig).run()?;
    let program = programs::unpack(&stage.folder)?.join("kubectl");
    let kubectl = Kubectl::new(program, kubeconfig, &control_plane);
    kubectl.ready(CONTROL_PLANE.name, READY)?;
    stage.shown("the control plane has its config, name and address from its config drive, and is Ready");
    let worker = WORKER.create(stage, &image, &configs)?;
    kubectl.ready(WORKER.name, UP + JOINED)?;
    stage.node_of(&worker, client).phase("running", UP)?;
    stage.shown("the worker, of the same image, has joined by its user data alone, and is Ready");

    workload(stage, &kubectl)?;
    answers(stage, &kubectl)?;
    let placed = ["get", "pods", "--output", "jsonpath={.items[*].spec.nodeName}"];
    kubectl.until(&placed, UP, |names| {
        names.split(' ').all(|name| name == WORKER.name)
    })?;
    stage.shown("its pods run on the worker, and answer by the API server of the control plane");
    Ok(())
}

/// Generates the two documents of user data, as people type it.
fn configs(stage: &Stage) -> Result<PathBuf> {
    let folder = stage.folder.join("config");
    let secrets = folder.join("secrets.yaml");
    fs::create_dir_all(&folder)?;
    Tool::ours("bedplate")
        .args(["gen", "secrets", "--file"])
        .arg(&secrets)
        .run()?;
    let generate = Tool::ours("bedplate").args(["gen", "config", "openstack", ENDPOINT, "--force"]);
    // Each instance has two networks here, and only one of them leads to the other instance.
    generate
        .args(["--config-patch", &format!("cluster: {{subnets: [{SUBNET}]}}")])
        .args(["--cert-san", "127.0.0.1", "--with-secrets"])
        .arg(&secrets)
        .arg("--folder")
        .arg(&folder)
        .run()?;
    Ok(folder)
}

/// Returns the network between the instances: a group of datagrams on loopback that no other process has.
fn network() -> String {
    let number = std::process::id();
    let [_, _, a, b] = number.to_be_bytes();
    let port = 20_000 + number % 8192;
    format!(
        "-netdev dgram,id=inside,local.type=inet,local.host=127.0.0.1,local.port=0,\
         remote.type=inet,remote.host=239.77.{a}.{b},remote.port={port}"
    )
}
