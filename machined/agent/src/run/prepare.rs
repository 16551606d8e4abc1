//! What PID 1 does before there is an async runtime: mounts, `/etc`, kernel parameters, and what is known of the boot.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use node::Node;
use node::boot::{Cmdline, Handover, Stamps, cmdline, container, etc, lockdown, mounts, sysctls};
use node::disk::Devices;
use node::logs::{own, uptime_ms};
use node::modules::helper;
use release_file::Release;
use state::{Store, chain};
use sys::mount::{LinuxMounts, Mount, MountFlags, Mounter};

use super::container::Container;

/// What the rest starts from.
pub(super) struct Prepared {
    /// The shared handles.
    pub node: Node,
    /// What the loader told.
    pub cmdline: Cmdline,
    /// The kernel's whole command line.
    pub line: String,
    /// The number of a watchdog that runs already.
    pub watchdog: Option<i32>,
    /// What there is in place of devices, when the node is a container.
    pub container: Option<Container>,
}

/// Says what PID 1 cannot do without.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    System(#[from] sys::Error),
    #[error(transparent)]
    Release(#[from] release_file::Error),
    #[error("the container has too few rights, start it with --privileged")]
    Privileges(#[source] sys::Error),
    #[error("cannot fill /etc from the image")]
    Etc(#[source] io::Error),
}

/// Prepares the machine, or the container that was started with these arguments. What is missing and not needed is only
/// told.
pub(super) fn prepare(arguments: &[String]) -> Result<Prepared, Error> {
    let release = release_file::load(Path::new(release_file::PATH))?;
    if let Some(engine) = container::engine() {
        return super::container::prepare(engine, release, arguments);
    }
    let mut remarks = mount_everything()?;
    fill_etc(&release)?;
    remarks.extend(set_parameters());
    remarks.extend(lockdown::read(Path::new("/")).gaps());
    if let Err(error) = sys::power::signal_on_ctrl_alt_del() {
        remarks.push(chain(&error));
    }

    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let cmdline = cmdline::parse(&line);
    let handover = Handover::read();
    let store = Store::new();
    let stamps = Stamps::start(&store, &cmdline, boot_id(), stamps(handover.stamps));
    let devices = Devices {
        start: cmdline.start,
        sequence: handover.disk,
        ..Devices::default()
    };
    let node = Node::with(release, store, stamps, devices);
    let remarks = [handover.warnings, remarks].concat();
    report(&node, &remarks);
    Ok(Prepared {
        node,
        cmdline,
        line,
        watchdog: handover.watchdog,
        container: None,
    })
}

/// Fills `/etc` from the image, and lists the users of its services.
pub(super) fn fill_etc(release: &Release) -> Result<(), Error> {
    etc::copy_tree(Path::new(etc::FACTORY), Path::new("/etc")).map_err(Error::Etc)?;
    let users = release
        .services
        .iter()
        .filter_map(|service| service.user.as_ref());
    etc::add_users(Path::new("/etc"), users).map_err(Error::Etc)
}

/// Starts the log, and reports what runs and what was remarkable on the way.
pub(super) fn report(node: &Node, remarks: &[String]) {
    own::install(&node.logs);
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    tracing::info!(
        "Bedplate {} on {}, kernel {}",
        node.release.version,
        node.release.board,
        sys::host::kernel_release()
    );
    for remark in remarks {
        tracing::warn!("{remark}");
    }
}

fn mount_everything() -> Result<Vec<String>, Error> {
    let mut remarks = mounts::mount_all(&LinuxMounts, mounts::EARLY)?;
    // There is no modprobe: the kernel asks us, for the first time when something below is a module.
    if let Err(source) = fs::write(helper::SYSCTL, "/usr/bin/machined") {
        remarks.push(sys::Error {
            action: "tell the kernel whom to ask for modules".to_owned(),
            source,
        });
    }
    remarks.extend(mounts::mount_all(&LinuxMounts, mounts::MAIN)?);
    // What is mounted later must be seen by containers that run already, and the other way round.
    let shared = Mount::new("none", "/", "").flags(MountFlags::MS_SHARED | MountFlags::MS_REC);
    remarks.extend(LinuxMounts.mount(&shared).err());
    Ok(remarks.iter().map(|error| chain(error)).collect())
}

fn set_parameters() -> Vec<String> {
    let folder = Path::new(sysctls::ROOT);
    let failed = sysctls::DEFAULTS
        .iter()
        .filter_map(|(name, value)| sysctls::set(folder, name, value).err());
    failed.map(|error| chain(&error)).collect()
}

pub(super) fn stamps(mut stamps: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    stamps.insert("mounts".to_owned(), uptime_ms());
    stamps
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}
