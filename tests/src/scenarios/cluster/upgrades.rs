//! Upgrades of a node with Kubernetes: its pods come back, and a release whose kubelet does not work is abandoned.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::image::Image;
use super::kubectl::Kubectl;
use super::{NODE, READY, answers};
use crate::node::Node;
use crate::scenario::Stage;
use crate::scenarios::upgrade::runs;

/// Fetching, writing, restarting, and a control plane that starts: all of it emulated.
const UPGRADED: Duration = Duration::from_secs(900);
/// Until the trial of a release that never gets healthy is over, and the one before has started.
const ABANDONED: Duration = Duration::from_secs(1500);

/// Upgrades a node to a release that works, and to one that does not.
pub fn run(stage: &Stage, node: &Node, kubectl: &Kubectl, first: &Path) -> Result<()> {
    let second = Image::good(stage)?.build(stage, "0.2.0")?;
    let broken = Image::broken(stage)?.build(stage, "0.3.0")?;
    let server = stage.serve("bundles", &[first, &second, &broken])?;

    let upgrade = |bundle: &Path| node.command(&["upgrade", "--wait", "--url", &server.url(bundle)]);
    upgrade(&second).within(UPGRADED).run()?;
    runs(node, "b", "0.2.0", "committed")?;
    kubectl.ready(NODE, READY)?;
    answers(stage, kubectl)?;
    stage.shown("upgraded: the pods came back");

    let said = upgrade(&broken).within(ABANDONED).refuse()?;
    runs(node, "b", "0.2.0", "committed")?;
    kubectl.ready(NODE, READY)?;
    answers(stage, kubectl)?;
    let last = said.lines().last().unwrap_or_default();
    stage.shown(&format!(
        "a release whose kubelet does not start is abandoned, and the cluster is back: {last}"
    ));
    Ok(())
}
