//! Requests to the API server, by a client that is not ours.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Lab, Member};
use crate::scenarios::cluster::kubectl::Kubectl;
use crate::tools::Tool;

/// How long one request may take, in seconds.
const ANSWER: &str = "2";
/// The name that every API server proves.
const NAME: &str = "kubernetes.default.svc";
/// The port of the balancer, on each node.
const BALANCER: u16 = 7445;
/// What is asked for: an object that only a quorum of etcd can give.
const OBJECT: &str = "api/v1/namespaces/default";

/// What a client of the API server shows, and whom it trusts: files that curl reads.
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    /// Takes them out of a kubeconfig.
    pub fn of(folder: &Path, kubectl: &Kubectl) -> Result<Files> {
        let folder = folder.join("access");
        fs::create_dir_all(&folder)?;
        for (file, path) in [
            ("ca.crt", "clusters[0].cluster.certificate-authority-data"),
            ("client.crt", "users[0].user.client-certificate-data"),
            ("client.key", "users[0].user.client-key-data"),
        ] {
            let path = format!("jsonpath={{.{path}}}");
            let encoded = kubectl.command(&["config", "view", "--raw", "-o", &path]).run()?;
            fs::write(folder.join("encoded"), encoded)?;
            let decoded = Tool::new("base64").arg("-d").arg(folder.join("encoded")).run()?;
            fs::write(folder.join(file), decoded)?;
        }
        Ok(Files { folder })
    }

    fn curl(&self, tool: Tool) -> Tool {
        let curl = tool.args(["curl", "--silent", "--show-error", "--fail", "--max-time", ANSWER]);
        let curl = curl.arg("--cacert").arg(self.folder.join("ca.crt"));
        let curl = curl.arg("--cert").arg(self.folder.join("client.crt"));
        curl.arg("--key").arg(self.folder.join("client.key"))
    }

    /// Returns a request by the virtual address.
    pub fn by_address(&self, lab: &Lab) -> Tool {
        let url = format!("https://{}:6443/{OBJECT}", lab.virtual_address);
        self.curl(Tool::new("env")).arg(url)
    }

    /// Returns a request by the balancer of a node.
    pub fn by_balancer(&self, lab: &Lab, node: &Member) -> Result<Tool> {
        let enter = Tool::new("nsenter").args(["--target", &lab.process(node)?, "--net"]);
        let curl = self.curl(enter);
        let curl = curl.args(["--resolve", &format!("{NAME}:{BALANCER}:127.0.0.1")]);
        Ok(curl.arg(format!("https://{NAME}:{BALANCER}/{OBJECT}")))
    }
}
