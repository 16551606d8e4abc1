//! How pods reach the world: under the node's address. Pods and nodes of the cluster see who really speaks to them.

use std::path::PathBuf;
use std::process::Command;

use async_trait::async_trait;
use machine_config::value::IpPrefix;
use node::children::Children;
use state::ControllerError;
use sys::process::Exit;

use crate::conflist::BRIDGE;
use crate::controller::Rules;

/// The table that is ours alone.
const TABLE: &str = "table inet bedplate-pods";

/// Makes the rules for clusters whose pods have these networks, as a file for `nft`, which puts it in force as a whole. Pure.
pub(crate) fn ruleset(pods: &[IpPrefix]) -> String {
    // Adding it first makes the removal succeed where there is none.
    let mut text = format!("{TABLE}\ndelete {TABLE}\n");
    if pods.is_empty() {
        return text;
    }
    let rules: String = pods
        .iter()
        .map(|network| {
            let (family, multicast) = match network.address.is_ipv4() {
                true => ("ip", "224.0.0.0/4"),
                false => ("ip6", "ff00::/8"),
            };
            format!(
                "    {family} saddr {network} {family} daddr != {{ {network}, {multicast} }} oifname != \"{BRIDGE}\" masquerade\n"
            )
        })
        .collect();
    text += &format!(
        "{TABLE} {{\n  chain postrouting {{\n    type nat hook postrouting priority srcnat; policy accept;\n{rules}  }}\n}}\n"
    );
    text
}

/// Puts rules in force by the program `nft`.
pub struct Nft {
    children: Children,
    program: PathBuf,
    file: PathBuf,
}

impl Nft {
    /// Makes one that starts the program as one of these children, and writes the rules to a file for it.
    pub fn new(children: Children, program: PathBuf, file: PathBuf) -> Self {
        Self {
            children,
            program,
            file,
        }
    }
}

#[async_trait]
impl Rules for Nft {
    async fn apply(&self, rules: &str) -> Result<(), ControllerError> {
        let (program, file) = (self.program.display(), self.file.display());
        if let Some(folder) = self.file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&self.file, rules)?;
        let mut command = Command::new(&self.program);
        command.arg("-f").arg(&self.file);
        let output = self.children.run_to_end(command).await?;
        match output.exit {
            Exit::Code(0) => Ok(()),
            exit => Err(ControllerError::msg(format!(
                "{program} did not take the rules in {file} ({exit}): {}",
                output.text
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_leaves_the_cluster_is_masqueraded() {
        let pods = ["10.244.0.0/16", "fd01::/48"].map(|text| text.parse().unwrap());
        let text = ruleset(&pods);
        let rules: Vec<_> = text
            .lines()
            .filter(|line| line.contains("saddr"))
            .map(str::trim)
            .collect();
        assert_eq!(
            rules,
            [
                "ip saddr 10.244.0.0/16 ip daddr != { 10.244.0.0/16, 224.0.0.0/4 } oifname != \"cni0\" masquerade",
                "ip6 saddr fd01::/48 ip6 daddr != { fd01::/48, ff00::/8 } oifname != \"cni0\" masquerade",
            ]
        );
        assert!(!ruleset(&[]).contains("chain"));
    }
}
