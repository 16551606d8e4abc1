//! Cgroups: in a folder that looks like one, and in the kernel's where this machine lets us.

use std::process::Command;

use super::*;

const LIMITS: Resources = Resources {
    memory_max: Some(1 << 20),
    cpu_weight: Some(200),
    io_weight: None,
    pids_max: Some(64),
};

#[test]
fn limits_are_set_and_those_not_given_are_taken_back() {
    let expected = [
        ("memory.max", "1048576"),
        ("pids.max", "64"),
        ("cpu.weight", "200"),
        ("io.weight", "default 100"),
    ];
    assert_eq!(
        settings(&LIMITS),
        expected.map(|(file, value)| (file, value.to_owned()))
    );
    assert_eq!(settings(&Resources::default())[0].1, "max");
}

#[test]
fn a_limit_the_kernel_does_not_know_is_told_and_no_error() {
    let mount = tempfile::tempdir().unwrap();
    let cgroups = LinuxCgroups::open(mount.path()).unwrap();
    let folder = cgroups.folder("a").unwrap();
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("pids.max"), "").unwrap();
    assert_eq!(
        cgroups.prepare("a", &LIMITS).unwrap(),
        ["memory.max", "cpu.weight"]
    );
    assert_eq!(fs::read_to_string(folder.join("pids.max")).unwrap(), "64");
    assert_eq!(cgroups.prepare("b", &Resources::default()).unwrap(), [""; 0]);
}

#[test]
fn what_was_never_made_is_empty_and_killed_already() {
    let mount = tempfile::tempdir().unwrap();
    let cgroups = LinuxCgroups::open(mount.path()).unwrap();
    cgroups.kill("a").unwrap();
    assert!(!cgroups.is_populated("a"));
    assert_eq!(cgroups.memory("a"), None);
}

#[test]
fn errors_name_the_file() {
    let mount = tempfile::tempdir().unwrap();
    let cgroups = LinuxCgroups::open(mount.path()).unwrap();
    fs::write(cgroups.folder("a").unwrap(), "a file in the way").unwrap();
    let error = cgroups.prepare("a", &LIMITS).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot make cgroup /") && error.ends_with("/bedplate/a"),
        "{error}"
    );
}

#[test]
fn events_are_read() {
    assert!(populated("populated 1\nfrozen 0\n"));
    assert!(!populated("populated 0\nfrozen 0\n"));
    assert!(!populated(""));
}

/// Opens the kernel's cgroups where a test may use them, under a name of its own.
pub(crate) fn kernel_cgroups(name: &str) -> Option<LinuxCgroups> {
    let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    let mount = mounts
        .map(Path::new)
        .into_iter()
        .find(|mount| mount.join("cgroup.procs").exists())?;
    let cgroups =
        LinuxCgroups::open_as(mount, &format!("bedplate-test-{}-{name}", std::process::id())).ok()?;
    let usable = cgroups.parent.join("cgroup.kill").exists();
    if !usable {
        eprintln!("no writable cgroup v2 with cgroup.kill here: not tried against the kernel");
    }
    usable.then_some(cgroups)
}

/// Removes the cgroups that a test made.
impl Drop for LinuxCgroups {
    fn drop(&mut self) {
        let folders = fs::read_dir(&self.parent).into_iter().flatten().flatten();
        for folder in folders.filter(|entry| entry.path().is_dir()) {
            let _gone = fs::remove_dir(folder.path());
        }
        let _gone = fs::remove_dir(&self.parent);
    }
}

#[test]
fn the_kernel_kills_all_of_a_cgroup() {
    let Some(cgroups) = kernel_cgroups("kill") else {
        return;
    };
    cgroups.prepare("a", &Resources::default()).unwrap();
    let mut command = Command::new("sleep");
    command.arg("1000");
    sys::process::isolate(&mut command, cgroups.folder("a").as_deref()).unwrap();
    let mut child = command.spawn().unwrap();
    assert!(cgroups.is_populated("a"));
    cgroups.kill("a").unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(!cgroups.is_populated("a"));
}
