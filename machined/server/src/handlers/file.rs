//! Files under the allowed roots.

use std::io::{Read as _, Seek as _, SeekFrom};

use api::v1alpha1::file_service_server::FileService;
use api::v1alpha1::{ListFilesRequest, ListFilesResponse, ReadFileRequest, ReadFileResponse};
use tonic::{Request, Response, Status};

use super::{Answers, Handlers, blocking};

/// Bytes of a file in one message.
const CHUNK: usize = 32 * 1024;

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
            .map_err(|error| Status::unavailable(format!("cannot read further: {error}")))?;
            Ok((!data.is_empty()).then_some((ReadFileResponse { data }, file)))
        });
        Ok(Response::new(Box::pin(chunks)))
    }
}
