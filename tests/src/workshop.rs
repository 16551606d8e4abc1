//! What every scenario starts from: a key, bundles, configs and flashed disks, each made once, by our real programs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::disk::Disk;
use crate::once::{self, Shelf};
use crate::tools::{self, Tool};

/// Building an image fetches packages the first time.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);
const FLASH_LIMIT: Duration = Duration::from_secs(5 * 60);
/// Names the folder of the programs for nodes; the one that `cargo xtask build` fills, unless given.
pub const BINARIES: &str = "--binaries";
/// The size of every disk: enough for two slots, and a power of two, which an emulated SD card must be.
const DISK_SIZE: &str = "2G";

/// The folder where things are made, and what was made already.
#[derive(Debug)]
pub struct Workshop {
    folder: PathBuf,
    shared: Shelf,
    /// Held, not used: two runs in one folder would write each other's disks.
    _lock: Option<File>,
}

/// A key pair that signs bundles, as files in minisign's format.
#[derive(Clone, Debug)]
pub struct Key {
    /// The file that signs.
    pub secret: PathBuf,
    /// The file that verifies.
    pub public: PathBuf,
}

/// The files that `bedplate gen config` makes for a cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The machine config of its first node.
    pub machine: PathBuf,
    /// The client's file, with an administrator's certificate.
    pub client: PathBuf,
}

impl Workshop {
    /// Begins a run in a folder: keys stay, and what was made of programs is made again. Fails when another run works in it.
    pub fn new(folder: PathBuf) -> Result<Workshop> {
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let lock = File::create(folder.join("lock"))?;
        let free = lock.try_lock();
        free.with_context(|| format!("another run works in {}", folder.display()))?;
        let workshop = Workshop {
            _lock: Some(lock),
            ..Workshop::join(folder)
        };
        workshop.shared.clear()?;
        Ok(workshop)
    }

    /// Takes part in the run that another process began in a folder.
    pub fn join(folder: PathBuf) -> Workshop {
        Workshop {
            shared: Shelf::new(folder.join("shared")),
            folder,
            _lock: None,
        }
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the folder in which each scenario has one of its own.
    pub fn runs(&self) -> PathBuf {
        self.folder.join("runs")
    }

    /// Returns the key pair of a name, made when it is first asked for.
    pub fn key(&self, name: &str) -> Result<Key> {
        let folder = self.folder.join("keys");
        let key = Key {
            secret: folder.join(format!("{name}.key")),
            public: folder.join(format!("{name}.pub")),
        };
        let _alone = once::lock(&folder)?;
        if !key.secret.exists() || !key.public.exists() {
            let make = Tool::ours("bedplate-image").args(["keys", "new", "--no-password", "--name", name]);
            make.arg("--out").arg(&folder).run()?;
        }
        Ok(key)
    }

    /// Returns the signed bundle of a board.
    pub fn bundle(&self, board: &str) -> Result<PathBuf> {
        self.shared.take(board, |folder| self.build(board, folder))
    }

    /// Returns another release of a board, with patches from an older one. A version means the same to all who ask.
    pub fn upgrade(&self, board: &str, version: &str, from: &Path) -> Result<PathBuf> {
        let from = from.display().to_string();
        let options = ["--version", version, "--patch-from", &from];
        self.shared.take(&format!("{board}-{version}"), |folder| {
            self.build_release(board, "release", folder, &options)
        })
    }

    /// Builds a board's bundle into a folder, now.
    pub fn build(&self, board: &str, out: &Path) -> Result<PathBuf> {
        self.build_with(board, "release", out, &[], "bundle")
    }

    /// Builds another release of a board into a folder, signed with the key of a name.
    pub fn build_release(&self, board: &str, key: &str, out: &Path, options: &[&str]) -> Result<PathBuf> {
        self.build_with(board, key, out, options, "bundle")
    }

    /// Builds a board's raw disk image into a folder, now.
    pub fn build_disk_image(&self, board: &str, out: &Path) -> Result<PathBuf> {
        self.build_with(board, "release", out, &["--disk-image"], "diskImage")
    }

    /// Builds, and gives the file that the report names in a field.
    fn build_with(
        &self,
        board: &str,
        key: &str,
        out: &Path,
        options: &[&str],
        field: &str,
    ) -> Result<PathBuf> {
        fs::create_dir_all(out)?;
        let build = Tool::ours("bedplate-image").args(["build", "--output", "json", "--board", board]);
        let build = build
            .arg("--key")
            .arg(self.key(key)?.secret)
            .arg("--out")
            .arg(out)
            .args(options);
        let build = match options.contains(&BINARIES) {
            true => build,
            false => build.arg(BINARIES).arg(tools::target().join("node")),
        };
        let printed = build.within(BUILD_LIMIT).run()?;
        let report: serde_json::Value =
            serde_json::from_str(&printed).context("bedplate-image prints no JSON")?;
        let file = report[field]
            .as_str()
            .with_context(|| format!("bedplate-image reports no {field}"))?;
        Ok(PathBuf::from(file))
    }

    /// Returns the cluster that every configured node belongs to. Its nodes answer on loopback, through the emulator.
    pub fn cluster(&self) -> Result<Cluster> {
        self.cluster_named("e2e")
    }

    /// Returns a cluster of a name, with a CA of its own.
    pub fn cluster_named(&self, name: &str) -> Result<Cluster> {
        let folder = self.folder.join("clusters").join(name);
        let cluster = Cluster {
            machine: folder.join("standalone.yaml"),
            client: folder.join("client.yaml"),
        };
        let _alone = once::lock(&folder)?;
        if !cluster.client.exists() {
            let make =
                Tool::ours("bedplate").args(["gen", "config", name, "127.0.0.1", "--standalone", "--force"]);
            make.args(["--cert-san", "127.0.0.1", "--folder"])
                .arg(&folder)
                .run()?;
        }
        Ok(cluster)
    }

    /// Returns a copy of a board's freshly flashed disk, with or without a machine config on it.
    pub fn disk(&self, board: &str, configured: bool, copy: &Path) -> Result<Disk> {
        let name = if configured {
            format!("{board}-disk-configured")
        } else {
            format!("{board}-disk")
        };
        let flash = |folder: &Path| {
            let config = configured.then(|| self.cluster()).transpose()?;
            let config = config.as_ref().map(|cluster| cluster.machine.as_path());
            let disk = self.flash(&self.bundle(board)?, &folder.join("disk.img"), config)?;
            Ok(disk.path().to_owned())
        };
        Disk::at(self.shared.take(&name, flash)?).copy_to(copy)
    }

    /// Flashes a bundle into a new file.
    pub fn flash(&self, bundle: &Path, to: &Path, config: Option<&Path>) -> Result<Disk> {
        fs::remove_file(to).ok();
        self.flash_tool(bundle, to, config)?.run()?;
        Ok(Disk::at(to.to_owned()))
    }

    /// Makes the command that flashes a bundle into a file.
    pub fn flash_tool(&self, bundle: &Path, to: &Path, config: Option<&Path>) -> Result<Tool> {
        let mut flash = Tool::ours("bedplate-flash")
            .arg(bundle)
            .arg(to)
            .args(["--yes", "--size", DISK_SIZE]);
        flash = flash.arg("--key").arg(self.key("release")?.public);
        if let Some(config) = config {
            flash = flash.arg("--config").arg(config);
        }
        Ok(flash.within(FLASH_LIMIT))
    }
}
