//! Those who are not what they say are refused, and both sides are told why.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::thief;
use crate::scenarios::containers::{Lab, Member};
use crate::tools::Tool;

/// Until a node without a certificate says what it waits for.
const SAID: Duration = Duration::from_secs(180);
/// The host number of a node that is not of the cluster.
const STRANGER: u8 = 50;

/// Asks each control plane to begin the cluster again.
pub fn second_bootstrap(lab: &Lab) -> Result<()> {
    let mut said = String::new();
    for plane in lab.planes() {
        said = lab.on(plane, &["bootstrap"]).refuse()?;
        ensure!(said.contains("bootstrapped before"), "{}: {said}", plane.name);
    }
    lab.stage.shown(&format!(
        "a second bootstrap is refused everywhere: {}",
        said.trim()
    ));
    Ok(())
}

/// Starts a worker with a wrong token.
pub fn wrong_token(lab: &Lab) -> Result<()> {
    let stranger = Stranger::start(lab)?;
    let said = lab.until_some(SAID, || {
        let said = stranger.join_status()?;
        ensure!(said.contains("the token is wrong"), "it says {said}");
        Ok(said)
    })?;
    ensure!(
        said.contains("machine.token"),
        "it does not say what to do: {said}"
    );
    let told = format!(
        "a node at {} asked to join with a wrong token",
        stranger.member.address
    );
    told_by_some_plane(lab, &told)?;
    lab.stage.shown(&format!(
        "a wrong token is refused, and both sides are told: {told}"
    ));
    Ok(())
}

/// Asks with a worker's certificate for those of another node.
pub fn stolen_certificate(lab: &Lab) -> Result<()> {
    let worker = lab.worker()?;
    for victim in ["control-plane-1", "worker-2"] {
        let expected = format!("renews nothing for node {victim}");
        for plane in lab.planes() {
            let said = thief::ask_as(lab, plane, worker, victim)?;
            ensure!(said.contains(&expected), "{} says: {said}", plane.name);
        }
        told_by_some_plane(lab, &expected)?;
    }
    let own = thief::ask_as(lab, lab.planes().next().context("one")?, worker, &worker.name)?;
    ensure!(
        !own.contains("renews nothing"),
        "the thief is not refused for the name: {own}"
    );
    lab.stage.shown(&format!(
        "a stolen certificate of {} gives nobody another node's name, and both sides are told",
        worker.name
    ));
    Ok(())
}

/// Checks that the events of a control plane have a text.
fn told_by_some_plane(lab: &Lab, text: &str) -> Result<()> {
    let mut all = String::new();
    for plane in lab.planes() {
        let events = lab.on(plane, &["events"]).run()?;
        if events.contains(text) {
            return Ok(());
        }
        all += &events;
    }
    anyhow::bail!("no control plane has an event {text:?}:\n{all}")
}

/// A worker that has another token than the cluster, until the value is dropped.
struct Stranger<'a> {
    lab: &'a Lab<'a>,
    member: Member,
}

impl<'a> Stranger<'a> {
    fn start(lab: &'a Lab) -> Result<Stranger<'a>> {
        let stranger = Stranger {
            lab,
            member: lab.member("stranger", false, STRANGER),
        };
        lab.make_with(&stranger.member, &stranger.config()?)?;
        Ok(stranger)
    }

    /// Writes a worker's config with another token.
    fn config(&self) -> Result<PathBuf> {
        let text = fs::read_to_string(self.lab.config(&self.member))?;
        let changed: Vec<String> = text
            .lines()
            .map(|line| match line.trim_start().strip_prefix("token: ") {
                Some(token) => line.replace(token, &token.chars().rev().collect::<String>()),
                None => line.to_owned(),
            })
            .collect();
        let changed = changed.join("\n") + "\n";
        ensure!(changed != text, "a worker's config has no token");
        let file = self.lab.configs.join("stranger.yaml");
        fs::write(&file, changed)?;
        Ok(file)
    }

    /// Asks what it waits for. Its certificate is its own: it is believed by the fingerprint on its console.
    fn join_status(&self) -> Result<String> {
        let console = Tool::new("podman").args(["logs", &self.member.container]).end()?;
        let console = console.stdout + &console.stderr;
        let fingerprint = console
            .lines()
            .rev()
            .find_map(|line| line.split_once("the API's certificate is "));
        let (_, fingerprint) = fingerprint.context("its console shows no fingerprint")?;
        self.lab
            .on(
                &self.member,
                &["get", "JoinStatus", "--fingerprint", fingerprint.trim()],
            )
            .args(["--output", "json"])
            .run()
    }
}

impl Drop for Stranger<'_> {
    fn drop(&mut self) {
        self.lab.keep_logs(&self.member);
        let _gone = self.lab.remove(&self.member);
    }
}
