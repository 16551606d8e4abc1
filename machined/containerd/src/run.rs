//! Containers in containerd: what an image is unpacked to, and the processes of a container.

use std::collections::HashMap;
use std::path::Path;

use containerd_client::services::v1::container::Runtime;
use containerd_client::services::v1::snapshots::{
    CommitSnapshotRequest, PrepareSnapshotRequest, RemoveSnapshotRequest, StatSnapshotRequest,
};
use containerd_client::services::v1::{
    ApplyRequest, Container, CreateContainerRequest, CreateTaskRequest, DeleteContainerRequest,
    DeleteImageRequest, DeleteProcessRequest, DeleteTaskRequest, ExecProcessRequest, KillRequest,
    ListContainersRequest, ListImagesRequest, ReadContentRequest, StartRequest, UpdateRequest, WaitRequest,
};
use containerd_client::types::{Descriptor, Mount};
use prost_types::Any;
use state::ControllerError;
use tonic::Code;

use crate::client::{Containerd, found, unless};

/// What keeps the layers of images and containers.
const SNAPSHOTTER: &str = "overlayfs";
/// What runs containers.
const RUNTIME: &str = "io.containerd.runc.v2";
/// The types of what is handed through to the runtime, as containerd calls them.
const SPEC: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
const PROCESS: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";
/// The label of an image's config that keeps its unpacked layers.
const KEEPS_SNAPSHOT: &str = "containerd.io/gc.ref.snapshot.overlayfs";
/// The most that a document of an image, such as its config, may take: containerd's own limit.
const DOCUMENT_MAX: i64 = 8 << 20;
const KILL: u32 = 9;

/// A layer of an image, with the digest of what it is when it is not compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The media type of the blob.
    pub media_type: String,
    /// The digest of the blob.
    pub digest: String,
    /// The size of the blob in bytes.
    pub size: i64,
    /// The name of this layer on those below it, as snapshots are called.
    pub chain: String,
}

/// An image that containerd has under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredImage {
    /// Its name.
    pub name: String,
    /// The digest of its manifest.
    pub digest: String,
}

impl Containerd {
    /// Reads a small blob, such as the config of an image.
    ///
    /// # Errors
    ///
    /// It is not there, or has more than 8 MiB.
    pub async fn read(&self, digest: &str) -> Result<Vec<u8>, ControllerError> {
        let request = ReadContentRequest {
            digest: digest.to_owned(),
            offset: 0,
            size: DOCUMENT_MAX + 1,
        };
        let mut answers = self
            .client
            .content()
            .read(self.within(request))
            .await?
            .into_inner();
        let mut content = Vec::new();
        while let Some(answer) = answers.message().await? {
            content.extend_from_slice(&answer.data);
            if content.len() as i64 > DOCUMENT_MAX {
                return Err(ControllerError::msg(format!(
                    "{digest} is larger than a document of an image may be"
                )));
            }
        }
        Ok(content)
    }

    /// Lists the images of the namespace.
    pub async fn images(&self) -> Result<Vec<StoredImage>, ControllerError> {
        let request = ListImagesRequest { filters: Vec::new() };
        let answer = self
            .client
            .images()
            .list(self.within(request))
            .await?
            .into_inner();
        let stored = answer.images.into_iter().filter_map(|image| {
            let digest = image.target?.digest;
            Some(StoredImage {
                name: image.name,
                digest,
            })
        });
        Ok(stored.collect())
    }

    /// Removes a name of an image; returns false if there was none. What nothing else refers to is collected.
    pub async fn remove_image(&self, name: &str) -> Result<bool, ControllerError> {
        let request = DeleteImageRequest {
            name: name.to_owned(),
            sync: true,
            ..DeleteImageRequest::default()
        };
        Ok(found(self.client.images().delete(self.within(request)).await)?.is_some())
    }

    /// Unpacks the layers of an image, as far as they are not, and keeps them as long as the image.
    pub async fn unpack(&self, config: &str, layers: &[Layer]) -> Result<(), ControllerError> {
        let mut parent = String::new();
        for layer in layers {
            let stat = StatSnapshotRequest {
                snapshotter: SNAPSHOTTER.to_owned(),
                key: layer.chain.clone(),
            };
            if found(self.client.snapshots().stat(self.within(stat)).await)?.is_none() {
                self.unpack_layer(layer, &parent).await?;
            }
            parent.clone_from(&layer.chain);
        }
        let keeps = UpdateRequest {
            info: Some(containerd_client::services::v1::Info {
                digest: config.to_owned(),
                labels: HashMap::from([(KEEPS_SNAPSHOT.to_owned(), parent)]),
                ..containerd_client::services::v1::Info::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec![format!("labels.{KEEPS_SNAPSHOT}")],
            }),
        };
        self.client.content().update(self.within(keeps)).await?;
        Ok(())
    }

