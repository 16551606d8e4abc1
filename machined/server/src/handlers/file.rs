//! Files under the allowed roots.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::time::{Duration, Instant};

use api::v1alpha1::file_service_server::FileService;
use api::v1alpha1::{
    CopyFilesRequest, CopyFilesResponse, ListFilesRequest, ListFilesResponse, ReadFileRequest,
    ReadFileResponse, UsageRequest, UsageResponse,
};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::{Answers, Handlers, blocking};
use crate::files::Pack;

/// Bytes of a file in one message.
const CHUNK: usize = 32 * 1024;
/// The longest that sizes are summed up: an answer is to begin within 90 seconds.
const USAGE_TIME: Duration = Duration::from_secs(30);
/// Sums that are made at a time: each keeps a disk busy.
static SUMS: Semaphore = Semaphore::const_new(2);

#[tonic::async_trait]
impl FileService for Handlers {
    async fn list(&self, request: Request<ListFilesRequest>) -> Result<Response<ListFilesResponse>, Status> {
        let (files, path) = (self.files.clone(), request.into_inner().path);
        let (files, truncated) = blocking(move || files.list(&path)).await??;
        Ok(Response::new(ListFilesResponse { files, truncated }))
    }

    type ReadStream = Answers<ReadFileResponse>;

    async fn read(
        &self,
        request: Request<ReadFileRequest>,
    ) -> Result<Response<Answers<ReadFileResponse>>, Status> {
        let (files, request) = (self.files.clone(), request.into_inner());
        let limit = if request.limit == 0 {
            u64::MAX
        } else {
            request.limit
        };
        let opened = blocking(move || {
            let mut file = files.open(&request.path)?;
            // Files of /proc and /sys can be read from the start only; they say so when asked for more.
            let sought = if request.offset > 0 {
                file.seek(SeekFrom::Start(request.offset))
            } else {
                Ok(0)
            };
            sought.map_err(|error| {
                Status::out_of_range(format!("cannot seek to that offset in {}: {error}", request.path))
            })?;
            Ok::<_, Status>(file.take(limit))
        });
        let file = opened.await??;
        let chunks = futures::stream::try_unfold(file, |mut file| async move {
            let (file, data) = blocking(move || {
                let mut data = vec![0; CHUNK];
                let read = file.read(&mut data);
                read.map(|length| {
                    data.truncate(length);
                    (file, data)
                })
            })
            .await?
            .map_err(|error| cut(&error))?;
            Ok((!data.is_empty()).then_some((ReadFileResponse { data }, file)))
        });
        Ok(Response::new(Box::pin(chunks)))
    }

    type CopyStream = Answers<CopyFilesResponse>;

    async fn copy(
        &self,
        request: Request<CopyFilesRequest>,
    ) -> Result<Response<Answers<CopyFilesResponse>>, Status> {
        let (files, path) = (self.files.clone(), request.into_inner().path);
        let pack = blocking(move || files.pack(&path)).await??;
        let pieces = futures::stream::try_unfold(pack, |pack: Pack| async move {
            let read = blocking(move || {
                let mut pack = pack;
                pack.next().map(|piece| piece.map(|piece| (piece, pack)))
            });
            read.await?.map_err(|error| cut(&error))
        });
        Ok(Response::new(Box::pin(pieces)))
    }

    async fn usage(&self, request: Request<UsageRequest>) -> Result<Response<UsageResponse>, Status> {
        let (files, UsageRequest { path, depth }) = (self.files.clone(), request.into_inner());
        // The sum goes on if the caller leaves, so it keeps its place itself.
        let place = SUMS.try_acquire().map_err(|_| {
            Status::resource_exhausted("the node is summing up other directories; try again in a moment")
        })?;
        let sum = blocking(move || {
            let _place = place;
            files.usage(&path, depth, Instant::now() + USAGE_TIME)
        });
        Ok(Response::new(sum.await??))
    }
}

fn cut(error: &io::Error) -> Status {
    Status::unavailable(format!("cannot read further: {error}"))
}
