//! Lists the containers that containerd has, of every namespace.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use api::v1alpha1::{Container, ListContainersResponse};
use async_trait::async_trait;
use backend::{BackendError, Containers};
use containerd_client::Client;
use containerd_client::services::v1::{
    Container as Stored, ListContainersRequest, ListNamespacesRequest, ListTasksRequest,
};
use containerd_client::types::v1::{Process, Status as TaskState};
use tonic::metadata::MetadataValue;
use tonic::{Request, Status};

/// The most containers that are listed.
const MOST: usize = 4096;
/// The most namespaces that are asked: the node itself uses two.
const NAMESPACES: usize = 64;
/// How long containerd has to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The labels by which containers of the container runtime interface are known.
const KIND: &str = "io.cri-containerd.kind";
const POD: &str = "io.kubernetes.pod.name";
const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
const NAME: &str = "io.kubernetes.container.name";

/// The containers of the containerd at a socket.
#[derive(Debug, Clone)]
pub struct NodeContainers {
    socket: PathBuf,
}

impl NodeContainers {
    /// Asks the containerd at this socket, each time over a new connection.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    async fn ask(&self) -> Result<ListContainersResponse, BackendError> {
        let client = Client::from_path(&self.socket).await.map_err(|_| {
            BackendError::Unavailable(
                "containerd does not run; see `bedplate services` and `bedplate logs containerd`".to_owned(),
            )
        })?;
        all(&client).await.map_err(|status| {
            BackendError::Unavailable(format!(
                "containerd does not tell its containers: {}",
                status.message()
            ))
        })
    }
}

#[async_trait]
impl Containers for NodeContainers {
    async fn list(&self) -> Result<ListContainersResponse, BackendError> {
        let asked = tokio::time::timeout(PATIENCE, self.ask()).await;
        asked.unwrap_or_else(|_| {
            Err(BackendError::Unavailable(format!(
                "containerd did not answer within {}",
                quantity::human_time(PATIENCE)
            )))
        })
    }
}

async fn all(client: &Client) -> Result<ListContainersResponse, Status> {
    let namespaces = client.namespaces().list(ListNamespacesRequest::default()).await?;
    let mut response = ListContainersResponse::default();
    for namespace in namespaces.into_inner().namespaces.iter().take(NAMESPACES) {
        add(client, &namespace.name, &mut response).await?;
    }
    let key = |one: &Container| {
        (
            one.namespace.clone(),
            one.pod.clone(),
            !one.sandbox,
            one.name.clone(),
            one.id.clone(),
        )
    };
    response.containers.sort_by_cached_key(key);
    Ok(response)
}

async fn add(client: &Client, namespace: &str, response: &mut ListContainersResponse) -> Result<(), Status> {
    let tasks = client
        .tasks()
        .list(within(namespace, ListTasksRequest::default())?)
        .await?;
    let tasks = tasks.into_inner().tasks.into_iter();
    // containerd names the container in `id` here, and leaves `container_id` empty.
    let tasks: HashMap<String, Process> = tasks.map(|task| (task.id.clone(), task)).collect();
    // One by one: each comes with everything that it was started with.
    let request = within(namespace, ListContainersRequest::default())?;
    let mut stored = client.containers().list_stream(request).await?.into_inner();
    while let Some(message) = stored.message().await? {
        let Some(stored) = message.container else { continue };
        match response.containers.len() < MOST {
            true => {
                let task = tasks.get(&stored.id);
                response.containers.push(describe(namespace, stored, task));
            }
            false => response.omitted += 1,
        }
    }
    Ok(())
}

/// Says of a container what people ask for.
fn describe(namespace: &str, mut stored: Stored, task: Option<&Process>) -> Container {
    let mut label = |name: &str| stored.labels.remove(name).unwrap_or_default();
    let pod = match (label(POD_NAMESPACE), label(POD)) {
        (_, pod) if pod.is_empty() => String::new(),
        (namespace, pod) => format!("{namespace}/{pod}"),
    };
    let (name, sandbox) = (label(NAME), label(KIND) == "sandbox");
    let state = task.map_or(TaskState::Unknown, Process::status);
    let runs = matches!(
        state,
        TaskState::Created | TaskState::Running | TaskState::Paused | TaskState::Pausing
    );
    Container {
        namespace: namespace.to_owned(),
        id: stored.id,
        name,
        image: stored.image,
        state: state_word(state).to_owned(),
        pod,
        sandbox,
        pid: task.filter(|_| runs).map_or(0, |task| task.pid),
        memory_bytes: 0,
        exit_code: task.filter(|_| !runs).map_or(0, |task| task.exit_status),
    }
}

