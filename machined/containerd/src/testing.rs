//! The machine's own containerd, in folders of a test's own.

#![allow(missing_docs, reason = "helps tests only")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::ready;

/// How long a start of containerd may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A containerd that runs or not; killed with the value.
pub struct RealContainerd {
    folder: TempDir,
    child: Option<Child>,
}

impl RealContainerd {
    /// Makes its folders. Returns none, and says so, where it cannot run.
    pub fn new() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: only root can run containerd");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path().display();
        let config = format!(
            r#"
version = 2
root = "{at}/root"
state = "{at}/state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs"]
[grpc]
  address = "{at}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  disable_tcp_service = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
"#
        );
        std::fs::write(folder.path().join("config.toml"), config).expect("its config");
        Some(RealContainerd { folder, child: None })
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    pub fn aside(&self) -> PathBuf {
        self.folder.path().join("aside")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a call of `ctr`, the client that comes with it.
    pub fn ctr_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command
            .arg("--address")
            .arg(self.socket())
            .args(["--namespace", super::KUBERNETES])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Runs `ctr` to its end, and returns what it says.
    pub fn ctr(&self, arguments: &[&str]) -> String {
        let run = self
            .ctr_command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .expect("ctr comes with containerd");
        assert!(
            run.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&run.stderr)
        );
        String::from_utf8_lossy(&run.stdout).into_owned()
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("containerd.sock")
    }

    pub fn database(&self) -> PathBuf {
        self.root().join("io.containerd.metadata.v1.bolt/meta.db")
    }

    pub fn start(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("its log");
        let child = Command::new("containerd")
            .arg("--config")
            .arg(self.folder.path().join("config.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("containerd is there: cargo xtask setup installs it");
        self.child = Some(child);
    }

    /// Kills it at once, as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it is gone");
        }
    }

    /// Waits until it is ready, and returns what it said last when it does not get so.
    pub async fn ready(&mut self) -> Result<(), String> {
        self.asked_until(|said| said.is_ok()).await
    }

    /// Waits until it answers anything at all, and returns what.
    pub async fn until_it_listens(&mut self) -> Result<(), String> {
        self.asked_until(|said| !matches!(said, Err(error) if error.starts_with("cannot connect")))
            .await
    }

    async fn asked_until(&mut self, enough: impl Fn(&Result<(), String>) -> bool) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let said = ready(&self.socket()).await;
            if enough(&said) || Instant::now() > until {
                return said;
            }
            if let Some(ended) = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().ok().flatten())
            {
                return Err(format!("containerd ended: {ended}"));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for RealContainerd {
    fn drop(&mut self) {
        self.kill();
    }
}
