//! The real containerd, over its gRPC API.

use std::collections::HashMap;
use std::io::SeekFrom;
use std::path::Path;

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
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt};
use tonic::{Code, Request, Status};

use super::{Blob, Image, ImageStore};

/// How much of a blob goes into one message, in bytes: small enough for a small board, large enough to be quick.
const CHUNK: usize = 256 << 10;
/// The lease that keeps an unfinished import, unless the client has one of its own. Its name is fixed: one that a power cut left behind is taken up, and
/// ended, by the next import.
const LEASE: &str = "bedplate-import";

/// A client of containerd, within one of its namespaces.
pub struct Containerd {
    pub(crate) client: Client,
    namespace: &'static str,
    lease: String,
}

impl Containerd {
    /// Connects to containerd's socket. Everything is done within the namespace, which need not be there yet.
    pub async fn connect(socket: &Path, namespace: &'static str) -> Result<Self, ControllerError> {
        Ok(Containerd {
            client: Client::from_path(socket).await?,
            namespace,
            lease: LEASE.to_owned(),
        })
    }

    /// Keeps unfinished work under a lease of this name. Clients that work at the same time need different ones, since
    /// [`ImageStore::end`] lets go of everything under it.
    #[must_use]
    pub fn with_lease(mut self, name: &str) -> Self {
        self.lease = format!("{LEASE}-{name}");
        self
    }

    /// Makes a request whose results are kept until [`ImageStore::end`].
    pub(crate) fn leased<T>(&self, body: T) -> Request<T> {
        let mut request = self.within(body);
        if let Ok(lease) = self.lease.parse() {
            request.metadata_mut().insert("containerd-lease", lease);
        }
        request
    }

    /// Makes a request within the namespace.
    pub(crate) fn within<T>(&self, body: T) -> Request<T> {
        let mut request = Request::new(body);
        let namespace = tonic::metadata::MetadataValue::from_static(self.namespace);
        request.metadata_mut().insert("containerd-namespace", namespace);
        request
    }

    /// Returns true if the content of this digest is stored.
    pub async fn has(&self, digest: &str) -> Result<bool, ControllerError> {
        let request = InfoRequest {
            digest: digest.to_owned(),
        };
        Ok(found(self.client.content().info(self.within(request)).await)?.is_some())
    }

    async fn write(&self, upload: Upload) -> Result<(), Status> {
        let messages = stream::unfold(upload, |mut upload| async {
            let message = upload.next().await?;
            Some((message, upload))
        });
        let request = self.leased(messages);
        let mut answers = self.client.content().write(request).await?.into_inner();
        while answers.message().await?.is_some() {}
        Ok(())
    }
}

impl Containerd {
    /// Stores a blob from a stream of exactly `size` bytes under its digest, which containerd checks. One that it has is
    /// left alone.
    ///
    /// # Errors
    ///
    /// The stream ends early, the bytes are others, or there is no room for them.
    pub async fn put_stream(
        &self,
        from: Source,
        digest: &str,
        size: u64,
        labels: HashMap<String, String>,
    ) -> Result<(), ControllerError> {
        let upload = Upload {
            from,
            digest: digest.to_owned(),
            size,
            sent: 0,
            labels,
            done: false,
        };
        unless(Code::AlreadyExists, self.write(upload).await)?;
        // A stream that ends early commits nothing, and containerd says nothing about it.
        match self.has(digest).await? {
            true => Ok(()),
            false => Err(ControllerError::msg(format!(
                "{digest} ended before its {size} bytes"
            ))),
        }
    }
}

#[async_trait]
impl ImageStore for Containerd {
    async fn digest(&self, name: &str) -> Result<Option<String>, ControllerError> {
        let request = GetImageRequest {
            name: name.to_owned(),
        };
        let Some(answer) = found(self.client.images().get(self.within(request)).await)? else {
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
            id: self.lease.clone(),
            labels: HashMap::new(),
        };
        unless(
            Code::AlreadyExists,
            self.client.leases().create(self.within(request)).await,
        )
    }

    async fn put_blob(
        &self,
        archive: &Path,
        blob: &Blob,
        refers_to: &[(String, String)],
    ) -> Result<(), ControllerError> {
        let labels = refers_to.iter().cloned().collect();
        let broken = |error| Status::internal(format!("cannot read {}: {error}", archive.display()));
        let opened = async {
            let mut file = File::open(archive).await.map_err(broken)?;
            file.seek(SeekFrom::Start(blob.offset)).await.map_err(broken)?;
            Ok::<_, Status>(file)
        };
        self.put_stream(Box::new(opened.await?), &blob.digest, blob.size, labels)
            .await
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
        match self.client.images().create(self.within(create)).await {
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
        self.client.images().update(self.within(update)).await?;
        Ok(())
    }

    async fn end(&self) -> Result<(), ControllerError> {
        let request = DeleteRequest {
            id: self.lease.clone(),
            sync: false,
        };
        unless(
            Code::NotFound,
            self.client.leases().delete(self.within(request)).await,
        )
    }
}

/// A blob that is sent as a sequence of messages, the last of which commits it.
struct Upload {
    from: Source,
    digest: String,
    size: u64,
    sent: u64,
    labels: HashMap<String, String>,
    done: bool,
}

/// Where the bytes of a blob come from.
pub type Source = Box<dyn AsyncRead + Send + Unpin>;

impl Upload {
    /// Returns the next message, or nothing after the last. A file that cannot be read ends the stream without a
    /// commit, and containerd drops what it got.
    async fn next(&mut self) -> Option<WriteContentRequest> {
        if self.done {
            return None;
        }
        let left = self.size - self.sent;
        let mut data = vec![0; CHUNK.min(left.try_into().unwrap_or(CHUNK))];
        if let Err(error) = self.from.read_exact(&mut data).await {
            tracing::error!("cannot read all of {}: {error}", self.digest);
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

/// Turns "not found" into nothing.
pub(crate) fn found<T>(answer: Result<tonic::Response<T>, Status>) -> Result<Option<T>, ControllerError> {
    match answer {
        Ok(answer) => Ok(Some(answer.into_inner())),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(status.into()),
    }
}

/// Takes one kind of refusal for success: what was asked for is so already.
pub(crate) fn unless<T>(code: Code, answer: Result<T, Status>) -> Result<(), ControllerError> {
    match answer {
        Err(status) if status.code() != code => Err(status.into()),
        _ => Ok(()),
    }
}
