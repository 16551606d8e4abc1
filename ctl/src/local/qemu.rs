//! Nodes as virtual machines of QEMU, which boot the disk images that boards and clouds get.
//!
//! Everything of a cluster is below its folder, and everything of a node in a folder of the node: its disk, its machine config, its
//! console, and the pidfile by which its emulator is known. Nothing of the host is changed, and nobody needs to be root: nodes
//! reach one another by datagrams on loopback, and are reached by ports of loopback.

mod disk;
mod kvm;
mod machine;
mod process;
mod seed;
mod tools;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use board::Arch;
use serde_json::Value;

use self::disk::Image;
use self::kvm::Accelerator;
pub use self::machine::Size;
use self::machine::{Files, NETWORK, Wiring, options};
use self::tools::{Firmware, Kind};
use super::image_builder;
use super::plan::{Forwarded, Node};
use super::provisioner::{Provisioner, State};
use super::record::Records;
use crate::{ui, user_file};

/// The word for this provisioner in records.
pub const WORD: &str = "qemu";
/// The image of a cluster's nodes, in its folder.
const IMAGE: &str = "image";
/// The group of a cluster's network, in its folder.
const GROUP: &str = "network";
/// The folders of the nodes, in that of the cluster.
const NODES: &str = "nodes";
/// What they are called while they are removed.
const REMOVED: &str = "nodes.removed";
/// The words by which QEMU says that it cannot have a port.
const TAKEN: &str = "host forwarding rule";
/// How many pairs of ports are tried.
const TRIES: usize = 8;
/// How long healthy nodes are waited for.
const HEALTHY: Duration = Duration::from_secs(10 * 60);
/// How long those are waited for that are emulated.
const EMULATED: Duration = Duration::from_secs(60 * 60);

/// QEMU on this host.
pub struct Qemu {
    records: Records,
    size: Size,
    kvm: bool,
    host: OnceCell<(Kind, Firmware, Accelerator)>,
}

impl Qemu {
    /// Returns QEMU for machines of a size, which use KVM where that works, if they may.
    pub fn new(records: Records, size: Size, kvm: bool) -> Self {
        Qemu {
            records,
            size,
            kvm,
            host: OnceCell::new(),
        }
    }

    /// Looks at the host, once.
    fn host(&self) -> anyhow::Result<&(Kind, Firmware, Accelerator)> {
        if let Some(host) = self.host.get() {
            return Ok(host);
        }
        let kind = Kind::of_host()?;
        let firmware = kind.find_firmware(Path::is_file)?;
        let accelerator = match self.kvm {
            true => Accelerator::fastest(&kind, &firmware),
            false => Accelerator::Emulation,
        };
        Ok(self.host.get_or_init(|| (kind, firmware, accelerator)))
    }

    /// Returns the folders of nodes, also of those that are being removed.
    fn nodes(&self, cluster: &str) -> BTreeMap<String, PathBuf> {
        let folder = self.records.of(cluster);
        let all = [REMOVED, NODES].map(|name| folders(&folder.join(name)));
        all.into_iter().flatten().collect()
    }