    async fn unpack_layer(&self, layer: &Layer, parent: &str) -> Result<(), ControllerError> {
        let key = format!("unpack-{}", layer.chain);
        // What an interrupted run left is of unknown content.
        self.remove_snapshot(&key).await?;
        let mounts = self.prepare(&key, parent).await?;
        let apply = ApplyRequest {
            diff: Some(Descriptor {
                media_type: layer.media_type.clone(),
                digest: layer.digest.clone(),
                size: layer.size,
                annotations: HashMap::new(),
            }),
            mounts,
            ..ApplyRequest::default()
        };
        let applied = self.client.diff().apply(self.leased(apply)).await?.into_inner();
        let commit = CommitSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            name: layer.chain.clone(),
            key,
            ..CommitSnapshotRequest::default()
        };
        drop(applied);
        unless(
            Code::AlreadyExists,
            self.client.snapshots().commit(self.leased(commit)).await,
        )
    }

    async fn prepare(&self, key: &str, parent: &str) -> Result<Vec<Mount>, ControllerError> {
        let request = PrepareSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: key.to_owned(),
            parent: parent.to_owned(),
            ..PrepareSnapshotRequest::default()
        };
        let answer = self.client.snapshots().prepare(self.leased(request)).await?;
        Ok(answer.into_inner().mounts)
    }

    async fn remove_snapshot(&self, key: &str) -> Result<(), ControllerError> {
        let request = RemoveSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: key.to_owned(),
        };
        unless(
            Code::NotFound,
            self.client.snapshots().remove(self.within(request)).await,
        )
    }

    /// Creates a container with its main process, which waits to be started: its output goes to the two FIFOs. The spec
    /// is one of the OCI runtime specification. Returns the process's number.
    pub async fn create(
        &self,
        id: &str,
        image: &str,
        chain: &str,
        spec: Vec<u8>,
        output: (&Path, &Path),
    ) -> Result<u32, ControllerError> {
        let mounts = self.prepare(id, chain).await?;
        let container = Container {
            id: id.to_owned(),
            image: image.to_owned(),
            runtime: Some(Runtime {
                name: RUNTIME.to_owned(),
                options: None,
            }),
            spec: Some(Any {
                type_url: SPEC.to_owned(),
                value: spec,
            }),
            snapshotter: SNAPSHOTTER.to_owned(),
            snapshot_key: id.to_owned(),
            ..Container::default()
        };
        let request = CreateContainerRequest {
            container: Some(container),
        };
        self.client.containers().create(self.leased(request)).await?;
        let task = CreateTaskRequest {
            container_id: id.to_owned(),
            rootfs: mounts,
            stdout: output.0.display().to_string(),
            stderr: output.1.display().to_string(),
            ..CreateTaskRequest::default()
        };
        let answer = self.client.tasks().create(self.within(task)).await?;
        Ok(answer.into_inner().pid)
    }

    /// Starts the main process of a container, or with a name one beside it.
    pub async fn start(&self, id: &str, exec: &str) -> Result<(), ControllerError> {
        let request = StartRequest {
            container_id: id.to_owned(),
            exec_id: exec.to_owned(),
        };
        self.client.tasks().start(self.within(request)).await?;
        Ok(())
    }

    /// Waits until a process of a container has ended, and returns its exit code: 128 and the signal's number for one that
    /// a signal ended.
    pub async fn wait(&self, id: &str, exec: &str) -> Result<u32, ControllerError> {
        let request = WaitRequest {
            container_id: id.to_owned(),
            exec_id: exec.to_owned(),
        };
        Ok(self
            .client
            .tasks()
            .wait(self.within(request))
            .await?
            .into_inner()
            .exit_status)
    }

    /// Sends a signal to the main process of a container, or to all of them. One that has ended is left alone.
    pub async fn signal(&self, id: &str, signal: u32, all: bool) -> Result<(), ControllerError> {
        let request = KillRequest {
            container_id: id.to_owned(),
            signal,
            all,
            ..KillRequest::default()
        };
        unless(
            Code::NotFound,
            self.client.tasks().kill(self.within(request)).await,
        )
    }

    /// Adds a process to a container, which waits to be started. What it prints and complains goes into a FIFO.
    pub async fn exec(
        &self,
        id: &str,
        exec: &str,
        process: Vec<u8>,
        output: &Path,
    ) -> Result<(), ControllerError> {
        let request = ExecProcessRequest {
            container_id: id.to_owned(),
            exec_id: exec.to_owned(),
            stdout: output.display().to_string(),
            stderr: output.display().to_string(),
            spec: Some(Any {
                type_url: PROCESS.to_owned(),
                value: process,
            }),
            ..ExecProcessRequest::default()
        };
        self.client.tasks().exec(self.within(request)).await?;
        Ok(())
    }

    /// Forgets a process that was added to a container, and kills it if it runs.
    pub async fn remove_exec(&self, id: &str, exec: &str) -> Result<(), ControllerError> {
        let kill = KillRequest {
            container_id: id.to_owned(),
            exec_id: exec.to_owned(),
            signal: KILL,
            all: false,
        };
        // One that has ended cannot be killed, and says so in several ways.
        let _ = self.client.tasks().kill(self.within(kill)).await;
        let request = DeleteProcessRequest {
            container_id: id.to_owned(),
            exec_id: exec.to_owned(),
        };
        unless(
            Code::NotFound,
            self.client.tasks().delete_process(self.within(request)).await,
        )
    }

    /// Lists the containers of the namespace.
    pub async fn containers(&self) -> Result<Vec<String>, ControllerError> {
        let request = ListContainersRequest { filters: Vec::new() };
        let answer = self.client.containers().list(self.within(request)).await?;
        Ok(answer
            .into_inner()
            .containers
            .into_iter()
            .map(|one| one.id)
            .collect())
    }

    /// Removes a container with all its processes, and what it wrote to its root. One that is not there is no error.
    pub async fn remove(&self, id: &str) -> Result<(), ControllerError> {
        // A task that has ended cannot be killed, and says so in several ways.
        let _ = self.signal(id, KILL, true).await;
        let _ = self.wait(id, "").await;
        let task = DeleteTaskRequest {
            container_id: id.to_owned(),
        };
        unless(
            Code::NotFound,
            self.client.tasks().delete(self.within(task)).await,
        )?;
        let container = DeleteContainerRequest { id: id.to_owned() };
        unless(
            Code::NotFound,
            self.client.containers().delete(self.within(container)).await,
        )?;
        self.remove_snapshot(id).await
    }
}
