//! The images of workloads.

use std::time::Duration;

use api::v1alpha1::image_service_server::ImageService;
use api::v1alpha1::import_images_request::Request as RequestKind;
use api::v1alpha1::import_images_response::Response as ResponseKind;
use api::v1alpha1::pull_image_response::Response as PullKind;
use api::v1alpha1::{
    ImportImagesRequest, ImportImagesResponse, ImportedImages, ListImagesRequest, ListImagesResponse,
    PullImageRequest, PullImageResponse, RemoveImageRequest, RemoveImageResponse, StartImport,
};
use backend::Pull;
use futures::{TryStreamExt as _, stream};
use tonic::{Request, Response, Status, Streaming};

use super::pushed::{Pushed, Said};
use super::{Answers, Handlers};
use crate::push;

/// The pause between two reports of a pull.
const PACE: Duration = Duration::from_millis(500);

#[tonic::async_trait]
impl ImageService for Handlers {
    async fn list(&self, _: Request<ListImagesRequest>) -> Result<Response<ListImagesResponse>, Status> {
        let images = self.backend.images.list().await?;
        Ok(Response::new(ListImagesResponse { images }))
    }

    type PullStream = Answers<PullImageResponse>;

    async fn pull(
        &self,
        request: Request<PullImageRequest>,
    ) -> Result<Response<Answers<PullImageResponse>>, Status> {
        let pull = self.backend.images.pull(&request.into_inner().reference).await?;
        Ok(Response::new(Box::pin(stream::unfold(
            Some(pull),
            async |pull| pull_step(pull?).await,
        ))))
    }

    async fn remove(
        &self,
        request: Request<RemoveImageRequest>,
    ) -> Result<Response<RemoveImageResponse>, Status> {
        self.backend.images.remove(&request.into_inner().name).await?;
        Ok(Response::new(RemoveImageResponse {}))
    }

    type ImportStream = Answers<ImportImagesResponse>;

    async fn import(
        &self,
        request: Request<Streaming<ImportImagesRequest>>,
    ) -> Result<Response<Answers<ImportImagesResponse>>, Status> {
        let mut requests = request.into_inner();
        let Some(ImportImagesRequest {
            request: Some(RequestKind::Start(StartImport { length, name })),
        }) = requests.message().await?
        else {
            return Err(Status::invalid_argument("the first request must be `start`"));
        };
        let (pushed, pieces) = push::channel(length);
        let images = self.backend.images.clone();
        let name = Some(name).filter(|name| !name.is_empty());
        // A task of its own: a client that goes away does not leave a half-written file.
        let job = tokio::spawn(async move { images.import(Box::new(pushed), name).await });
        let data = |request: ImportImagesRequest| match request.request {
            Some(RequestKind::Data(data)) => Some(data),
            _ => None,
        };
        let answers = Pushed::new("import", job, requests, pieces, data).answers();
        let answers = answers.map_ok(|said| ImportImagesResponse {
            response: Some(match said {
                Said::Want(want) => ResponseKind::Want(want),
                Said::Done(images) => ResponseKind::Done(ImportedImages { images }),
            }),
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// Waits for the next thing to say about a pull; the last one is its end.
async fn pull_step(mut pull: Pull) -> Option<(Result<PullImageResponse, Status>, Option<Pull>)> {
    let said = |kind| PullImageResponse { response: Some(kind) };
    tokio::select! {
        biased;
        // Cancel safe: a task that has ended says so again.
        ended = &mut pull.done => Some(match ended {
            Ok(done) => (done.map(|image| said(PullKind::Done(image))).map_err(Status::from), None),
            Err(error) => (Err(Status::internal(format!("the pull failed: {error}"))), None),
        }),
        // Cancel safe: nothing is lost with a pause.
        () = tokio::time::sleep(PACE) => {
            let progress = pull.count.progress();
            Some((Ok(said(PullKind::Progress(progress))), Some(pull)))
        }
    }
}
