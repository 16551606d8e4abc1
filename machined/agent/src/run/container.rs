//! What PID 1 does as the first process of a container: the arguments, mounts and cgroups of one, and its end.
//!
//! The arguments of the container stand for the kernel's command line. The host's own is never read: it may be that of a
//! node, too.

use std::fs;
use std::path::{Path, PathBuf};

use node::Node;
use node::boot::{Cmdline, Stamps, container, mounts, sysctls};
use node::disk::Devices;
use node::power::{ResetScope, Stop};
use release_file::Release;
use service_definition::Capabilities;
use state::kinds::{ContainerMode, NODE, Volume};
use state::{Store, chain};
use sys::mount::{LinuxMounts, Mount, MountFlags, Mounter};
use sys::mount_table;

use super::prepare::{Error, Prepared, report, stamps};

/// The argument that names the file with the machine config.
const CONFIG_FILE: &str = "bedplate.config-file=";
/// Where that file is looked for without the argument.
const CONFIG_FILE_DEFAULT: &str = "/config/machine.yaml";
/// Where a host with the first version of cgroups has those of services.
const CGROUPS: &str = "/run/bedplate/cgroup";
const CGROUP_MOUNT: &str = "/sys/fs/cgroup";
/// Where every program reads which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// What is mounted there.
const OWN_BOOT_ID: &str = "/run/bedplate/boot-id";
/// Where the kernel makes another identifier at each reading.
const NEW_ID: &str = "/proc/sys/kernel/random/uuid";
/// The exit code that asks the engine to start the container again, as `--restart on-failure` does.
const AGAIN: i32 = 75;

/// What a container has in place of a machine's devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Container {
    /// The file with the config of its first start.
    pub config_file: PathBuf,
    /// Where the cgroups of services are.
    pub cgroups: PathBuf,
}

/// Prepares the container. What is missing and not needed is only told.
pub(super) fn prepare(engine: String, release: Release, arguments: &[String]) -> Result<Prepared, Error> {
    let mut mode = container::look(engine, Path::new("/"));
    let mut remarks = mounts::mount_in_container(&LinuxMounts).map_err(Error::Privileges)?;
    let shared = Mount::new("none", "/", "").flags(MountFlags::MS_SHARED | MountFlags::MS_REC);
    remarks.extend(LinuxMounts.mount(&shared).err());
    let mut remarks: Vec<String> = remarks.iter().map(|error| chain(error)).collect();
    super::prepare::fill_etc(&release)?;
    let own = sysctls::DEFAULTS
        .iter()
        .filter(|(name, _)| sysctls::is_containers(name));
    let failed = own.filter_map(|(name, value)| sysctls::set(Path::new(sysctls::ROOT), name, value).err());
    remarks.extend(failed.map(|error| chain(&error)));
    let cgroups = match cgroups(&mut mode) {
        Ok(folder) => folder,
        Err(error) => {
            remarks.push(format!("services have no cgroups: {}", chain(&error)));
            PathBuf::from(CGROUPS)
        }
    };
    match sys::confine::lacking().map(|lacking| Capabilities(lacking).names()) {
        Ok(lacking) if lacking.is_empty() => {}
        Ok(lacking) => mode.missing.push(format!(
            "the container lacks the capability {}: services run without what needs it",
            lacking.join(", ")
        )),
        Err(error) => remarks.push(chain(&error)),
    }
    let store = Store::new();
    let boot_id = boot_id(&mut remarks);
    let boot = Stamps::start(&store, &Cmdline::default(), boot_id, stamps(Default::default()));
    if let Err(conflict) = store.put("boot", NODE, mode.clone()) {
        remarks.push(chain(&conflict));
    }
    let node = Node::with(release, store, boot, Devices::default());
    report(&node, &remarks);
    tracing::info!("this is a container of {}", mode.engine);
    for missing in &mode.missing {
        tracing::info!("container mode: {missing}");
    }
    Ok(Prepared {
        node,
        cmdline: Cmdline::default(),
        line: arguments.join(" "),
        watchdog: None,
        container: Some(Container {
            config_file: config_file(arguments),
            cgroups,
        }),
    })
}

/// Makes each start of the container a boot of its own, for every program in it: kubelet reports which one it knows. The
/// kernel's identifier is that of the host's start.
fn boot_id(remarks: &mut Vec<String>) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let own = read(NEW_ID);
    let written = Path::new(OWN_BOOT_ID)
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(OWN_BOOT_ID, format!("{own}\n")));
    let put = written
        .map_err(|error| format!("{OWN_BOOT_ID}: {error}"))
        .and_then(|()| {
            let mounted = LinuxMounts.mount(&Mount::bind(OWN_BOOT_ID, BOOT_ID));
            mounted.map_err(|error| chain(&error))
        });
    match put {
        Ok(()) => own,
        Err(error) => {
            remarks.push(format!("the container's starts cannot be told apart: {error}"));
            read(BOOT_ID)
        }
    }
}

