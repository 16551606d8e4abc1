//! A workload that fills DATA, with which the node must cope.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::registry::Registry;
use super::{apply, apply_with, healthy, of, stage_of};
use crate::node::Node;
use crate::scenario::Stage;

/// Room is looked at once a minute.
const TOLD: Duration = Duration::from_secs(240);

/// Returns the workload that fills or frees DATA; nothing if it is neither.
pub(super) fn workload(image: &str, does: Option<&str>) -> String {
    let Some(does) = does else {
        return String::new();
    };
    format!(
        "  - name: filler
    image: {{bundled: \"{image}\"}}
    args: [{does}]
    mounts: [{{volume: filler, target: /data}}]
"
    )
}

/// Fills DATA, sees the node say so and refuse a pull, and frees it again. The workloads run on.
pub(super) fn run(stage: &Stage, node: &Node, registry: &Registry) -> Result<()> {
    apply_with(stage, node, registry, "1", Some("fill"))?;
    node.until(&["status"], TOLD, |status| {
        status["phase"] == "running" && status.to_string().contains("DATA is full")
    })?;
    let refused = node.refused(&["images", "pull", "registry.test/tester:4"])?;
    ensure!(
        refused.contains("DATA is full") && refused.contains("bedplate images remove"),
        "{refused}"
    );
    // A config is kept on another volume, and what is there already can be run.
    apply_with(stage, node, registry, "4", Some("fill"))?;
    let one = stage_of(node, "pulled", "fetching", |one| {
        one["runningImage"] == "registry.test/tester:1" && one["problem"].to_string().contains("DATA is full")
    })?;
    for name in ["bundled", "published", "imported"] {
        of(node, name, healthy)?;
    }
    apply_with(stage, node, registry, "1", Some("free"))?;
    node.until(&["status"], TOLD, |status| {
        !status.to_string().contains("DATA is full")
    })?;
    apply(stage, node, registry, "1")?;
    stage_of(node, "pulled", "committed", healthy)?;
    stage.shown(&format!(
        "with DATA full the workloads run on, the node says so, and no image is pulled: {}",
        one["problem"]
    ));
    Ok(())
}