    /// Starts the emulator of a node whose files are there, and returns the ports that lead to it.
    fn run(&self, cluster: &str, node: &Node, files: &Files, seeds: &[PathBuf]) -> anyhow::Result<Forwarded> {
        let (kind, firmware, accelerator) = self.host()?;
        let group = user_file::load(&self.records.of(cluster).join(GROUP))?;
        let mut tries = 0;
        loop {
            let forwarded = draw_ports()?;
            let wiring = Wiring {
                cluster,
                node,
                size: self.size,
                files,
                seeds,
                firmware,
                forwarded,
                group: group.trim(),
            };
            let started = tools::run(kind.program, "qemu-system", options(kind, *accelerator, &wiring));
            tries += 1;
            match started {
                Ok(_) => return Ok(forwarded),
                // Somebody else was faster.
                Err(error) if tries < TRIES && error.to_string().contains(TAKEN) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Provisioner for Qemu {
    fn check(&self) -> anyhow::Result<()> {
        Kind::of_host()?.check()
    }

    fn usual_image(&self) -> String {
        let arch = Arch::host().map(|arch| arch.to_string()).unwrap_or_default();
        disk::usual(&arch).display().to_string()
    }

    fn load(&self, cluster: &str, file: &Path) -> anyhow::Result<String> {
        Image::look(file)?;
        disk::keep(file, &self.records.of(cluster).join(IMAGE))?;
        Ok(file.display().to_string())
    }

    fn build(&self, cluster: &str, kubernetes: &str, folder: &Path) -> anyhow::Result<String> {
        let arch = Arch::host().context("there are no images for the architecture of this host")?;
        let board = format!("generic-{arch}");
        let (keys, out) = (folder.join("keys"), folder.join("build"));
        let (keys, out) = (keys.display().to_string(), out.display().to_string());
        // Only these nodes trust it.
        image_builder::run([
            "--output",
            "json",
            "keys",
            "new",
            "--no-password",
            "--name",
            "local",
            "--out",
            &keys,
        ])?;
        let printed = image_builder::run([
            "--output",
            "json",
            "build",
            "--board",
            &board,
            "--overlay",
            "kubernetes",
            "--kubernetes",
            kubernetes,
            "--key",
            &format!("{keys}/local.key"),
            "--disk-image=qcow2",
            "--out",
            &out,
        ])?;
        let report: Value = serde_json::from_str(&printed).context("bedplate-image prints no JSON")?;
        let image = report["diskImages"][0].as_str();
        let image = self.load(
            cluster,
            Path::new(image.context("bedplate-image reports no disk image")?),
        )?;
        fs::remove_dir_all(&out).with_context(|| format!("cannot remove {out}"))?;
        Ok(image)
    }

    fn has(&self, image: &str) -> anyhow::Result<()> {
        anyhow::bail!(
            "there is no disk image {image}: give its file with --image, build one by --kubernetes PATH, or with \
             `bedplate-image build --overlay kubernetes --disk-image=qcow2`"
        )
    }

    fn make_network(&self, cluster: &str) -> anyhow::Result<String> {
        if self.kvm && self.host()?.2 == Accelerator::Emulation {
            ui::note("KVM does not work here: nodes are emulated, and take their time");
        }
        // A group that no other cluster has, of any person: one of 2^24, at one of 2^13 ports.
        let [a, b, c, high, low, ..] = *uuid::Uuid::new_v4().as_bytes();
        let port = 20_000 + (u16::from_be_bytes([high, low]) & 0x1fff);
        let group = format!("{}:{port}\n", Ipv4Addr::new(239, a, b, c));
        user_file::replace(&self.records.of(cluster).join(GROUP), &group, 0o600)?;
        Ok(NETWORK.to_owned())
    }

    fn start(&self, cluster: &str, node: &mut Node, _: &str, config: &Path) -> anyhow::Result<()> {
        let folder = self.records.of(cluster);
        let (_, firmware, _) = self.host()?;
        let files = Files::below(folder.join(NODES).join(&node.name));
        let mut private = DirBuilder::new();
        let made = private.mode(0o700).recursive(true).create(files.folder());
        made.with_context(|| format!("cannot create {}", files.folder().display()))?;
        let seeds = seed::write(files.folder(), &seed::config(config, node)?)?;
        let variables = files.variables();
        fs::copy(&firmware.variables, &variables)
            .with_context(|| format!("cannot write {}", variables.display()))?;
        let image = folder.join(IMAGE);
        Image::look(&image)?.make_disk(&image, &files.disk(), self.size.disk)?;
        node.forwarded = Some(self.run(cluster, node, &files, &seeds)?);
        Ok(())
    }

    fn patience(&self) -> Duration {
        match self.host() {
            Ok((_, _, Accelerator::Emulation)) => EMULATED,
            _ => HEALTHY,
        }
    }

    fn observe(&self, cluster: &str) -> anyhow::Result<BTreeMap<String, State>> {
        let look = |(name, folder): (String, PathBuf)| {
            let running = process::find(&Files::below(folder).pid())?.is_some();
            let word = if running { "running" } else { "off" }.to_owned();
            let ended = !running;
            Ok((name, State { running, ended, word }))
        };
        self.nodes(cluster).into_iter().map(look).collect()
    }

    fn clusters(&self) -> anyhow::Result<Vec<String>> {
        let mut names = self.records.names();
        names.retain(|name| !self.nodes(name).is_empty());
        Ok(names)
    }

    fn destroy(&self, cluster: &str) -> anyhow::Result<Vec<String>> {
        let folder = self.records.of(cluster);
        let removed = folder.join(REMOVED);
        let mut names = Vec::new();
        loop {
            // An emulator that was about to start does not find its files any more, and ends; one that has locked its pidfile is
            // found by that. A folder that is there already is that of a destroy that was cut short.
            if !removed.is_dir() {
                match fs::rename(folder.join(NODES), &removed) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(names),
                    renamed => {
                        renamed.with_context(|| format!("cannot remove the nodes in {}", folder.display()))?
                    }
                }
            }
            for (name, folder) in folders(&removed) {
                process::end(&Files::below(folder).pid()).with_context(|| format!("cannot end {name}"))?;
                names.push(format!("machine {name}"));
            }
            fs::remove_dir_all(&removed).with_context(|| format!("cannot remove {}", removed.display()))?;
        }
    }
}

/// Lists the folders in a folder, by name.
fn folders(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    let named = folders.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())));
    named.collect()
}

/// Draws two ports of loopback that nobody uses.
fn draw_ports() -> anyhow::Result<Forwarded> {
    let draw = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port of loopback is free");
    let (api, kubernetes) = (draw()?, draw()?);
    Ok(Forwarded {
        api: api.local_addr()?.port(),
        kubernetes: kubernetes.local_addr()?.port(),
    })
}
