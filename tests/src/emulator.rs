//! A running emulator. Dropped, it is gone.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::console::{Console, LOOK_EVERY, last_lines};
use crate::disk::Disk;
use crate::machine::{Machine, Wiring, talk};
use crate::{pace, ports, qmp};

/// How much of a console is shown when what was waited for did not come.
const SHOWN: usize = 60;

/// A machine that is on.
#[derive(Debug)]
pub struct Emulator {
    process: Child,
    /// What firmware and loader print.
    pub loader: Console,
    /// What kernel and machined print.
    pub kernel: Console,
    /// The port on loopback that leads to its API.
    pub api_port: u16,
    /// The port on loopback that leads to its API of Kubernetes.
    pub kubernetes_port: u16,
    /// The port on loopback that leads to the port that a workload may publish.
    pub published_port: u16,
    talk: PathBuf,
    deadline: Instant,
}

impl Emulator {
    /// Switches a machine on. No wait of it goes beyond the deadline.
    pub fn start(machine: Machine, disk: &Disk, folder: &Path, deadline: Instant) -> Result<Emulator> {
        Emulator::start_with(machine, disk, folder, deadline, &[])
    }

    /// Switches a machine on with further options of the emulator.
    pub fn start_with(
        machine: Machine,
        disk: &Disk,
        folder: &Path,
        deadline: Instant,
        further: &[&str],
    ) -> Result<Emulator> {
        let (api_port, kubernetes_port) = (ports::draw()?, ports::draw()?);
        let published_port = ports::draw()?;
        let command = machine.command(&Wiring {
            disk,
            api_port,
            kubernetes_port,
            published_port,
            folder,
            further,
        })?;
        let log = std::fs::File::create(folder.join("qemu.log"))?;
        // The kernel ends it with us, however we end.
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .args(&command)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start setpriv")?;
        let loader = Console::new(machine.loader_console(folder));
        let kernel = Console::new(machine.kernel_console(folder));
        Ok(Emulator {
            process,
            loader,
            kernel,
            api_port,
            kubernetes_port,
            published_port,
            talk: talk(folder),
            deadline,
        })
    }

    /// Waits for a line of firmware or loader with one of the texts.
    pub fn loader_says(&mut self, texts: &[&str], limit: Duration) -> Result<String> {
        let until = self.deadline.min(Instant::now() + pace::stretch(limit));
        loop {
            if let Some(line) = self.loader.find(texts) {
                return Ok(line);
            }
            let ended = self.process.try_wait()?;
            if ended.is_some() || Instant::now() > until {
                let what = if ended.is_some() {
                    "the machine went off"
                } else {
                    "the time is up"
                };
                bail!(
                    "waited for {texts:?} on the console, but {what}; it ends:\n{}",
                    self.shown()
                );
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Plugs a USB network card in once the node runs.
    ///
    /// QEMU's controller reports a device only once: one that the firmware has seen, the kernel does not see.
    pub fn plug_card(&mut self, limit: Duration) -> Result<()> {
        self.loader_says(&["state    running"], limit)?;
        let card = serde_json::json!({"driver": "usb-net", "netdev": "net"});
        qmp::execute(&self.talk, "device_add", card).map(drop)
    }

    /// Plugs a USB disk in, whose content is a drive of the emulator's.
    pub fn plug_disk(&self, drive: &str) -> Result<()> {
        let disk = serde_json::json!({"driver": "usb-storage", "drive": drive});
        qmp::execute(&self.talk, "device_add", disk).map(drop)
    }

    /// Plugs the network's cable in, or pulls it.
    pub fn set_cable(&self, plugged: bool) -> Result<()> {
        let cable = serde_json::json!({"name": "net", "up": plugged});
        qmp::execute(&self.talk, "set_link", cable).map(drop)
    }

    /// Makes the disk take hours for a request, or answer again.
    pub fn set_disk_stuck(&self, stuck: bool) -> Result<()> {
        let rate = u64::from(stuck);
        let none = ["bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"].map(|name| (name.to_owned(), 0.into()));
        let mut throttle: serde_json::Map<String, serde_json::Value> = none.into_iter().collect();
        throttle.extend([
            ("device".to_owned(), "disk".into()),
            ("bps".to_owned(), rate.into()),
        ]);
        qmp::execute(&self.talk, "block_set_io_throttle", throttle.into()).map(drop)
    }

    /// Waits until the machine has switched itself off.
    pub fn ends(&mut self, limit: Duration) -> Result<()> {
        let until = self.deadline.min(Instant::now() + pace::stretch(limit));
        while Instant::now() < until {
            if self.process.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!(
            "the machine is still on after {} s; its console ends:\n{}",
            limit.as_secs(),
            self.shown()
        )
    }

    /// Cuts the power.
    pub fn cut_power(self) {
        drop(self);
    }

    fn shown(&self) -> String {
        let mut text = self.kernel.text();
        if self.loader.path() != self.kernel.path() {
            text = self.loader.text() + "\n" + &text;
        }
        last_lines(&text, SHOWN)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // An error means that it is gone already.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
