//! Local clusters of QEMU, with real emulators whose disks hold nothing: what is left of them, and what is told apart.

mod program;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use sys::lock::{Holder, holder};

use program::{Home, Ran};

const EMULATORS: [&str; 2] = ["qemu-system-x86_64", "qemu-system-aarch64"];
/// More than anything here takes, on a machine that does a lot besides.
const PATIENCE: Duration = Duration::from_secs(300);

/// A home with state of its own. Whatever it made is removed.
struct Lab {
    home: Home,
}

impl Lab {
    fn new() -> Self {
        let lab = Lab { home: Home::new() };
        // What looks like a disk to the program, and like an empty one to firmware.
        let mut disk = vec![0; 1 << 20];
        disk[512..520].copy_from_slice(b"EFI PART");
        fs::write(lab.home.path("disk.img"), disk).expect("a disk is written");
        lab
    }

    fn variables(&self) -> [(&'static str, String); 2] {
        ["XDG_STATE_HOME", "KUBECONFIG"].map(|name| {
            let path = self.home.path(&name.to_lowercase());
            (name, path.display().to_string())
        })
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let variables = self.variables();
        let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
        self.home.run_with(&variables, arguments)
    }

    fn create(&self, name: &str, more: &[&str]) -> Command {
        let arguments = [
            &[
                "cluster",
                "create",
                "--provisioner",
                "qemu",
                "--no-kvm",
                "--image",
                "disk.img",
            ][..],
            &[
                "--memory",
                "256MiB",
                "--disk",
                "16MiB",
                "--processors",
                "1",
                "--name",
                name,
            ],
            more,
        ];
        let mut command = self.home.command(&arguments.concat());
        command.envs(self.variables());
        command
    }

    fn folder(&self, cluster: &str) -> PathBuf {
        self.home.path("xdg_state_home/bedplate/clusters").join(cluster)
    }

    fn pidfile(&self, cluster: &str, node: &str) -> PathBuf {
        self.folder(cluster).join("nodes").join(node).join("pid")
    }

    fn list(&self) -> Vec<Value> {
        let list = self
            .run(&["cluster", "list", "--output", "json"])
            .success()
            .json();
        list.as_array().expect("a list").clone()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Only after a failure is anything left.
        for name in ["one", "two"] {
            self.run(&["cluster", "destroy", name, "--yes"]);
        }
    }
}

/// Returns whether clusters can be tried here at all.
fn has_qemu() -> bool {
    let lab = Lab::new();
    let ran = lab.run(&["cluster", "create", "--provisioner", "qemu", "--image", "nothing"]);
    let missing = ran.err.contains("apt install");
    if missing {
        assert!(std::env::var_os("CI").is_none(), "QEMU is missing: {}", ran.err);
    }
    !missing
}

fn running(pidfile: &Path) -> Option<u32> {
    match holder(&File::open(pidfile).ok()?).expect("locks can be asked for") {
        Holder::Process(pid) => Some(pid),
        Holder::Nobody | Holder::Unseen => None,
    }
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "there is never {what}");
        sleep(Duration::from_millis(5));
    }
}

fn killed(mut child: Child) {
    child.kill().expect("the client is killed");
    child.wait().expect("the client ends");
}

