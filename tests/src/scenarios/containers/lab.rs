//! A cluster of containers with several control planes, behind a virtual address.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::network::Network;
use super::{Image, host};
use crate::host_parameters::HostParameters;
use crate::kubernetes_programs as programs;
use crate::pace;
use crate::scenario::Stage;
use crate::scenarios::cluster::kubectl::Kubectl;
use crate::tools::{self, Tool};

/// The host number of the first node.
const FIRST: u8 = 10;
/// The host number of the virtual address.
const VIRTUAL: u8 = 100;
/// How often something is looked at that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Where machined looks for its config.
const CONFIG: &str = "/config/machine.yaml";
/// How many lines of a service's log are kept.
const LINES: &str = "400";
/// Services whose logs are kept.
const SERVICES: [&str; 4] = ["machined", "etcd", "kube-apiserver", "kubelet"];

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Set when it is a control plane.
    pub control_plane: bool,
    /// Its address.
    pub address: Ipv4Addr,
    /// The name of its container.
    pub container: String,
}

/// A cluster. Everything of it is removed when the value is dropped; logs of its nodes stay in the scenario's folder.
pub struct Lab<'a> {
    /// The scenario.
    pub stage: &'a Stage<'a>,
    /// Control planes first.
    pub members: Vec<Member>,
    /// The address that one of the control planes has.
    pub virtual_address: Ipv4Addr,
    /// The folder of the generated configs.
    pub configs: PathBuf,
    pub(super) network: Network,
    image: Image,
    _parameters: HostParameters,
}

