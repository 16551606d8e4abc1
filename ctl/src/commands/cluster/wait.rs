//! Waits for the nodes of a new cluster, and begins it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use api::v1alpha1::etcd_service_client::EtcdServiceClient;
use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::{BootstrapRequest, HealthState, Phase, StatusRequest, StatusResponse};
use tokio::time::{Instant, sleep};
use tonic::{Code, Response};

use crate::address::Address;
use crate::commands::kubeconfig::Kubeconfig;
use crate::config::Context;
use crate::fan_out::{NodeResponse, call_all};
use crate::kubeconfig;
use crate::local::plan::Node;
use crate::local::provisioner::Provisioner;
use crate::local::record::Record;
use crate::session::Session;
use crate::ui::{self, Format};

/// The file with access to Kubernetes.
pub(super) const KUBECONFIG: &str = "kubeconfig";
/// The check of a node's place in the cluster: degraded until Kubernetes has it as Ready.
const CLUSTER: &str = "cluster";
/// How long a node has to answer, each time.
const ANSWER: Duration = Duration::from_secs(15);
/// How often nodes are asked.
const EVERY: Duration = Duration::from_secs(1);

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// A node has its config.
    Running,
    /// A node is healthy, and misses nothing for its part in the cluster.
    Healthy,
}

/// Waits for the nodes, begins the cluster on the first, and gets access to its Kubernetes.
pub(super) async fn until_ready(
    record: &Record,
    context: &Context,
    folder: &Path,
    patience: Duration,
    provisioner: &dyn Provisioner,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
    let mut progress = Progress::default();
    // Only the first: nobody vouches for a worker before the cluster has begun.
    progress
        .wait(
            &record.nodes[..1],
            context,
            record,
            Goal::Running,
            deadline,
            provisioner,
        )
        .await?;
    let first = session(&record.nodes[..1], context)?;
    while let Some(why) = begin(&first).await? {
        progress.say(&record.nodes[0], &why);
        anyhow::ensure!(
            Instant::now() < deadline,
            "cannot begin the cluster in time: {why}"
        );
        sleep(EVERY).await;
    }
    ui::note(&format!("{}: bootstrapping the cluster", record.nodes[0].name));
    progress
        .wait(
            &record.nodes,
            context,
            record,
            Goal::Healthy,
            deadline,
            provisioner,
        )
        .await?;
    let file = folder.join(KUBECONFIG);
    while !file.exists() {
        anyhow::ensure!(Instant::now() < deadline, "no access to Kubernetes in time");
        let access = Kubeconfig::of_cluster(file.clone(), record.name.clone(), record.nodes[0].kubernetes());
        access.run(session(&record.nodes[..1], context)?).await?;
        if !file.exists() {
            sleep(EVERY).await;
        }
    }
    Ok(())
}

/// Begins the cluster on a node. Returns why that cannot be done yet, if so: a node answers before its network in the cluster has
/// its address.
async fn begin(first: &Session) -> anyhow::Result<Option<String>> {
    let begun = call_all(first, |node| async {
        let begun = EtcdServiceClient::new(node.channel)
            .bootstrap(BootstrapRequest {})
            .await;
        match begun {
            Ok(answer) => Ok(answer.map(|_| None)),
            Err(status) if status.code() == Code::Unavailable => {
                Ok(Response::new(Some(status.message().to_owned())))
            }
            Err(status) => Err(status),
        }
    });
    let mut not_yet = None;
    for NodeResponse { result, .. } in begun.await {
        not_yet = result.map_err(|problem| anyhow::anyhow!("cannot begin the cluster: {problem}"))?;
    }
    Ok(not_yet)
}

/// Adds access to the cluster to the person's kubeconfig, and returns its path.
pub(super) async fn add_kubeconfig(record: &Record, context: &Context) -> anyhow::Result<PathBuf> {
    let path = kubeconfig::file::path(None)?;
    let session = session(&record.nodes[..1], context)?;
    Kubeconfig::adding(record.nodes[0].kubernetes())
        .run(session)
        .await?;
    Ok(path)
}

fn session(nodes: &[Node], context: &Context) -> anyhow::Result<Session> {
    let addresses = nodes.iter().map(|node| node.api().parse::<Address>());
    let addresses = addresses
        .collect::<Result<_, _>>()
        .context("a node's address is none")?;
    Ok(Session::of_context(
        context.clone(),
        addresses,
        ANSWER,
        Format::Table,
    ))
}

/// What was last said of each node.
#[derive(Default)]
struct Progress {
    said: BTreeMap<String, String>,
}

