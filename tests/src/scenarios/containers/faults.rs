//! What happens to nodes.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::{Lab, Member};
use crate::tools::Tool;

/// How long Podman may take to end a container: its cgroups are many.
const ENDING: Duration = Duration::from_secs(120);

fn podman(words: &[&str]) -> Tool {
    Tool::new("podman").args(words).within(ENDING)
}

impl Lab<'_> {
    /// Cuts a node's power: all its processes are killed at once.
    pub fn kill(&self, member: &Member) -> Result<()> {
        podman(&["kill", "--signal", "KILL", &member.container]).run()?;
        self.stopped(member)
    }

    /// Switches a node on again, with the disks that it had.
    pub fn start(&self, member: &Member) -> Result<()> {
        // Podman may be at the end of its work for the last one still.
        let mut tries = 0;
        while let Err(error) = podman(&["start", &member.container]).run() {
            tries += 1;
            if tries == 5 {
                return Err(error);
            }
            thread::sleep(Duration::from_secs(1));
        }
        Ok(())
    }

    /// Waits until a node that restarts itself has stopped.
    pub fn stopped(&self, member: &Member) -> Result<()> {
        podman(&["wait", &member.container]).run().map(drop)
    }

    /// Stops the time of a node.
    pub fn pause(&self, member: &Member) -> Result<()> {
        podman(&["pause", &member.container]).run().map(drop)
    }

    /// Lets the time of a node go on.
    pub fn resume(&self, member: &Member) -> Result<()> {
        podman(&["unpause", &member.container]).run().map(drop)
    }

    /// Cuts a node off from all others, or connects it again.
    pub fn connect(&self, member: &Member, connected: bool) -> Result<()> {
        self.network.connect(&self.process(member)?, connected)
    }

    /// Tells whether a node has an address, as its kernel says.
    pub fn has_address(&self, member: &Member, address: Ipv4Addr) -> Result<bool> {
        let show = ["--net", "ip", "-4", "-oneline", "address", "show", "dev", "eth0"];
        let show = Tool::new("nsenter")
            .args(["--target", &self.process(member)?])
            .args(show);
        Ok(show.run()?.contains(&format!(" {address}/")))
    }

    /// Removes a node with its disks.
    pub fn remove(&self, member: &Member) -> Result<()> {
        podman(&["rm", "--force", "--time", "0", "--volumes", &member.container]).run()?;
        for part in ["data", "state"] {
            podman(&["volume", "rm", "--force", &format!("{}-{part}", member.container)]).run()?;
        }
        Ok(())
    }

    /// Returns where the disk with a node's STATE is on this host.
    pub fn disk(&self, member: &Member) -> Result<PathBuf> {
        let volume = format!("{}-state", member.container);
        let shown = podman(&["volume", "inspect", "--format", "{{.Mountpoint}}", &volume]).run()?;
        Ok(PathBuf::from(shown.trim()))
    }

    /// Returns the process that is PID 1 of a node, as this host numbers it.
    pub fn process(&self, member: &Member) -> Result<String> {
        let shown = podman(&["inspect", "--format", "{{.State.Pid}}", &member.container]).run()?;
        Ok(shown.trim().to_owned())
    }
}
