//! All authorities of the cluster are replaced, while a client asks.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::scenarios::containers::{Lab, Watch};
use crate::tools::{self, Tool};

/// Restarting the components of all nodes, one after the other.
const ROTATION: Duration = Duration::from_secs(30 * 60);
const WHOLE: Duration = Duration::from_secs(420);
/// How long pods have to learn of the new authority: there are none here.
const SETTLE: &str = "10s";

/// Rotates, and makes later nodes from the new secrets.
pub fn authorities(lab: &Lab) -> Result<()> {
    let first = lab.planes().next().context("there are three")?;
    let kubectl = lab.kubectl(first)?;
    let client = lab.configs.join("client.yaml");
    let former = lab.configs.join("former.yaml");
    fs::copy(&client, &former)?;
    let secrets = lab.configs.join("rotated.yaml");
    let watch = Watch::by_kubectl(lab, &kubectl, lab.worker()?)?;
    watch.begin();
    let begun = Instant::now();
    let rotate = lab.on_all(&["rotate-ca", "--yes", "--settle", SETTLE]);
    let rotate = rotate.arg("--secrets").arg(&secrets);
    let rotate = rotate.arg("--kubeconfig").arg(&kubectl.kubeconfig);
    rotate.within(ROTATION).run()?;
    let took = begun.elapsed().as_secs();
    lab.until(WHOLE, || lab.whole()).context("after the rotation")?;
    let (told, failed) = (watch.told(), watch.failed_by_balancer());
    drop(watch);
    ensure!(
        failed.is_none(),
        "requests failed meanwhile: {}",
        failed.unwrap_or_default()
    );

    let stranger = Tool::new("env").arg(format!("BEDPLATE_CONFIG={}", former.display()));
    let stranger = stranger.arg(tools::programs().join("bedplate"));
    let stranger = stranger.args(["--nodes", &first.address.to_string(), "status"]);
    let refused = stranger.refuse()?;
    lab.generate_from(&secrets)?;
    lab.stage.shown(&format!(
        "all authorities were replaced in {took} s: longest without an answer {told}; the former client's file is refused: {}",
        refused.lines().next().unwrap_or_default()
    ));
    Ok(())
}