fn state_word(state: TaskState) -> &'static str {
    match state {
        TaskState::Created => "created",
        TaskState::Running => "running",
        TaskState::Stopped => "stopped",
        TaskState::Paused | TaskState::Pausing => "paused",
        TaskState::Unknown => "",
    }
}

fn within<T>(namespace: &str, body: T) -> Result<Request<T>, Status> {
    let mut request = Request::new(body);
    let namespace = MetadataValue::try_from(namespace)
        .map_err(|_| Status::internal(format!("{namespace:?} is no name of a namespace")))?;
    request.metadata_mut().insert("containerd-namespace", namespace);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::RealContainerd;

    #[test]
    fn a_container_of_a_pod_is_described_by_its_labels() {
        let labels = [
            (KIND, "container"),
            (POD, "web-1"),
            (POD_NAMESPACE, "shop"),
            (NAME, "nginx"),
        ];
        let labels: HashMap<String, String> = labels.map(|(key, value)| (key.into(), value.into())).into();
        let stored = Stored {
            id: "abc".into(),
            image: "registry/nginx:1".into(),
            labels,
            ..Stored::default()
        };
        let task = |status: TaskState| Process {
            id: "abc".into(),
            pid: 42,
            exit_status: 3,
            status: status.into(),
            ..Process::default()
        };
        let running = describe("k8s.io", stored.clone(), Some(&task(TaskState::Running)));
        assert_eq!(
            (
                running.pod.as_str(),
                running.name.as_str(),
                running.state.as_str()
            ),
            ("shop/web-1", "nginx", "running")
        );
        assert_eq!((running.pid, running.exit_code, running.sandbox), (42, 0, false));
        let stopped = describe("k8s.io", stored.clone(), Some(&task(TaskState::Stopped)));
        assert_eq!((stopped.pid, stopped.exit_code), (0, 3));
        let none = describe("k8s.io", stored, None);
        assert_eq!((none.pid, none.state.as_str()), (0, ""));
    }

    #[tokio::test]
    async fn without_containerd_the_way_out_is_told() {
        let error = NodeContainers::new("/nowhere/containerd.sock")
            .list()
            .await
            .unwrap_err();
        assert!(
            matches!(&error, BackendError::Unavailable(text) if text.contains("bedplate logs containerd"))
        );
    }

    #[tokio::test]
    async fn the_containers_of_the_real_one_are_listed() {
        let Some(mut real) = RealContainerd::new() else {
            return;
        };
        real.start();
        real.ready().await.unwrap();
        let containers = NodeContainers::new(real.socket());
        assert_eq!(
            containers.list().await.unwrap(),
            ListContainersResponse::default()
        );

        // A root file system of this machine's own programs, and a process of its own in it.
        let arguments = [
            "run",
            "--rootfs",
            "--detach",
            "--label",
            "io.kubernetes.pod.name=web-1",
            "--label",
            "io.kubernetes.pod.namespace=shop",
            "--mount",
            "type=bind,src=/usr,dst=/usr,options=rbind:ro",
            "--mount",
            "type=bind,src=/lib,dst=/lib,options=rbind:ro",
            "--mount",
            "type=bind,src=/lib64,dst=/lib64,options=rbind:ro",
            "--mount",
            "type=bind,src=/bin,dst=/bin,options=rbind:ro",
        ];
        let rootfs = real.folder().join("rootfs");
        for name in [
            "usr", "lib", "lib64", "bin", "proc", "sys", "dev", "run", "tmp", "etc",
        ] {
            std::fs::create_dir_all(rootfs.join(name)).unwrap();
        }
        let rootfs = rootfs.display().to_string();
        let command = [rootfs.as_str(), "sleeper", "/bin/sleep", "600"];
        real.ctr(&[&arguments[..], &command].concat());
        let listed = containers.list().await;
        let of_tasks = real.ctr(&["tasks", "list"]);
        real.ctr(&["tasks", "kill", "--signal", "SIGKILL", "sleeper"]);
        let listed = listed.unwrap().containers;
        let [one] = listed.as_slice() else {
            panic!("{listed:?}")
        };
        assert_eq!(
            (one.id.as_str(), one.pod.as_str(), one.state.as_str()),
            ("sleeper", "shop/web-1", "running")
        );
        assert_eq!(one.namespace, crate::KUBERNETES);
        assert!(of_tasks.contains(&format!(" {} ", one.pid)), "{of_tasks} {one:?}");
        let ended = async || {
            loop {
                let now = containers.list().await.unwrap().containers;
                if now[0].state == "stopped" {
                    return now;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(30), ended())
            .await
            .expect("it ends");
        assert_eq!((ended[0].pid, ended[0].exit_code), (0, 137));
        real.ctr(&["tasks", "delete", "sleeper"]);
        real.ctr(&["containers", "delete", "sleeper"]);
    }
}
