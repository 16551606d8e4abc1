//! All authorities of the cluster are replaced, while clients ask; and once more, while nodes and the rotation are killed.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::scenarios::cluster::kubectl::Kubectl;
use crate::scenarios::containers::{Chance, Lab, Watch};
use crate::tools::Tool;

/// Restarting the components of all nodes, one after the other.
const ROTATION: Duration = Duration::from_secs(30 * 60);
const WHOLE: Duration = Duration::from_secs(420);
/// How long pods have to learn of the new authority: there are none here.
const SETTLE: &str = "10s";

/// An object that only a quorum of etcd can give.
const OBJECT: &str = "/api/v1/namespaces/default";

/// Rotates twice, and makes later nodes from the new secrets.
pub fn authorities(lab: &Lab, chance: &mut Chance) -> Result<()> {
    lab.until(WHOLE, || lab.whole())?;
    undisturbed(lab)?;
    let secrets = killed(lab, chance)?;
    lab.until(WHOLE, || lab.whole())
        .context("after the second rotation")?;
    lab.generate_from(&secrets)
}

/// Rotates while clients ask, of which no request may fail. Certificates of the former authorities are refused afterwards.
fn undisturbed(lab: &Lab) -> Result<()> {
    let rotation = Rotation::new(lab, "rotated.yaml")?;
    let former = Former::keep(lab, &rotation.kubectl)?;
    let watch = Watch::by_kubectl(lab, &rotation.kubectl, lab.worker()?)?;
    watch.begin();
    let begun = Instant::now();
    rotation.command().within(ROTATION).run()?;
    let took = begun.elapsed().as_secs();
    lab.until(WHOLE, || lab.whole()).context("after the rotation")?;
    let (told, failed) = (watch.told(), watch.failed());
    drop(watch);
    ensure!(
        failed.is_none(),
        "requests failed meanwhile: {}",
        failed.unwrap_or_default()
    );
    rotation.is_complete()?;
    let refused = former.is_refused(lab)?;
    lab.stage.shown(&format!(
        "all authorities were replaced in {took} s: longest without an answer {told}; the former client's file is refused: {}",
        refused.lines().next().unwrap_or_default()
    ));
    Ok(())
}

/// Kills the rotation at a random moment and a random node at another, and lets it go on. Returns the file of the new secrets.
fn killed(lab: &Lab, chance: &mut Chance) -> Result<PathBuf> {
    let rotation = Rotation::new(lab, "rotated-again.yaml")?;
    let victim = &lab.members[chance.below(lab.members.len())];
    let cut = chance.between(Duration::from_secs(5), Duration::from_secs(60));
    let after = chance.between(Duration::from_secs(3), Duration::from_secs(60));
    // A program that is late is killed.
    let was_cut = rotation.command().within(cut).run().is_err();
    let further = rotation.command().within(ROTATION);
    let further = thread::spawn(move || further.run());
    thread::sleep(after);
    let was_over = further.is_finished();
    lab.kill(victim)?;
    lab.start(victim)?;
    let outcome = further.join().ok().context("the rotation's thread failed")?;
    if let Err(error) = outcome {
        // Before its first step it says that a node is away, and changes nothing.
        lab.stage.shown(&format!("run once more, as it said: {error:#}"));
        lab.until(WHOLE, || lab.whole())?;
        rotation.command().within(ROTATION).run()?;
    }
    rotation.is_complete()?;
    let over = |was: bool| if was { " (it had ended)" } else { "" };
    lab.stage.shown(&format!(
        "a rotation that was killed after {} s{} was run again, {} lost its power {} s later{}, and it came to its end",
        cut.as_secs(),
        over(!was_cut),
        victim.name,
        after.as_secs(),
        over(was_over)
    ));
    Ok(rotation.secrets)
}

/// A rotation to new authorities, which are in a file.
struct Rotation<'a> {
    lab: &'a Lab<'a>,
    kubectl: Kubectl,
    secrets: PathBuf,
}

impl<'a> Rotation<'a> {
    fn new(lab: &'a Lab<'a>, secrets: &str) -> Result<Self> {
        let first = lab.planes().next().context("there are three")?;
        Ok(Self {
            lab,
            kubectl: lab.kubectl(first)?,
            secrets: lab.configs.join(secrets),
        })
    }

    fn command(&self) -> Tool {
        let rotate = self.lab.on_all(&["rotate-ca", "--yes", "--settle", SETTLE]);
        let rotate = rotate.arg("--secrets").arg(&self.secrets);
        rotate.arg("--kubeconfig").arg(&self.kubectl.kubeconfig)
    }

    fn is_complete(&self) -> Result<()> {
        let left = self.command().args(["--dry-run", "--output", "json"]).run()?;
        let left: Value = serde_json::from_str(&left)?;
        ensure!(left["complete"] == true, "steps are left: {left}");
        Ok(())
    }
}

/// The files of somebody whom nobody has told.
struct Former {
    client: PathBuf,
    kubectl: Kubectl,
}

impl Former {
    fn keep(lab: &Lab, kubectl: &Kubectl) -> Result<Self> {
        let [client, kubeconfig] = ["former.yaml", "former-kubeconfig"].map(|name| lab.configs.join(name));
        fs::copy(lab.configs.join("client.yaml"), &client)?;
        fs::copy(&kubectl.kubeconfig, &kubeconfig)?;
        Ok(Self {
            client,
            kubectl: Kubectl {
                program: kubectl.program.clone(),
                kubeconfig,
                server: kubectl.server.clone(),
            },
        })
    }

    /// Checks that every node and every API server refuses them, and returns what a node says.
    fn is_refused(&self, lab: &Lab) -> Result<String> {
        let mut said = String::new();
        for member in &lab.members {
            let asked = lab.on(member, &["status", "--config"]).arg(&self.client);
            said = asked
                .refuse()
                .with_context(|| format!("{} accepts the former CA", member.name))?;
        }
        for plane in lab.planes() {
            let server = format!("https://{}:6443", plane.address);
            // Nobody verifies the server: what counts is that it refuses.
            let words = [
                "--server",
                &server,
                "--insecure-skip-tls-verify=true",
                "get",
                "--raw",
                OBJECT,
            ];
            let told = self.kubectl.command(&words).refuse()?;
            ensure!(
                told.contains("You must be logged in"),
                "{} says of the former CA of Kubernetes: {told}",
                plane.name
            );
        }
        Ok(said)
    }
}
