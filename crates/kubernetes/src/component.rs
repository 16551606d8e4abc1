//! One program, ready to be started.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{Identity, Signer};

/// A component of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub enum Kind {
    /// The store of the cluster's state.
    #[serde(rename = "etcd")]
    Etcd,
    /// The API.
    #[serde(rename = "kube-apiserver")]
    ApiServer,
    /// The loops that make true what the API holds.
    #[serde(rename = "kube-controller-manager")]
    ControllerManager,
    /// Finds a node for each pod.
    #[serde(rename = "kube-scheduler")]
    Scheduler,
    /// Runs the pods of a node.
    #[serde(rename = "kubelet")]
    Kubelet,
    /// Forwards what goes to services.
    #[serde(rename = "kube-proxy")]
    Proxy,
}

impl Kind {
    /// Every component, in the order in which a node starts them.
    pub const ALL: [Self; 6] = [
        Self::Etcd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Kubelet,
        Self::Proxy,
    ];

    /// Returns the name of its program, and of its service.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::Proxy => "kube-proxy",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A program with everything that it needs to be started.
#[derive(Debug, Clone)]
pub struct Component {
    /// Which one.
    pub kind: Kind,
    /// Its program.
    pub program: PathBuf,
    /// Its arguments, without the program.
    pub arguments: Vec<String>,
    /// Files to be written before it starts.
    pub files: Vec<File>,
    /// Folders to be made before it starts, for their owner only.
    pub folders: Vec<PathBuf>,
    /// Certificates that must be there before it starts.
    pub identities: Vec<Identity>,
    /// Authorities whose certificates must be there.
    pub trusts: Vec<Signer>,
    /// Authorities whose private keys must be there.
    pub signs: Vec<Signer>,
    /// Set when both halves of the key for the tokens of service accounts must be there.
    pub signs_tokens: bool,
    /// Where to ask whether it is well.
    pub health: Health,
}

/// A file with settings.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// What stands in it.
    pub contents: Zeroizing<String>,
    /// Set when it holds a secret. All files are for their owner only; this one is not shown either.
    pub secret: bool,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let contents = if self.secret {
            "<redacted>"
        } else {
            self.contents.as_str()
        };
        f.debug_struct("File")
            .field("path", &self.path)
            .field("contents", &contents)
            .finish()
    }
}

impl File {
    /// Writes a document as YAML, for all to see.
    pub(crate) fn yaml(path: PathBuf, document: &serde_json::Value) -> Self {
        let contents =
            yaml::to_string(document).expect("maps, lists and texts can always be written as YAML");
        Self {
            path,
            contents: Zeroizing::new(contents),
            secret: false,
        }
    }

    /// Says that it holds a secret.
    pub(crate) fn secret(self) -> Self {
        Self { secret: true, ..self }
    }
}

/// Where a component says whether it is well: status 200 there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The URL, on the node itself.
    pub url: String,
    /// Who asks, where nobody else is answered.
    pub identity: Option<&'static str>,
    /// Who vouches for the answer, where it comes by TLS.
    pub trusts: Option<Signer>,
}
