//! The network of the nodes: a bridge of Podman.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::tools::Tool;

/// A network.
pub(super) struct Network {
    /// Its name.
    pub name: String,
    bridge: String,
    base: Ipv4Addr,
}

impl Network {
    /// Makes one, of addresses that nothing else on this host uses.
    pub fn make(name: &str) -> Result<Network> {
        let podman = |words: &[&str]| Tool::new("podman").arg("network").args(words).run();
        podman(&["create", "--disable-dns", name])?;
        let shown: Value = serde_json::from_str(&podman(&["inspect", name])?)?;
        let bridge = shown[0]["network_interface"]
            .as_str()
            .context("a network has a bridge")?;
        let subnet = shown[0]["subnets"][0]["subnet"].as_str().unwrap_or_default();
        let (base, length) = subnet.split_once('/').context("a network has addresses")?;
        ensure!(length == "24", "{subnet} is not as large as expected");
        Ok(Network {
            name: name.to_owned(),
            bridge: bridge.to_owned(),
            base: base.parse()?,
        })
    }

    /// Returns an address by the number of the host.
    pub fn address(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + u32::from(host))
    }

    /// Takes the port of a container off the bridge, or puts it there again. The container's own end stays up: it sees no
    /// cable pulled, only that nobody answers.
    pub fn connect(&self, process: &str, connected: bool) -> Result<()> {
        let inside = Tool::new("nsenter").args([
            "--target", process, "--net", "ip", "-json", "link", "show", "dev", "eth0",
        ]);
        let inside: Value = serde_json::from_str(&inside.run()?)?;
        let number = &inside[0]["link_index"];
        let links: Value = serde_json::from_str(&Tool::new("ip").args(["-json", "link", "show"]).run()?)?;
        let links = links.as_array().into_iter().flatten();
        let port = links.clone().find(|link| &link["ifindex"] == number);
        let port = port
            .and_then(|link| link["ifname"].as_str())
            .context("the container has no port")?;
        let set = Tool::new("ip").args(["link", "set", "dev", port]);
        let set = match connected {
            true => set.args(["master", &self.bridge]),
            false => set.arg("nomaster"),
        };
        set.run().map(drop)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _gone = Tool::new("podman")
            .args(["network", "rm", "--force", &self.name])
            .end();
    }
}
