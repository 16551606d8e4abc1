//! Starts a pod as kubelet would: through containerd's container runtime interface, with the image that the node has.
//!
//! The few messages that it needs are written out here; their numbers are those of the interface's `runtime.v1`
//! (k8s.io/cri-api). The pod uses the machine's own network, so no network plugin is asked.

use anyhow::{Context as _, Result, ensure};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

use crate::bounds;

/// The first process of pods, and the only image that a node includes.
const IMAGE: &str = "localhost/bedplate/pause:0.1";
const SOCKET: &str = "/run/containerd/containerd.sock";
/// The namespace of the machine itself, among the modes of a pod's namespaces.
const OF_THE_NODE: i32 = 2;
const READY: i32 = 0;

#[derive(Clone, PartialEq, Message)]
struct RunRequest {
    #[prost(message, optional, tag = "1")]
    config: Option<Config>,
}

#[derive(Clone, PartialEq, Message)]
struct Config {
    #[prost(message, optional, tag = "1")]
    metadata: Option<Metadata>,
    #[prost(message, optional, tag = "8")]
    linux: Option<Linux>,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Clone, PartialEq, Message)]
struct Linux {
    #[prost(message, optional, tag = "2")]
    security: Option<Security>,
}

#[derive(Clone, PartialEq, Message)]
struct Security {
    #[prost(message, optional, tag = "1")]
    namespaces: Option<Namespaces>,
    #[prost(bool, tag = "6")]
    privileged: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Namespaces {
    #[prost(int32, tag = "1")]
    network: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Pod {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct StatusAnswer {
    #[prost(message, optional, tag = "1")]
    status: Option<PodStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct PodStatus {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(int32, tag = "3")]
    state: i32,
    #[prost(int64, tag = "4")]
    created_at: i64,
}

#[derive(Clone, PartialEq, Message)]
struct CreateRequest {
    #[prost(string, tag = "1")]
    pod: String,
    #[prost(message, optional, tag = "2")]
    container: Option<ContainerConfig>,
    #[prost(message, optional, tag = "3")]
    config: Option<Config>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<Named>,
    #[prost(message, optional, tag = "2")]
    image: Option<Named>,
    #[prost(message, optional, tag = "15")]
    linux: Option<ContainerLinux>,
}

/// `ContainerMetadata` and `ImageSpec`, as far as they are used.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerLinux {
    #[prost(message, optional, tag = "2")]
    security: Option<ContainerSecurity>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerSecurity {
    #[prost(bool, tag = "2")]
    privileged: bool,
    #[prost(message, optional, tag = "3")]
    namespaces: Option<Namespaces>,
}

/// The ID of a container, in `CreateContainerResponse` and `StartContainerRequest`.
#[derive(Clone, PartialEq, Message)]
struct Container {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

/// Starts a pod, and then one with a privileged container. Leaves both running.
pub fn start() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let id = runtime.block_on(run())?;
    Ok(stdio::line(format_args!("pod {id} is ready"))?)
}

async fn run() -> Result<String> {
    let channel = containerd_client::connect(SOCKET)
        .await
        .with_context(|| format!("cannot connect to {SOCKET}"))?;
    let mut client = Grpc::new(channel);
    let id = sandbox(&mut client, config("proof", false)).await?;
    privileged(&mut client).await?;
    Ok(id)
}

fn config(name: &str, privileged: bool) -> Config {
    // A new name each time: one that failed may have left something behind.
    let uid = std::process::id().to_string();
    Config {
        metadata: Some(Metadata {
            name: name.to_owned(),
            uid,
            namespace: "default".to_owned(),
        }),
        linux: Some(Linux {
            security: Some(Security {
                namespaces: Some(Namespaces { network: OF_THE_NODE }),
                privileged,
            }),
        }),
    }
}

/// Starts a pod that may have privileged containers, and one container in it: the pause image.
async fn privileged(client: &mut Grpc<Channel>) -> Result<()> {
    let config = config("privileged", true);
    let pod = sandbox(client, config.clone()).await?;
    let named = |name: &str| {
        Some(Named {
            name: name.to_owned(),
        })
    };
    let request = CreateRequest {
        pod,
        container: Some(ContainerConfig {
            metadata: named("root"),
            image: named(IMAGE),
            linux: Some(ContainerLinux {
                security: Some(ContainerSecurity {
                    privileged: true,
                    namespaces: Some(Namespaces { network: OF_THE_NODE }),
                }),
            }),
        }),
        config: Some(config),
    };
    let container: Container = ask(client, "CreateContainer", request).await?;
    let _started: Nothing = ask(client, "StartContainer", container).await?;
    Ok(stdio::line(bounds::of_the_most_privileged()?)?)
}

async fn sandbox(client: &mut Grpc<Channel>, config: Config) -> Result<String> {
    let request = RunRequest { config: Some(config) };
    let pod: Pod = ask(client, "RunPodSandbox", request).await?;
    let answer: StatusAnswer = ask(client, "PodSandboxStatus", pod.clone()).await?;
    let status = answer.status.context("containerd does not know the new pod")?;
    ensure!(
        status.id == pod.id && status.state == READY && status.created_at > 0,
        "the new pod is not ready: {status:?}"
    );
    Ok(pod.id)
}

async fn ask<Question, Answer>(client: &mut Grpc<Channel>, method: &str, question: Question) -> Result<Answer>
where
    Question: Message + 'static,
    Answer: Message + Default + 'static,
{
    client
        .ready()
        .await
        .context("containerd does not accept requests")?;
    let path = PathAndQuery::try_from(format!("/runtime.v1.RuntimeService/{method}"))?;
    let codec = ProstCodec::<Question, Answer>::default();
    let answer = client.unary(Request::new(question), path, codec).await;
    Ok(answer
        .with_context(|| format!("containerd refuses {method}"))?
        .into_inner())
}
