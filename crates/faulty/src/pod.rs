//! Starts a pod as kubelet would: through containerd's container runtime interface, with the image that the node has.
//!
//! The few messages that it takes are written out here; their numbers are those of the interface's `runtime.v1`
//! (k8s.io/cri-api). The pod uses the machine's own network, so no network plugin is asked.

use anyhow::{Context as _, Result, ensure};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

const SOCKET: &str = "/run/containerd/containerd.sock";
/// The namespace of the machine itself, among the modes that a pod's namespaces can have.
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

/// Starts a pod, and leaves it running.
pub fn start() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let id = runtime.block_on(run())?;
    println!("pod {id} is ready");
    Ok(())
}

async fn run() -> Result<String> {
    let channel = containerd_client::connect(SOCKET)
        .await
        .with_context(|| format!("cannot connect to {SOCKET}"))?;
    let mut client = Grpc::new(channel);
    // A new name each time: one that failed may have left something behind.
    let uid = std::process::id().to_string();
    let request = RunRequest {
        config: Some(Config {
            metadata: Some(Metadata {
                name: "proof".to_owned(),
                uid,
                namespace: "default".to_owned(),
            }),
            linux: Some(Linux {
                security: Some(Security {
                    namespaces: Some(Namespaces { network: OF_THE_NODE }),
                }),
            }),
        }),
    };
    let pod: Pod = ask(&mut client, "RunPodSandbox", request).await?;
    let answer: StatusAnswer = ask(&mut client, "PodSandboxStatus", pod.clone()).await?;
    let status = answer.status.context("containerd knows nothing of the new pod")?;
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
    client.ready().await.context("containerd takes no requests")?;
    let path = PathAndQuery::try_from(format!("/runtime.v1.RuntimeService/{method}"))?;
    let codec = ProstCodec::<Question, Answer>::default();
    let answer = client.unary(Request::new(question), path, codec).await;
    Ok(answer
        .with_context(|| format!("containerd refuses {method}"))?
        .into_inner())
}