impl Progress {
    async fn wait(
        &mut self,
        nodes: &[Node],
        context: &Context,
        record: &Record,
        goal: Goal,
        deadline: Instant,
        provisioner: &dyn Provisioner,
    ) -> anyhow::Result<()> {
        let session = session(nodes, context)?;
        loop {
            let responses = call_all(&session, |node| async {
                let status = MachineServiceClient::new(node.channel)
                    .status(StatusRequest {})
                    .await?;
                Ok(Response::new(status.into_inner()))
            });
            let mut missing = Vec::new();
            for (node, response) in nodes.iter().zip(responses.await) {
                let (there, text) = match &response.result {
                    Ok(status) => judge(status, goal),
                    Err(problem) => (
                        false,
                        format!("does not answer yet: {}", first_line(&problem.to_string())),
                    ),
                };
                if there {
                    self.say(node, &text);
                } else {
                    missing.push((node, text));
                }
            }
            if missing.is_empty() {
                return Ok(());
            }
            let observed = provisioner.observe(&record.name)?;
            for (node, text) in &missing {
                match observed.get(&node.name) {
                    Some(state) if state.running => self.say(node, text),
                    // Not yet an end: a node may restart itself.
                    Some(state) if !state.ended => self.say(node, &format!("is {}", state.word)),
                    Some(state) => anyhow::bail!("{} is {}, and does not start again", node.name, state.word),
                    None => anyhow::bail!("{} is gone", node.name),
                }
            }
            if Instant::now() > deadline {
                let texts = missing
                    .iter()
                    .map(|(node, text)| format!("{}: {text}", node.name));
                anyhow::bail!(
                    "nodes were not ready in time: {}",
                    texts.collect::<Vec<_>>().join("; ")
                );
            }
            sleep(EVERY).await;
        }
    }

    /// Says what is new.
    fn say(&mut self, node: &Node, text: &str) {
        let said = self.said.entry(node.name.clone()).or_default();
        if *said != text {
            text.clone_into(said);
            ui::note(&format!("{}: {text}", node.name));
        }
    }
}

/// Decides whether a node is where it should be, and says where it is. Pure.
fn judge(status: &StatusResponse, goal: Goal) -> (bool, String) {
    if status.phase() != Phase::Running {
        return (false, "has no config yet".to_owned());
    }
    if goal == Goal::Running {
        return (true, "runs".to_owned());
    }
    if let Some(kubernetes) = &status.kubernetes
        && !kubernetes.waits_for.is_empty()
    {
        return (false, format!("waits: {}", kubernetes.waits_for));
    }
    let health = status.health.clone().unwrap_or_default();
    let serves = status
        .kubernetes
        .as_ref()
        .is_some_and(|kubernetes| !kubernetes.node.is_empty());
    let ready = !health.reasons.iter().any(|reason| reason.source == CLUSTER);
    match health.state() {
        HealthState::Healthy | HealthState::Degraded if serves && ready => (true, "healthy".to_owned()),
        _ => {
            let names = health
                .reasons
                .iter()
                .map(|reason| reason.text.split(" (").next().unwrap_or_default());
            let text = names.collect::<Vec<_>>().join(", ");
            (
                false,
                if text.is_empty() {
                    "is no member of the cluster yet".to_owned()
                } else {
                    text
                },
            )
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use api::v1alpha1::{Health, HealthReason, KubernetesStatus};

    use super::*;

    #[test]
    fn a_node_is_ready_when_it_is_a_healthy_member() {
        let mut status = StatusResponse::default();
        assert!(!judge(&status, Goal::Running).0);
        status.set_phase(Phase::Running);
        assert!(judge(&status, Goal::Running).0);
        assert!(!judge(&status, Goal::Healthy).0, "no member yet");
        let mut health = Health::default();
        health.set_state(HealthState::Healthy);
        status.health = Some(health.clone());
        status.kubernetes = Some(KubernetesStatus {
            node: "worker-1".into(),
            waits_for: "the bootstrap".into(),
            ..KubernetesStatus::default()
        });
        assert_eq!(
            judge(&status, Goal::Healthy),
            (false, "waits: the bootstrap".into())
        );
        status.kubernetes.as_mut().unwrap().waits_for.clear();
        assert_eq!(judge(&status, Goal::Healthy), (true, "healthy".into()));
        health.set_state(HealthState::Degraded);
        status.health = Some(health.clone());
        assert!(
            judge(&status, Goal::Healthy).0,
            "a slow disk is no reason to wait"
        );
        health.reasons.push(HealthReason {
            source: "cluster".into(),
            text: "not Ready: the network is not".into(),
            ..HealthReason::default()
        });
        status.health = Some(health.clone());
        assert!(
            !judge(&status, Goal::Healthy).0,
            "Kubernetes does not have it as Ready"
        );
        health.set_state(HealthState::Unhealthy);
        health.reasons.clear();
        health.reasons.push(HealthReason {
            text: "unhealthy: kubelet (runs, and is not healthy yet)".into(),
            ..HealthReason::default()
        });
        status.health = Some(health);
        assert_eq!(
            judge(&status, Goal::Healthy),
            (false, "unhealthy: kubelet".into())
        );
    }
}
