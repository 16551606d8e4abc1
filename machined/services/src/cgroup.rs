//! The cgroup of each service: what it may use, what it uses, and an end for all of it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use service_definition::Resources;

use super::writes::Written;

/// The parent of the cgroups of all services.
pub const PARENT: &str = "bedplate";
/// Controllers that the limits of services need.
const CONTROLLERS: [&str; 4] = ["cpu", "io", "memory", "pids"];

/// Returns the folder in which a container may have cgroups, below a mount of their second version.
///
/// The processes of the container leave the root of what is its own for a cgroup beside those of services: only one without
/// processes can hand controllers on. Where the engine left the container in the host's own root, the folder is one that
/// no other container uses.
///
/// # Errors
/// Fails when the folder cannot be made or entered.
pub fn below_container(mount: &Path) -> io::Result<PathBuf> {
    // Only the root of all has no type.
    let is_own = mount.join("cgroup.type").exists();
    let folder = match is_own {
        true => mount.to_owned(),
        false => mount.join(format!("{PARENT}-{}", host_id()?)),
    };
    let init = folder.join("init");
    fs::create_dir_all(&init)?;
    let processes = match is_own {
        true => fs::read_to_string(folder.join("cgroup.procs"))?,
        false => "0".to_owned(),
    };
    for process in processes.lines() {
        write(&init.join("cgroup.procs"), process)?;
    }
    Ok(folder)
}

/// Returns what tells this container from others in the host's cgroups: the number of its process namespace.
fn host_id() -> io::Result<String> {
    let namespace = fs::read_link("/proc/self/ns/pid")?;
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect();
    Ok(namespace.to_str().map(digits).unwrap_or_default())
}

/// Makes, limits and ends cgroups of services.
pub trait Cgroups: Send + Sync {
    /// Makes the cgroup of a service and sets its limits. Returns those that the kernel does not know: a board may
    /// boot without the memory controller, and its services run all the same.
    fn prepare(&self, name: &str, resources: &Resources) -> Result<Vec<&'static str>, CgroupError>;

    /// Returns the folder of a service's cgroup, for its first process to enter; none when there are no cgroups.
    fn folder(&self, name: &str) -> Option<PathBuf>;

    /// Kills everything in the cgroup of a service at once. One that was never made is not an error.
    fn kill(&self, name: &str) -> Result<(), CgroupError>;

    /// Removes the cgroup of a service, which must be empty. One that was never made is not an error.
    fn remove(&self, name: &str) -> Result<(), CgroupError>;

    /// Returns true if a process is left in the cgroup of a service.
    fn is_populated(&self, name: &str) -> bool;

    /// Returns the memory that a service uses, in bytes; none when that is not known.
    fn memory(&self, name: &str) -> Option<u64>;

    /// Returns what a service has written to disks; none when that is not known.
    fn written(&self, name: &str) -> Option<Written>;
}

/// What could not be done with a cgroup.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct CgroupError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CgroupError {
    let path = path.to_owned();
    move |source| CgroupError { action, path, source }
}

/// The kernel's cgroups, version 2.
#[derive(Debug)]
pub struct LinuxCgroups {
    parent: PathBuf,
}

impl LinuxCgroups {
    /// Makes the common parent under the place where cgroups are mounted, and opens to it the controllers there are.
    pub fn open(mount: &Path) -> Result<Self, CgroupError> {
        Self::open_as(mount, PARENT)
    }

    fn open_as(mount: &Path, parent: &str) -> Result<Self, CgroupError> {
        let parent = mount.join(parent);
        fs::create_dir_all(&parent).map_err(failed("make cgroup", &parent))?;
        // One at a time: a kernel that lacks one refuses them together.
        for folder in [mount, &parent] {
            for controller in CONTROLLERS {
                let _lacking = write(&folder.join("cgroup.subtree_control"), &format!("+{controller}"));
            }
        }
        Ok(LinuxCgroups { parent })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.parent.join(name)
    }
}

impl Cgroups for LinuxCgroups {
    fn prepare(&self, name: &str, resources: &Resources) -> Result<Vec<&'static str>, CgroupError> {
        let folder = self.path(name);
        fs::create_dir_all(&folder).map_err(failed("make cgroup", &folder))?;
        let mut lacking = Vec::new();
        for (file, value) in settings(resources) {
            let path = folder.join(file);
            match write(&path, &value) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Without a limit there is nothing to lack.
                    if value != "max" && value != DEFAULT_WEIGHT && value != DEFAULT_IO_WEIGHT {
                        lacking.push(file);
                    }
                }
                Err(error) => return Err(failed("set", &path)(error)),
            }
        }
        Ok(lacking)
    }

    fn folder(&self, name: &str) -> Option<PathBuf> {
        Some(self.path(name))
    }

    fn kill(&self, name: &str) -> Result<(), CgroupError> {
        let path = self.path(name).join("cgroup.kill");
        match write(&path, "1") {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("write", &path)(error)),
            _ => Ok(()),
        }
    }

    fn remove(&self, name: &str) -> Result<(), CgroupError> {
        let path = self.path(name);
        match fs::remove_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    fn is_populated(&self, name: &str) -> bool {
        let events = fs::read_to_string(self.path(name).join("cgroup.events")).unwrap_or_default();
        populated(&events)
    }

    fn memory(&self, name: &str) -> Option<u64> {
        let text = fs::read_to_string(self.path(name).join("memory.current")).ok()?;
        text.trim().parse().ok()
    }

    fn written(&self, name: &str) -> Option<Written> {
        Written::of(&self.path(name))
    }
}

const DEFAULT_WEIGHT: &str = "100";
const DEFAULT_IO_WEIGHT: &str = "default 100";

/// Returns what is written into which file. A limit that is not given is taken back: the cgroup may be there from an
/// earlier start, with other limits.
fn settings(resources: &Resources) -> [(&'static str, String); 4] {
    let most = |limit: Option<u64>| limit.map_or_else(|| "max".to_owned(), |limit| limit.to_string());
    let weight = |weight: Option<u32>| weight.unwrap_or(100).to_string();
    [
        ("memory.max", most(resources.memory_max)),
        ("pids.max", most(resources.pids_max)),
        ("cpu.weight", weight(resources.cpu_weight)),
        ("io.weight", format!("default {}", weight(resources.io_weight))),
    ]
}

/// Reads `cgroup.events`.
fn populated(events: &str) -> bool {
    events.lines().any(|line| line == "populated 1")
}

/// Writes an existing file: in a tree of cgroups nothing else can be made than folders.
fn write(path: &Path, value: &str) -> io::Result<()> {
    fs::File::options()
        .write(true)
        .open(path)?
        .write_all(value.as_bytes())
}

#[cfg(test)]
mod recording;
#[cfg(test)]
pub use recording::{CgroupCall, RecordingCgroups};

#[cfg(test)]
pub(crate) mod tests;
