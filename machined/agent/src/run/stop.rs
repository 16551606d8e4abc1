//! How the node stops: processes, then file systems, then what is to be forgotten, then the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use node::Node;
use node::boot::{self, mounts};
use node::children::Children;
use node::disk::Devices;
use node::power::Stop;
use state::chain;
use state::kinds::{BootStatus, ContainerMode, NODE};
use storage::{seed, wipe};
use sys::entropy::LinuxPool;
use sys::mount::{LinuxMounts, Mount, MountFlags, Mounter};
use sys::mount_table::{self, Mounted};
use sys::process::Stop as Signal;
use tokio::time::{Instant, sleep};

use super::{console, container};

/// What has not ended by itself after this time is killed.
const GRACE: Duration = Duration::from_secs(5);
/// A stop that takes longer than this is cut short: a machine that hangs helps nobody.
const LIMIT: Duration = Duration::from_secs(50);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const STATE: &str = "/var/lib/bedplate";
/// Mount points that a stop leaves alone: they hold nothing, or are needed to the end.
const KEPT: &[&str] = &["/", "/dev", "/proc", "/run", "/sys"];

/// Makes sure that the machine stops even when what follows never ends. Has its own thread, so nothing can hold it up.
pub(super) fn limit(request: Stop) {
    let cut_short = move || {
        std::thread::sleep(LIMIT);
        console::say("stopping takes too long: cut short");
        sys::filesystem::sync();
        machine(request);
    };
    // Without memory for a thread the watchdog is the limit.
    let _no_thread = std::thread::Builder::new()
        .name("stop-limit".to_owned())
        .spawn(cut_short);
}

/// Ends every process and takes every file system away. What fails is told; the rest is done all the same.
pub(super) async fn everything(node: &Node, children: &Children, request: Stop) {
    if let Err(error) = seed::save(Path::new(STATE), &LinuxPool) {
        tracing::warn!("{}", chain(&error));
    }
    processes(children).await;
    if node.store.get::<ContainerMode>(NODE).is_some() {
        // Mounts end with the container, and its volumes are not its own to be unmounted.
        if let Stop::Reset { scope, .. } = request {
            for failed in container::forget(scope) {
                console::say(&format!("{failed}: not reset"));
            }
        }
        return sys::filesystem::sync();
    }
    let stubborn = unmount_all(&LinuxMounts);
    if let Stop::Reset { scope, .. } = request {
        let boot: BootStatus = node.store.get(NODE).unwrap_or_default();
        if let Some(guid) = boot.disk {
            forget(&node.devices, &guid, scope);
        }
    }
    for target in stubborn {
        console::say(&format!("{target} could not be unmounted; it is read-only now"));
    }
    sys::filesystem::sync();
}

async fn processes(children: &Children) {
    for (signal, patience) in [(Signal::Terminate, GRACE), (Signal::Kill, GRACE)] {
        if let Err(error) = sys::process::stop_all(signal) {
            tracing::warn!("{}", chain(&error));
        }
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            children.reap();
            if alone() {
                return;
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

/// Tells whether no other program runs. Threads of the kernel have no command line.
fn alone() -> bool {
    let Ok(entries) = fs::read_dir("/proc") else {
        return true;
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    !pids
        .filter(|pid| *pid != 1)
        .any(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty()))
}

/// Unmounts what holds data, leaves first, and makes read-only what cannot be unmounted. Returns the latter.
fn unmount_all(mounter: &dyn Mounter) -> Vec<String> {
    let mounted = mount_table::load().unwrap_or_default();
    let mut stubborn = Vec::new();
    for target in to_unmount(&mounted) {
        if mounter.unmount(&target, false).is_err() {
            let flags = MountFlags::MS_REMOUNT | MountFlags::MS_RDONLY;
            let remount = Mount::new("none", &target, "").flags(flags);
            if let Err(error) = mounter.mount(&remount) {
                tracing::warn!("{}", chain(&error));
            }
            stubborn.push(target.display().to_string());
        }
    }
    stubborn
}

/// Lists what a stop unmounts, leaves first.
fn to_unmount(mounted: &[Mounted]) -> Vec<PathBuf> {
    let mut targets = mounts::below(mounted, "/");
    let kept = |target: &Path| KEPT.iter().any(|kept| target == Path::new(kept));
    let inner = |target: &Path| {
        ["/dev", "/proc", "/sys"]
            .iter()
            .any(|folder| target.starts_with(folder))
    };
    targets.retain(|target| !kept(target) && !inner(target));
    targets
}

fn forget(devices: &Devices, guid: &str, scope: node::power::ResetScope) {
    let disk = match devices.find(guid) {
        Ok(Some(disk)) => disk,
        Ok(None) => return console::say(&format!("disk {guid} is gone: nothing could be reset")),
        Err(error) => return console::say(&format!("nothing could be reset: {}", chain(&error))),
    };
    for (name, forgotten) in wipe::forget(scope, &mut wipe::opener(devices, &disk)) {
        match forgotten {
            Ok(()) => console::say(&format!("{name} is forgotten")),
            Err(error) => console::say(&format!("{name} could not be reset: {error}")),
        }
    }
}

/// Stops the machine itself, or ends the container. Returns only when the kernel refuses, with its reason.
pub(super) fn machine(request: Stop) -> String {
    sys::filesystem::sync();
    if boot::container::engine().is_some() {
        container::exit(request)
    }
    let refused = match request {
        Stop::Shutdown | Stop::Reset { shutdown: true, .. } => sys::power::off(),
        Stop::Reboot | Stop::Reset { shutdown: false, .. } => sys::power::restart(),
    };
    match refused {
        Ok(never) => match never {},
        Err(error) => chain(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_goes_before_what_it_lies_on_and_the_kernels_own_stays() {
        let mounted = mount_table::parse(
            b"\
21 1 254:1 / / ro - erofs /dev/dm-1 ro
22 21 0:5 / /proc rw - proc proc rw
23 21 0:6 / /sys rw - sysfs sysfs rw
24 23 0:7 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
25 21 0:8 / /run rw - tmpfs tmpfs rw
26 21 0:9 / /etc rw - tmpfs tmpfs rw
27 21 254:7 / /var rw - ext4 /dev/vda7 rw
28 27 254:6 / /var/lib/bedplate rw - ext4 /dev/vda6 rw
29 25 0:10 / /run/containerd/io.containerd.runtime.v2.task/k8s.io/x/rootfs rw - overlay overlay rw
",
        );
        let targets = to_unmount(&mounted);
        let expected = [
            "/var/lib/bedplate",
            "/var",
            "/run/containerd/io.containerd.runtime.v2.task/k8s.io/x/rootfs",
            "/etc",
        ];
        assert_eq!(targets, expected.map(PathBuf::from));
    }
}
