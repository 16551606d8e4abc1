//! Nodes that are given nothing but user data, as clouds give it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::emulator::Emulator;
use crate::machine::Machine;
use crate::metadata;
use crate::scenario::Stage;
use crate::scenarios::config_drive::ConfigDrive;
use crate::tools::Tool;

const CLOUD: &str = "openstack-amd64";
const GENERIC: &str = "generic-amd64";
const UP: Duration = Duration::from_secs(420);
const SOON: Duration = Duration::from_secs(180);
/// A machine whose firmware says that it is an instance of OpenStack, with a second card in the network of its metadata service.
///
/// Each line is one argument: there are spaces in them.
const OPENSTACK: &str = "-smbios\ntype=1,manufacturer=OpenStack Foundation,product=OpenStack Nova";
const METADATA_NETWORK: &str =
    "net=169.254.169.0/24,host=169.254.169.1,dns=169.254.169.3,dhcpstart=169.254.169.15";
const SERVICE: &str = "169.254.169.254:80";

/// Boots a node from each kind of user data.
pub fn run(stage: &Stage) -> Result<()> {
    config_drive(stage)?;
    nocloud(stage)?;
    metadata_service(stage)
}

/// A config drive as Nova makes it.
fn config_drive(stage: &Stage) -> Result<()> {
    let meta_data = r#"{"hostname": "cp1.novalocal", "public_keys": {"me": "ssh-ed25519 AAAA"}}"#;
    let drive = ConfigDrive::make(
        &stage.folder.join("config-drive"),
        &stage.workshop.cluster()?.machine,
        &[("meta_data.json", meta_data)],
    )?;

    let disk = stage.disk(CLOUD, false)?;
    let machine = stage.start_with(Machine::Amd64Ovmf, &disk, "config-drive", &[&drive.options()])?;
    let status = running_as(stage, &machine, "cp1")?;
    stage.shown(&format!(
        "takes its config and name from a config drive, {} ms after power-on",
        status["uptimeMs"]
    ));
    let events = stage.node(&machine)?.command(&["events"]).run()?;
    ensure!(
        events.contains("SSH keys"),
        "the node says nothing about SSH keys: {events}"
    );
    machine.cut_power();

    let machine = stage.start(Machine::Amd64Ovmf, &disk, "without-drive")?;
    running_as(stage, &machine, "cp1")?;
    stage.shown("is the same node without the drive");
    machine.cut_power();
    Ok(())
}

/// A stick with FAT that is plugged into a node that waits.
fn nocloud(stage: &Stage) -> Result<()> {
    let volume = stage.folder.join("nocloud.img");
    fs::File::create(&volume)?.set_len(8 << 20)?;
    Tool::new("/usr/sbin/mkfs.vfat")
        .args(["-n", "CIDATA"])
        .arg(&volume)
        .run()?;
    let meta_data = stage.folder.join("meta-data");
    write(&meta_data, b"instance-id: iid-1\nlocal-hostname: node7\n")?;
    for (file, name) in [
        (stage.workshop.cluster()?.machine, "::user-data"),
        (meta_data, "::meta-data"),
    ] {
        Tool::new("mcopy")
            .arg("-i")
            .arg(&volume)
            .arg(&file)
            .arg(name)
            .run()?;
    }

    let disk = stage.disk(GENERIC, false)?;
    let drive = format!("-drive if=none,id=seed,format=raw,file={}", volume.display());
    let devices = ["-device qemu-xhci", drive.as_str()];
    let machine = stage.start_with(Machine::Amd64Ovmf, &disk, "nocloud", &devices)?;
    let nobody = stage.anybody(&machine);
    nobody.phase("maintenance", UP)?;
    let status = nobody.ask(&["status"])?;
    ensure!(
        !status.to_string().contains("cidata"),
        "a volume that is not there is reported: {status}"
    );
    machine.plug_disk("seed")?;
    running_as(stage, &machine, "node7")?;
    stage.shown("takes its config and name from a NoCloud stick that is plugged in while it waits");
    machine.cut_power();
    Ok(())
}

/// A metadata service at its well-known address, which first gives what no node can use.
fn metadata_service(stage: &Stage) -> Result<()> {
    let files = stage.folder.join("metadata");
    let user_data = files.join("openstack/latest/user_data");
    let good = fs::read_to_string(stage.workshop.cluster()?.machine)?;
    write(&user_data, b"#cloud-config\nhostname: other\n")?;
    write(
        &files.join("openstack/latest/meta_data.json"),
        br#"{"hostname": "worker-3.novalocal"}"#,
    )?;
    let answer = metadata::command(&files)?;
    let card = format!("-netdev\nuser,id=metadata,{METADATA_NETWORK},guestfwd=tcp:{SERVICE}-cmd:{answer}");
    let devices = [OPENSTACK, card.as_str(), "-device virtio-net-pci,netdev=metadata"];

    let disk = stage.disk(GENERIC, false)?;
    let mut machine = stage.start_with(Machine::Amd64Ovmf, &disk, "metadata", &devices)?;
    let nobody = stage.anybody(&machine);
    nobody.phase("maintenance", UP)?;
    machine.loader_says(&["cloud-config"], SOON)?;
    stage.shown("user data for another system is refused, and the console says why");

    let (at, line) = good
        .lines()
        .enumerate()
        .find(|(_, line)| line.contains("role:"))
        .context("a config has a role")?;
    write(
        &user_data,
        good.replace(line, &line.replace("role:", "rolle:")).as_bytes(),
    )?;
    let place = format!("line {}", at + 1);
    let said = machine.loader_says(&["machine.rolle"], SOON)?;
    ensure!(said.contains(&place), "the console does not name {place}: {said}");
    stage.shown("a fault of the config is on the console, with its line and path");

    write(&user_data, good.as_bytes())?;
    running_as(stage, &machine, "worker-3")?;
    stage.shown("takes its config and name from the metadata service, as soon as there is a good one");
    write(&user_data, b"kind: Nonsense\n")?;
    machine.cut_power();

    let machine = stage.start_with(Machine::Amd64Ovmf, &disk, "metadata-again", &devices)?;
    running_as(stage, &machine, "worker-3")?;
    stage.shown("what the service says later changes nothing");
    machine.cut_power();
    Ok(())
}

/// Waits until a node runs, and has a name.
fn running_as(stage: &Stage, machine: &Emulator, name: &str) -> Result<serde_json::Value> {
    let node = stage.node(machine)?;
    let is = |status: &serde_json::Value| status["phase"] == "running" && status["hostname"] == name;
    node.until(&["status"], UP, is)
}

fn write(path: &PathBuf, bytes: &[u8]) -> Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
    // Whoever reads meanwhile sees the old one or the new one.
    let new = path.with_extension("new");
    fs::write(&new, bytes)?;
    fs::rename(&new, path).with_context(|| format!("cannot write {}", path.display()))
}
