//! Finds real programs, and runs them so that none outlives the test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kubernetes::{Component, Kind, Version};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

/// How long a program may take to be well on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// The programs of a control plane.
pub struct Programs {
    folder: PathBuf,
    etcd_program: PathBuf,
    /// What Kubernetes says of itself.
    pub kubernetes: Version,
    /// What etcd says of itself.
    pub etcd: Version,
    /// Where an archive was unpacked; goes with the value.
    _unpacked: Option<TempDir>,
}

impl Programs {
    /// Finds the programs. Returns none, and says so, where there are none.
    pub fn find() -> Option<Self> {
        let skipped = |why: &str| eprintln!("skipped: {why}");
        let Some(given) = std::env::var_os("KUBERNETES_PROGRAMS").map(PathBuf::from) else {
            skipped("KUBERNETES_PROGRAMS names no folder or archive with Kubernetes");
            return None;
        };
        if !nix::unistd::geteuid().is_root() {
            skipped("only root can make a network namespace");
            return None;
        }
        let unpacked = given.is_file().then(|| unpack(&given));
        let folder = unpacked.as_ref().map_or(given, |folder| folder.path().to_owned());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(folder.clone()).chain(std::env::split_paths(&path));
        let Some(etcd_program) = folders
            .map(|folder| folder.join("etcd"))
            .find(|program| program.is_file())
        else {
            skipped("there is no etcd, neither beside Kubernetes nor in the PATH");
            return None;
        };
        let version = |program: &Path| {
            let asked = Command::new(program).arg("--version").output().unwrap();
            Version::printed(&String::from_utf8(asked.stdout).unwrap()).unwrap()
        };
        let (kubernetes, etcd) = (version(&folder.join("kube-apiserver")), version(&etcd_program));
        eprintln!("Kubernetes {kubernetes}, etcd {etcd}");
        Some(Self {
            folder,
            etcd_program,
            kubernetes,
            etcd,
            _unpacked: unpacked,
        })
    }

    /// Returns the folder of the programs of Kubernetes.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the program kubectl, if it is there.
    pub fn kubectl(&self) -> Option<PathBuf> {
        Some(self.folder.join("kubectl")).filter(|program| program.is_file())
    }
}

fn unpack(archive: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut packed = zstd::Decoder::new(File::open(archive).unwrap()).unwrap();
    packed.window_log_max(27).unwrap();
    tar::Archive::new(packed).unpack(folder.path()).unwrap();
    folder
}

/// Moves this thread, and whatever it starts, into a network with one address and nobody else.
pub fn enter_network(address: &str) {
    unshare(CloneFlags::CLONE_NEWNET).expect("root can make a namespace");
    for arguments in [
        &["link", "set", "lo", "up"][..],
        &["address", "add", &format!("{address}/32"), "dev", "lo"],
        // kube-apiserver looks for one, even where it is told its address.
        &["route", "add", "default", "dev", "lo", "src", address],
    ] {
        assert!(
            Command::new("ip").args(arguments).status().unwrap().success(),
            "ip {arguments:?}"
        );
    }
}

/// A program that runs; ended with the value, and with the thread that started it.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a component; its log goes into the folder.
    pub fn start(component: &Component, programs: &Programs, folder: &Path) -> Self {
        let program = match component.kind {
            Kind::Etcd => &programs.etcd_program,
            _ => &component.program,
        };
        let log = folder.join(format!("{}.log", component.kind));
        let output = File::create(&log).unwrap();
        // Even a test that is killed leaves nothing behind.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .args(&component.arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// Waits until the program ends, and returns what it wrote.
    pub fn until_it_ends(mut self) -> String {
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(100));
        }
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until something holds; a program that ended says why.
    pub fn until(&mut self, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            let ended = self.child.try_wait().unwrap();
            let why = || {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                lines[lines.len().saturating_sub(25)..].join("\n")
            };
            assert!(ended.is_none(), "it ended ({ended:?}) before {what}:\n{}", why());
            assert!(begun.elapsed() < PATIENCE, "it is not so that {what}:\n{}", why());
            std::thread::sleep(Duration::from_millis(100));
        }
        eprintln!("{what} after {:.1} s", begun.elapsed().as_secs_f64());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