/// Returns the file that the last such argument names.
fn config_file(arguments: &[String]) -> PathBuf {
    let named = arguments
        .iter()
        .rev()
        .find_map(|argument| argument.strip_prefix(CONFIG_FILE));
    named.unwrap_or(CONFIG_FILE_DEFAULT).into()
}

/// Finds or makes a place for the cgroups of services, in the hierarchy of the second version.
fn cgroups(mode: &mut ContainerMode) -> Result<PathBuf, sys::Error> {
    let mounted = mount_table::load().unwrap_or_default();
    let is_second =
        |mount: &&mount_table::Mounted| mount.target == Path::new(CGROUP_MOUNT) && mount.fstype == "cgroup2";
    let folder = PathBuf::from(match mounted.iter().rev().find(is_second) {
        Some(_) => CGROUP_MOUNT,
        None => {
            mode.missing.push(
                "the host has the first version of cgroups: services run without limits of their own, and kubelet \
                 without the support of Kubernetes from 1.35 on"
                    .to_owned(),
            );
            let _exists = fs::create_dir_all(CGROUPS);
            let flags = MountFlags::MS_NOSUID | MountFlags::MS_NODEV | MountFlags::MS_NOEXEC;
            LinuxMounts.mount(&Mount::new("cgroup2", CGROUPS, "cgroup2").flags(flags))?;
            CGROUPS
        }
    });
    services::cgroup::below_container(&folder).map_err(|source| sys::Error {
        action: format!("use {}", folder.display()),
        source,
    })
}

/// Forgets what a reset asks for: everything in the volumes, which the engine mounted and this container cannot unmount.
pub(super) fn forget(scope: ResetScope) -> Vec<String> {
    let state = Path::new(Volume::State.target());
    let mut failed = Vec::new();
    unmount_below(Path::new(Volume::Data.target()), state);
    if scope != ResetScope::Data {
        failed.extend(empty(state, state));
    }
    if scope != ResetScope::State {
        failed.extend(empty(Path::new(Volume::Data.target()), state));
    }
    failed
}

/// Takes away what services and containers mounted below DATA: nothing behind it may be emptied.
fn unmount_below(data: &Path, state: &Path) {
    let mounted = mount_table::load().unwrap_or_default();
    let targets = mounts::below(&mounted, &data.display().to_string());
    for target in targets
        .iter()
        .filter(|target| *target != data && *target != state)
    {
        if let Err(error) = LinuxMounts.unmount(target, true) {
            tracing::warn!("{}", chain(&error));
        }
    }
}

/// Empties a folder but for `kept` and what is above it. Returns what could not be removed.
fn empty(folder: &Path, kept: &Path) -> Vec<String> {
    let mut failed = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path == kept {
            continue;
        }
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let done = match is_folder {
            true if kept.starts_with(&path) => {
                failed.extend(empty(&path, kept));
                continue;
            }
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        failed.extend(done.err().map(|error| format!("{}: {error}", path.display())));
    }
    failed
}

/// Ends the container. The engine starts it again, or not, by the exit code.
pub(super) fn exit(request: Stop) -> ! {
    std::process::exit(match request {
        Stop::Shutdown | Stop::Reset { shutdown: true, .. } => 0,
        Stop::Reboot | Stop::Reset { shutdown: false, .. } => AGAIN,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_argument_names_the_config() {
        let file = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
            config_file(&arguments)
        };
        assert_eq!(file(&["quiet"]), Path::new("/config/machine.yaml"));
        let both = ["bedplate.config-file=/a", "bedplate.config-file=/b"];
        assert_eq!(file(&both), Path::new("/b"));
    }

    #[test]
    fn a_reset_of_data_leaves_state_alone() {
        let data = tempfile::tempdir().unwrap();
        let state = data.path().join("lib/bedplate");
        for file in ["lib/bedplate/config.yaml", "lib/etcd/member/db", "log/x"] {
            let path = data.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink("/", data.path().join("root")).unwrap();
        assert_eq!(empty(data.path(), &state), [""; 0]);
        assert!(state.join("config.yaml").exists());
        assert!(!data.path().join("lib/etcd").exists() && !data.path().join("root").is_symlink());
        assert_eq!(empty(&state, &state), [""; 0]);
        assert!(state.exists() && !state.join("config.yaml").exists());
    }
}
