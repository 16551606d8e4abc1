//! The real containerd, over its gRPC API.

use std::collections::HashMap;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use containerd_client::Client;
use containerd_client::services::v1::{
    CreateImageRequest, CreateRequest, DeleteRequest, GetImageRequest, Image as StoredImage, InfoRequest,
    UpdateImageRequest, WriteAction, WriteContentRequest,
};
use containerd_client::types::Descriptor;
use futures::stream;
use state::ControllerError;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tonic::{Code, Request, Status};

use super::{Blob, Image, ImageStore, NAMESPACE};

/// How much of a blob goes into one message, in bytes: small enough for a small board, large enough to be quick.
const CHUNK: usize = 256 << 10;
/// The lease that keeps an unfinished import. Its name is fixed: one that a power cut left behind is taken up, and
/// ended, by the next import.
const LEASE: &str = "bedplate-import";

/// A client of containerd.
pub struct Containerd {
    client: Client,
}

impl Containerd {
    /// Connects to containerd's socket.
    pub async fn connect(socket: &Path) -> Result<Self, ControllerError> {
        Ok(Containerd {
            client: Client::from_path(socket).await?,
        })
    }

    /// Returns true if the content of this digest is stored.
    async fn has(&self, digest: &str) -> Result<bool, ControllerError> {
        let request = InfoRequest {
            digest: digest.to_owned(),
        };
        Ok(found(self.client.content().info(within(request)).await)?.is_some())
    }

    async fn write(
        &self,
        archive: &Path,
        blob: &Blob,
        labels: HashMap<String, String>,
    ) -> Result<(), Status> {
        let upload = Upload::open(archive, blob, labels).await?;
        let messages = stream::unfold(upload, |mut upload| async {
            let message = upload.next().await?;
            Some((message, upload))
        });
        let mut request = within(messages);
        lease(&mut request);
        let mut answers = self.client.content().write(request).await?.into_inner();
        while answers.message().await?.is_some() {}
        Ok(())
    }
}

#[async_trait]
impl ImageStore for Containerd {
    async fn digest(&self, name: &str) -> Result<Option<String>, ControllerError> {
        let request = GetImageRequest {
            name: name.to_owned(),
        };
        let Some(answer) = found(self.client.images().get(within(request)).await)? else {
            return Ok(None);
        };
        let target = answer.image.and_then(|image| image.target);
        let Some(digest) = target.map(|target| target.digest) else {
            return Ok(None);
        };
        Ok(self.has(&digest).await?.then_some(digest))
    }

    async fn begin(&self) -> Result<(), ControllerError> {
        let request = CreateRequest {
            id: LEASE.to_owned(),
            labels: HashMap::new(),
        };
        unless(
            Code::AlreadyExists,
            self.client.leases().create(within(request)).await,
        )
    }

    async fn put_blob(
        &self,
        archive: &Path,
        blob: &Blob,
        refers_to: &[(String, String)],
    ) -> Result<(), ControllerError> {
        let labels = refers_to.iter().cloned().collect();
        unless(Code::AlreadyExists, self.write(archive, blob, labels).await)
    }

    async fn put_image(&self, image: &Image) -> Result<(), ControllerError> {
        let stored = StoredImage {
            name: image.name.clone(),
            target: Some(Descriptor {
                media_type: image.media_type.clone(),
                digest: image.manifest.digest.clone(),
                size: image.manifest.size.try_into()?,
                annotations: HashMap::new(),
            }),
            ..StoredImage::default()
        };
        let create = CreateImageRequest {
            image: Some(stored.clone()),
            source_date_epoch: None,
        };
        match self.client.images().create(within(create)).await {
            Err(status) if status.code() == Code::AlreadyExists => {}
            other => return Ok(other.map(drop)?),
        }
        let update = UpdateImageRequest {
            image: Some(stored),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["target".to_owned()],
            }),
            source_date_epoch: None,
        };
        self.client.images().update(within(update)).await?;
        Ok(())
    }

    async fn end(&self) -> Result<(), ControllerError> {
        let request = DeleteRequest {
            id: LEASE.to_owned(),
            sync: false,
        };
        unless(Code::NotFound, self.client.leases().delete(within(request)).await)
    }
}

/// A blob that is sent as a sequence of messages, the last of which commits it.
struct Upload {
    file: File,
    path: PathBuf,
    digest: String,
    size: u64,
    sent: u64,
    labels: HashMap<String, String>,
    done: bool,
}

impl Upload {
    async fn open(archive: &Path, blob: &Blob, labels: HashMap<String, String>) -> Result<Self, Status> {
        let broken = |error| Status::internal(format!("cannot read {}: {error}", archive.display()));
        let mut file = File::open(archive).await.map_err(broken)?;
        file.seek(SeekFrom::Start(blob.offset)).await.map_err(broken)?;
        Ok(Upload {
            file,
            path: archive.to_owned(),
            digest: blob.digest.clone(),
            size: blob.size,
            sent: 0,
            labels,
            done: false,
        })
    }

    /// Returns the next message, or nothing after the last. A file that cannot be read ends the stream without a
    /// commit, and containerd drops what it got.
    async fn next(&mut self) -> Option<WriteContentRequest> {
        if self.done {
            return None;
        }
        let left = self.size - self.sent;
        let mut data = vec![0; CHUNK.min(left.try_into().unwrap_or(CHUNK))];
        if let Err(error) = self.file.read_exact(&mut data).await {
            tracing::error!("cannot read image archive {}: {error}", self.path.display());
            return None;
        }
        let offset = self.sent;
        self.sent += data.len() as u64;
        self.done = self.sent == self.size;
        let action = if self.done {
            WriteAction::Commit
        } else {
            WriteAction::Write
        };
        Some(WriteContentRequest {
            action: action.into(),
            r#ref: format!("{LEASE}-{}", self.digest),
            // Checked by containerd when it commits; neither can be negative, and an archive is no exabyte.
            total: self.size.try_into().unwrap_or(i64::MAX),
            offset: offset.try_into().unwrap_or(i64::MAX),
            expected: self.digest.clone(),
            data,
            labels: if self.done {
                std::mem::take(&mut self.labels)
            } else {
                HashMap::new()
            },
        })
    }
}

/// Makes a request within the namespace of the container runtime interface.
fn within<T>(body: T) -> Request<T> {
    let mut request = Request::new(body);
    let namespace = tonic::metadata::MetadataValue::from_static(NAMESPACE);
    request.metadata_mut().insert("containerd-namespace", namespace);
    request
}

fn lease<T>(request: &mut Request<T>) {
    let lease = tonic::metadata::MetadataValue::from_static(LEASE);
    request.metadata_mut().insert("containerd-lease", lease);
}

/// Turns "not found" into nothing.
fn found<T>(answer: Result<tonic::Response<T>, Status>) -> Result<Option<T>, ControllerError> {
    match answer {
        Ok(answer) => Ok(Some(answer.into_inner())),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(status.into()),
    }
}

/// Takes one kind of refusal for success: what was asked for is so already.
fn unless<T>(code: Code, answer: Result<T, Status>) -> Result<(), ControllerError> {
    match answer {
        Err(status) if status.code() != code => Err(status.into()),
        _ => Ok(()),
    }
}