fn is_gone(pid: u32) -> bool {
    // One that nobody has reaped yet is no process any more.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_err() || stat.is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}

#[test]
fn a_missing_or_old_qemu_is_named() {
    let home = Home::new();
    fs::create_dir(home.path("bin")).unwrap();
    let path = home.path("bin").display().to_string();
    let state = home.path("state").display().to_string();
    let create = || {
        let variables = [("PATH", path.as_str()), ("XDG_STATE_HOME", state.as_str())];
        home.run_with(&variables, &["cluster", "create", "--provisioner", "qemu"])
            .failure()
    };
    let said = create().err;
    assert!(
        said.contains("there is no qemu-system-") && said.contains("apt install qemu-system-"),
        "{said}"
    );
    for name in EMULATORS {
        let program = home.path("bin").join(name);
        fs::write(
            &program,
            "#!/bin/sh\necho 'QEMU emulator version 5.2.0 (Debian 1:5.2+dfsg-11)'\n",
        )
        .unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let said = create().err;
    assert!(
        said.contains("QEMU 5.2.0 is too old: clusters need 7.2 or newer"),
        "{said}"
    );
    assert!(!home.path("state").exists(), "something was made");
}

#[test]
fn what_cannot_be_is_refused_before_anything_starts() {
    let lab = Lab::new();
    let said = lab.run(&["cluster", "create", "--memory", "1GiB"]).failure().err;
    assert!(said.contains("add --provisioner qemu"), "{said}");
    if !has_qemu() {
        return;
    }
    let said = lab
        .run(&["cluster", "create", "--provisioner", "qemu", "--name", "one"])
        .failure()
        .err;
    assert!(
        said.contains("there is no disk image") && said.contains("--disk-image=qcow2"),
        "{said}"
    );
    lab.run(&["cluster", "destroy", "one", "--yes"]).success();
    lab.home.write("disk.img", "an archive");
    let refused = lab.create("one", &[]).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("disk.img is not a disk image"), "{said}");
    lab.run(&["cluster", "destroy", "one", "--yes"]).success();
    assert_eq!(lab.list().len(), 0);
}

#[test]
fn destroy_leaves_nothing_of_a_create_that_was_killed_at_any_moment() {
    if !has_qemu() {
        return;
    }
    let moments: [(&str, &str); 5] = [
        ("its folder", "cluster.json"),
        ("a machine config", "worker.yaml"),
        ("a disk", "nodes/control-plane-1/disk.qcow2"),
        ("a pidfile", "nodes/control-plane-1/pid"),
        ("a second node", "nodes/worker-1/pid"),
    ];
    for (what, file) in moments {
        let lab = Lab::new();
        let mut create = lab.create("one", &[]);
        let client = create.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for(what, || lab.folder("one").join(file).exists().then_some(()));
        killed(client);
        // An emulator that is just starting has its file, but no lock on it yet: it must not outlive its files either.
        let pids: Vec<u32> = ["control-plane-1", "worker-1"]
            .iter()
            .filter_map(|node| running(&lab.pidfile("one", node)))
            .collect();
        assert_eq!(lab.list()[0]["state"], "incomplete", "killed at {what}");
        lab.run(&["cluster", "destroy", "one", "--yes"]).success();
        assert!(pids.iter().all(|pid| is_gone(*pid)), "killed at {what}: {pids:?}");
        let left = wait_for("an end of all emulators", || {
            emulators(&lab).is_empty().then_some(0)
        });
        assert_eq!(left, 0);
        assert!(
            !lab.home.path("xdg_state_home/bedplate").exists(),
            "killed at {what}"
        );
        assert_eq!(lab.list().len(), 0);
    }
}

/// Finds the emulators of a home by the paths that they were given: those also that no pidfile names.
fn emulators(lab: &Lab) -> Vec<String> {
    let own = lab.home.path("xdg_state_home").display().to_string();
    let processes = fs::read_dir("/proc").expect("there is /proc").flatten();
    let lines = processes.filter_map(|process| fs::read_to_string(process.path().join("cmdline")).ok());
    lines
        .filter(|line| line.contains(&own) && line.starts_with("qemu-system"))
        .collect()
}

#[test]
fn two_clusters_share_nothing() {
    if !has_qemu() {
        return;
    }
    let lab = Lab::new();
    let mut networks = Vec::new();
    for name in ["one", "two"] {
        let ran = lab
            .create(name, &["--workers", "0", "--wait", "0s"])
            .output()
            .unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert!(said.contains("not ready in time"), "{said}");
        networks.push(fs::read_to_string(lab.folder(name).join("network")).unwrap());
    }
    assert_ne!(networks[0], networks[1]);
    let list = lab.list();
    let api = |cluster: &Value| cluster["nodes"][0]["api"].as_str().unwrap().to_owned();
    assert_ne!(api(&list[0]), api(&list[1]));
    assert!(
        list.iter()
            .all(|cluster| cluster["provisioner"] == "qemu" && cluster["nodes"][0]["state"] == "running")
    );
    // A second cluster of a name is refused, and harms nothing.
    let again = lab.create("one", &[]).output().unwrap();
    assert!(String::from_utf8_lossy(&again.stderr).contains("exists already"));

    let other = running(&lab.pidfile("two", "control-plane-1")).unwrap();
    lab.run(&["cluster", "destroy", "one", "--yes"]).success();
    assert_eq!(running(&lab.pidfile("two", "control-plane-1")), Some(other));
    // A machine that has ended is told, and removed.
    sys::process::stop(other, sys::process::Stop::Kill).unwrap();
    wait_for("an end", || {
        running(&lab.pidfile("two", "control-plane-1"))
            .is_none()
            .then_some(())
    });
    let shown = lab
        .run(&["cluster", "show", "two", "--output", "json"])
        .success()
        .json();
    assert_eq!(shown["nodes"][0]["state"], "off");
    lab.run(&["cluster", "destroy", "two", "--yes"]).success();
    assert!(!lab.home.path("xdg_state_home/bedplate").exists());
}
