//! Packets of the node's networks.

use api::v1alpha1::packet_service_server::PacketService;
use api::v1alpha1::{CaptureRequest, CaptureResponse};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::{Answers, Handlers, caller};
use crate::capture::{Plan, Running};

/// Captures at a time: for each the kernel copies every packet of an interface.
static CAPTURES: Semaphore = Semaphore::const_new(4);

#[tonic::async_trait]
impl PacketService for Handlers {
    type CaptureStream = Answers<CaptureResponse>;

    async fn capture(
        &self,
        request: Request<CaptureRequest>,
    ) -> Result<Response<Answers<CaptureResponse>>, Status> {
        let address = caller(&request)?.address;
        let plan = Plan::of(&request.into_inner(), address, &self.host)?;
        let place = CAPTURES.try_acquire().map_err(|_| {
            Status::resource_exhausted("the node captures packets for others already; try again later")
        })?;
        let running = Running::start(plan)?;
        let messages = futures::stream::try_unfold((running, place), |(mut running, place)| async move {
            let message = running.next().await?;
            Ok(message.map(|message| (message, (running, place))))
        });
        Ok(Response::new(Box::pin(messages)))
    }
}