impl<'a> Lab<'a> {
    /// Prepares everything, and starts no node.
    pub fn new(stage: &'a Stage<'a>, planes: usize, workers: usize) -> Result<Lab<'a>> {
        let prefix = format!("e2e-{}", std::process::id());
        let parameters = HostParameters::keep()?;
        let network = Network::make(&prefix)?;
        let image = Image::build(stage)?;
        let mut lab = Lab {
            stage,
            members: Vec::new(),
            virtual_address: network.address(VIRTUAL),
            configs: stage.folder.join("config"),
            network,
            image,
            _parameters: parameters,
        };
        let names = (1..=planes).map(|number| (format!("control-plane-{number}"), true));
        let names = names.chain((1..=workers).map(|number| (format!("worker-{number}"), false)));
        lab.members = names
            .zip(FIRST..)
            .map(|((name, control_plane), host)| lab.member(&name, control_plane, host))
            .collect();
        lab.generate()?;
        Ok(lab)
    }

    /// Names a node, and what belongs to it.
    pub fn member(&self, name: &str, control_plane: bool, host: u8) -> Member {
        Member {
            container: format!("{}-{name}", self.network.name),
            address: self.network.address(host),
            name: name.to_owned(),
            control_plane,
        }
    }

    /// Generates the configs of the nodes, and the client's.
    fn generate(&self) -> Result<()> {
        self.generate_with(&[])
    }

    /// Generates the configs of later nodes from other secrets.
    pub fn generate_from(&self, secrets: &Path) -> Result<()> {
        let secrets = secrets.to_str().context("the folder's name is no text")?;
        self.generate_with(&["--output-types", "controlplane,worker", "--with-secrets", secrets])
    }

    fn generate_with(&self, options: &[&str]) -> Result<()> {
        let endpoint = format!("https://{}:6443", self.virtual_address);
        let make = Tool::ours("bedplate").args(["gen", "config", "e2e-ha", &endpoint, "--force"]);
        make.args(options).arg("--folder").arg(&self.configs).run()?;
        let file = self.configs.join("controlplane.yaml");
        let text = fs::read_to_string(&file)?;
        let virtual_address = format!("\ncluster:\n  virtualIP: {}\n", self.virtual_address);
        Ok(fs::write(
            file,
            text.replacen("\ncluster:\n", &virtual_address, 1),
        )?)
    }

    /// Returns the control planes.
    pub fn planes(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.control_plane)
    }

    /// Returns the first worker.
    pub fn worker(&self) -> Result<&Member> {
        let mut workers = self.members.iter().filter(|member| !member.control_plane);
        workers.next().context("the cluster has no worker")
    }

    /// Returns the machine config of a member.
    pub fn config(&self, member: &Member) -> PathBuf {
        let file = match member.control_plane {
            true => "controlplane.yaml",
            false => "worker.yaml",
        };
        self.configs.join(file)
    }

    /// Makes a node with fresh disks, and starts it.
    pub fn make(&self, member: &Member) -> Result<()> {
        self.make_with(member, &self.config(member))
    }

    /// Makes a node with fresh disks and this machine config, and starts it.
    pub fn make_with(&self, member: &Member, config: &Path) -> Result<()> {
        let own = &member.container;
        let mut run = host::run()?.args(["--name", own, "--hostname", &member.name]);
        run = run.args([
            "--network",
            &self.network.name,
            "--ip",
            &member.address.to_string(),
        ]);
        run = run.args(["--tmpfs", "/run"]);
        run = run.args(["--volume", &format!("{own}-data:/var:exec,suid,dev")]);
        run = run.args(["--volume", &format!("{own}-state:/var/lib/bedplate")]);
        run = run.args(["--volume", &format!("{}:{CONFIG}:ro", config.display())]);
        run.arg(&self.image.name).run().map(drop)
    }

    /// Returns the CLI with the access of the cluster's owner.
    pub fn bedplate(&self) -> Tool {
        Tool::new("env")
            .arg(format!(
                "BEDPLATE_CONFIG={}",
                self.configs.join("client.yaml").display()
            ))
            .arg(tools::programs().join("bedplate"))
            .within(Duration::from_secs(60))
    }

    /// Makes a command that asks a member.
    pub fn on(&self, member: &Member, words: &[&str]) -> Tool {
        self.bedplate()
            .args(["--nodes", &member.address.to_string()])
            .args(words)
    }

    /// Makes a command that asks all members.
    pub fn on_all(&self, words: &[&str]) -> Tool {
        let addresses = self.members.iter().map(|member| member.address.to_string());
        let addresses = addresses.collect::<Vec<_>>().join(",");
        self.bedplate().args(["--nodes", &addresses]).args(words)
    }

    /// Asks a member, and reads the answer as JSON.
    pub fn ask(&self, member: &Member, words: &[&str]) -> Result<Value> {
        let printed = self.on(member, words).args(["--output", "json"]).run()?;
        serde_json::from_str(&printed)
            .with_context(|| format!("`bedplate {}` printed {printed}", words.join(" ")))
    }

    /// Waits until something holds, and returns how long that took. The error says why it did not.
    pub fn until(&self, limit: Duration, holds: impl FnMut() -> Result<()>) -> Result<Duration> {
        let begun = Instant::now();
        self.until_some(limit, holds)?;
        Ok(begun.elapsed())
    }

    /// Waits until something is there. The error says why it is not.
    pub fn until_some<T>(&self, limit: Duration, mut find: impl FnMut() -> Result<T>) -> Result<T> {
        let begun = Instant::now();
        let end = begun + pace::stretch(limit);
        loop {
            match find() {
                Ok(found) => return Ok(found),
                Err(error) if Instant::now() > end => {
                    return Err(error.context(format!("not after {} s", begun.elapsed().as_secs())));
                }
                Err(_) => thread::sleep(LOOK_EVERY),
            }
        }
    }

    /// Checks that a member is healthy: as Kubernetes sees it, too.
    pub fn is_healthy(&self, member: &Member) -> Result<()> {
        let status = self.ask(member, &["status"])?;
        let waits_for = status["kubernetes"]["waitsFor"].as_str().unwrap_or_default();
        if status["health"]["state"] != "healthy" || !waits_for.is_empty() {
            let reasons = &status["health"]["reasons"];
            bail!("{}: {reasons} {waits_for}", member.name);
        }
        Ok(())
    }

    /// Lists the members of etcd that vote and answer, by name and number, as a control plane says.
    pub fn voters(&self, asked: &Member) -> Result<Vec<(String, String)>> {
        let answer = self.ask(asked, &["etcd", "members"])?;
        let members = answer["members"].as_array().context("there are members")?;
        let mut voters = Vec::new();
        for member in members {
            let text = |key: &str| member[key].as_str().unwrap_or_default().to_owned();
            if member["learner"] != false || member["healthy"] != true {
                bail!("{} says of etcd: {member}", asked.name);
            }
            voters.push((text("name"), text("id")));
        }
        Ok(voters)
    }

    /// Checks that all members are healthy, and all control planes vote.
    pub fn whole(&self) -> Result<()> {
        self.members
            .iter()
            .try_for_each(|member| self.is_healthy(member))?;
        for plane in self.planes() {
            let voters = self.voters(plane)?.len();
            if voters != self.planes().count() {
                bail!("{} lists {voters} members of etcd", plane.name);
            }
        }
        Ok(())
    }

    /// Gets access to Kubernetes, by the virtual address.
    pub fn kubectl(&self, asked: &Member) -> Result<Kubectl> {
        let kubeconfig = self.stage.folder.join("kubeconfig");
        let words = ["kubeconfig", "--merge=false", "--force"];
        self.on(asked, &words).arg(&kubeconfig).run()?;
        Ok(Kubectl {
            program: programs::unpack(&self.stage.folder)?.join("kubectl"),
            kubeconfig,
            server: format!("https://{}:6443", self.virtual_address),
        })
    }

    /// Keeps the logs of a container that is about to go.
    pub fn keep_logs(&self, member: &Member) {
        let folder = self.stage.folder.join("logs");
        let _may_be_there = fs::create_dir_all(&folder);
        if let Ok(ended) = Tool::new("podman").args(["logs", &member.container]).end() {
            let text = ended.stdout + &ended.stderr;
            let _best_effort = fs::write(folder.join(format!("{}.console", member.name)), text);
        }
        for service in SERVICES {
            let words = ["--timeout", "5s", "logs", service, "--tail", LINES];
            if let Ok(ended) = self.on(member, &words).within(Duration::from_secs(10)).end()
                && ended.success
            {
                let name = format!("{}.{service}", member.name);
                let _best_effort = fs::write(folder.join(name), ended.stdout);
            }
        }
    }
}

impl Drop for Lab<'_> {
    fn drop(&mut self) {
        for member in &self.members {
            let _resumed = self.resume(member);
            self.keep_logs(member);
        }
        for member in &self.members {
            let _gone = self.remove(member);
        }
    }
}
