//! Logs and events.

use api::v1alpha1::log_service_server::LogService;
use api::v1alpha1::{
    EventsRequest, EventsResponse, KernelLogRequest, KernelLogResponse, LogsRequest, LogsResponse,
};
use futures::StreamExt as _;
use node::logs::kernel::{KernelLog, Record};
use tonic::{Request, Response, Status};

use super::{Answers, Handlers, tail};

#[tonic::async_trait]
impl LogService for Handlers {
    type LogsStream = Answers<LogsResponse>;

    async fn logs(&self, request: Request<LogsRequest>) -> Result<Response<Answers<LogsResponse>>, Status> {
        let request = request.into_inner();
        let logs = &self.backend.logs;
        if request.source.is_empty() {
            let sources = logs.sources().join(", ");
            return Err(Status::invalid_argument(format!(
                "a source is required; there are: {sources}"
            )));
        }
        let lines = logs.open(&request.source, tail(request.tail), request.follow)?;
        Ok(Response::new(Box::pin(lines.map(Ok))))
    }

    type KernelLogStream = Answers<KernelLogResponse>;

    async fn kernel_log(
        &self,
        request: Request<KernelLogRequest>,
    ) -> Result<Response<Answers<KernelLogResponse>>, Status> {
        let request = request.into_inner();
        let failed = |error| Status::unavailable(format!("cannot read the kernel log: {error}"));
        let first = match tail(request.tail) {
            Some(count) => KernelLog::start_of_last(count).await.map_err(failed)?,
            None => 0,
        };
        let log = KernelLog::open().map_err(failed)?;
        let follow = request.follow;
        // Record by record: a caller who does not read on must not make the node keep the whole log.
        let answers = futures::stream::unfold(log, move |mut log| async move {
            loop {
                let record = if follow {
                    log.next().await.map(Some)
                } else {
                    log.next_present().await
                };
                match record.transpose()? {
                    Ok(record) if record.sequence < first => {}
                    Ok(record) => return Some((Ok(kernel_answer(record)), log)),
                    Err(error) => return Some((Err(Status::unavailable(error.to_string())), log)),
                }
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    type EventsStream = Answers<EventsResponse>;

    async fn events(
        &self,
        request: Request<EventsRequest>,
    ) -> Result<Response<Answers<EventsResponse>>, Status> {
        let request = request.into_inner();
        let events = self.backend.logs.events(tail(request.tail), request.follow);
        Ok(Response::new(Box::pin(events.map(Ok))))
    }
}

fn kernel_answer(record: Record) -> KernelLogResponse {
    KernelLogResponse {
        sequence: record.sequence,
        uptime_us: record.uptime_us,
        severity: record.severity,
        facility: record.facility,
        text: record.text,
    }
}
