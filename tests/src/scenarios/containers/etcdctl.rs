//! etcd, by its own client.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Lab, Member};
use crate::tools::Tool;

/// The port of etcd's clients.
const PORT: u16 = 2379;
/// How long etcd may take for a write, in its client's words.
const ANSWER: &str = "5s";
/// Where a control plane keeps its API server's access to etcd.
const ACCESS: &str = "root/run/bedplate/services/kube-apiserver";

/// The client, with the access that an API server has.
#[derive(Clone)]
pub struct Etcdctl {
    folder: PathBuf,
}

impl Etcdctl {
    /// Takes the access of a control plane that runs.
    pub fn of(lab: &Lab, plane: &Member) -> Result<Etcdctl> {
        let from = PathBuf::from("/proc").join(lab.process(plane)?).join(ACCESS);
        let folder = lab.stage.folder.join("etcd-access");
        fs::create_dir_all(&folder)?;
        for file in ["etcd-ca.crt", "etcd-client.crt", "etcd-client.key"] {
            let from = from.join(file);
            fs::copy(&from, folder.join(file)).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        Ok(Etcdctl { folder })
    }

    /// Makes a command that asks one member.
    pub fn on(&self, plane: &Member) -> Tool {
        let client = Tool::new("env").args(["ETCDCTL_API=3", "etcdctl"]);
        let client = client.args(["--command-timeout", ANSWER, "--dial-timeout", "2s"]);
        let client = client.args(["--endpoints", &format!("https://{}:{PORT}", plane.address)]);
        let client = client.arg("--cacert").arg(self.folder.join("etcd-ca.crt"));
        let client = client.arg("--cert").arg(self.folder.join("etcd-client.crt"));
        let client = client.arg("--key").arg(self.folder.join("etcd-client.key"));
        client.within(Duration::from_secs(10))
    }

    /// Returns the revision that a quorum agrees on, as one member says.
    pub fn revision(&self, plane: &Member) -> Result<u64> {
        let asked = self.on(plane).args(["get", "none", "--write-out", "json"]);
        let answer: Value = serde_json::from_str(&asked.run()?)?;
        let revision = answer["header"]["revision"].as_u64();
        revision.context("an answer has a revision")
    }

    /// Returns the hash of everything that a member has at a revision.
    pub fn hash(&self, plane: &Member, revision: u64) -> Result<u64> {
        let asked = self
            .on(plane)
            .args(["endpoint", "hashkv", "--rev", &revision.to_string()]);
        let answer: Value = serde_json::from_str(&asked.args(["--write-out", "json"]).run()?)?;
        let hash = answer[0]["HashKV"]["hash"].as_u64();
        hash.with_context(|| format!("{} gives no hash: {answer}", plane.name))
    }
}
