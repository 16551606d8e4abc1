//! Asks a container runtime whether it could start a pod, as a kubelet would ask.
//!
//! Of the container runtime interface this takes one question, `Status`. Its messages are written out here; their
//! numbers are those of the interface's `runtime.v1` (k8s.io/cri-api).

use std::path::Path;

use containerd_client::Client;
use containerd_client::services::v1::{ListNamespacesRequest, PluginsRequest};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

const STATUS: &str = "/runtime.v1.RuntimeService/Status";
/// The condition without which no pod starts. The other one, `NetworkReady`, tells only that a plugin for the network of
/// pods is configured: that is the cluster's doing, and pods on the node's own network run before.
const RUNTIME: &str = "RuntimeReady";
/// The parts of containerd without which there are no pods; those that others wait for in vain come first.
const PARTS: &[(&str, &str)] = &[
    ("io.containerd.content.v1", "content"),
    ("io.containerd.snapshotter.v1", "overlayfs"),
    ("io.containerd.metadata.v1", "bolt"),
    ("io.containerd.grpc.v1", "cri"),
];

#[derive(Clone, PartialEq, Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<RuntimeStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct RuntimeStatus {
    #[prost(message, repeated, tag = "1")]
    conditions: Vec<Condition>,
}

#[derive(Clone, PartialEq, Message)]
struct Condition {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bool, tag = "2")]
    status: bool,
    #[prost(string, tag = "3")]
    reason: String,
    #[prost(string, tag = "4")]
    message: String,
}

/// Asks containerd at a socket whether it is ready for pods: its store opens, and its runtime says that it is ready.
///
/// # Errors
/// Returns what is wrong, in one sentence.
pub async fn ready(socket: &Path) -> Result<(), String> {
    let client = Client::from_path(socket)
        .await
        .map_err(|_| format!("cannot connect to {}", socket.display()))?;
    let namespaces = client.namespaces().list(ListNamespacesRequest::default()).await;
    let refused = match namespaces {
        Err(status) => refusal("its namespaces", &status),
        Ok(_) => match status(&client).await {
            Ok(status) => return judge(&status),
            Err(status) => refusal("its runtime's status", &status),
        },
    };
    Err(broken(&client).await.unwrap_or(refused))
}

async fn status(client: &Client) -> Result<RuntimeStatus, Status> {
    let mut grpc = Grpc::new(client.channel());
    grpc.ready()
        .await
        .map_err(|_| Status::unavailable("containerd takes no requests"))?;
    let codec = ProstCodec::<StatusRequest, StatusResponse>::default();
    let path = PathAndQuery::from_static(STATUS);
    let answer = grpc.unary(Request::new(StatusRequest {}), path, codec).await?;
    Ok(answer.into_inner().status.unwrap_or_default())
}

/// Decides whether a runtime with this status can start pods.
fn judge(status: &RuntimeStatus) -> Result<(), String> {
    let condition = status
        .conditions
        .iter()
        .find(|condition| condition.name == RUNTIME);
    match condition {
        Some(Condition { status: true, .. }) => Ok(()),
        Some(condition) => {
            let words = [condition.reason.as_str(), condition.message.as_str()];
            let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
            Err(format!("its runtime is not ready: {}", words.join(": ")))
        }
        None => Err(format!("its status has no condition {RUNTIME}")),
    }
}

/// Returns why containerd cannot run pods, when a part of it that they need did not load.
async fn broken(client: &Client) -> Option<String> {
    let answer = client.introspection().plugins(PluginsRequest::default()).await;
    let plugins = answer.ok()?.into_inner().plugins;
    PARTS.iter().find_map(|(kind, id)| {
        let part = plugins
            .iter()
            .find(|plugin| plugin.r#type == *kind && plugin.id == *id)?;
        let error = part.init_err.as_ref()?;
        Some(format!("its part {kind}.{id} did not load: {}", error.message))
    })
}

fn refusal(what: &str, status: &Status) -> String {
    format!("it does not tell {what}: {}", status.message())
}

#[cfg(test)]
mod tests {
    use super::super::testing::RealContainerd;
    use super::*;

    fn condition(name: &str, status: bool) -> Condition {
        Condition {
            name: name.into(),
            status,
            reason: "Broken".into(),
            message: "no store".into(),
        }
    }

    #[test]
    fn a_runtime_is_ready_by_its_own_word_with_or_without_a_network_for_pods() {
        let judge = |conditions: &[Condition]| {
            super::judge(&RuntimeStatus {
                conditions: conditions.to_vec(),
            })
        };
        let (ready, no_network) = (condition(RUNTIME, true), condition("NetworkReady", false));
        assert_eq!(judge(&[ready.clone(), no_network.clone()]), Ok(()));
        assert_eq!(judge(&[no_network.clone(), ready]), Ok(()));
        let not_ready = judge(&[condition(RUNTIME, false), no_network.clone()]);
        assert_eq!(
            not_ready.unwrap_err(),
            "its runtime is not ready: Broken: no store"
        );
        assert!(judge(&[no_network]).is_err());
        assert!(judge(&[]).is_err());
    }

    #[tokio::test]
    async fn the_real_one_is_ready_and_one_without_its_store_is_not() {
        let Some(mut real) = RealContainerd::new() else {
            return;
        };
        real.start();
        assert_eq!(real.ready().await, Ok(()));
        real.kill();
        assert!(
            ready(&real.socket())
                .await
                .unwrap_err()
                .starts_with("cannot connect to ")
        );
        // Both copies of the database's head are lost: containerd runs on, and opens its socket.
        std::fs::write(real.database(), [0x5a; 32 << 10]).unwrap();
        real.start();
        let error = real.until_it_listens().await.unwrap_err();
        let expected = "its part io.containerd.metadata.v1.bolt did not load: invalid database";
        assert_eq!(error, expected);
    }
}
