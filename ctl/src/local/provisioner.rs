//! What a provisioner of local clusters does.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::plan::Node;

/// Makes, observes and removes the nodes of local clusters.
///
/// Everything that it makes is marked with the cluster's name, so that it is found again without any record.
pub trait Provisioner {
    /// Checks that it can run nodes here.
    ///
    /// # Errors
    /// Says what is missing, and what to do about it.
    fn check(&self) -> anyhow::Result<()>;

    /// Returns the image that is used unless another is named.
    fn usual_image(&self) -> String;

    /// Loads an image from a file for a cluster, and returns its name.
    ///
    /// # Errors
    /// Fails when the file is no image.
    fn load(&self, cluster: &str, file: &Path) -> anyhow::Result<String>;

    /// Builds an image with a release of Kubernetes for a cluster, loads it, and returns its name.
    ///
    /// # Errors
    /// Fails when it cannot be built.
    fn build(&self, cluster: &str, kubernetes: &str, folder: &Path) -> anyhow::Result<String>;

    /// Checks that an image is there.
    ///
    /// # Errors
    /// Says how to get one.
    fn has(&self, image: &str) -> anyhow::Result<()>;

    /// Makes the network of a cluster, and returns its addresses, such as `10.89.0.0/24`. No two networks overlap.
    ///
    /// # Errors
    /// Fails when it cannot be made, also because it is there already.
    fn make_network(&self, cluster: &str) -> anyhow::Result<String>;

    /// Starts a node with the machine config of its role, and notes at the node where it is reached.
    ///
    /// # Errors
    /// Fails when it cannot be started.
    fn start(&self, cluster: &str, node: &mut Node, image: &str, config: &Path) -> anyhow::Result<()>;

    /// Returns how long healthy nodes are waited for, unless it is said.
    fn patience(&self) -> Duration;

    /// Returns the nodes of a cluster that there are, by name.
    ///
    /// # Errors
    /// Fails when they cannot be listed.
    fn observe(&self, cluster: &str) -> anyhow::Result<BTreeMap<String, State>>;

    /// Lists the clusters of which there is something.
    ///
    /// # Errors
    /// Fails when they cannot be listed.
    fn clusters(&self) -> anyhow::Result<Vec<String>>;

    /// Removes everything of a cluster, and returns what that was. What is gone already is no error.
    ///
    /// # Errors
    /// Names what could not be removed.
    fn destroy(&self, cluster: &str) -> anyhow::Result<Vec<String>>;
}

/// The state of a node, as its provisioner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Set while it runs.
    pub running: bool,
    /// Set when it does not start again by itself.
    pub ended: bool,
    /// The provisioner's own word for it.
    pub word: String,
}
