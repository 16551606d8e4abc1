//! `bedplate images import`.

use std::path::Path;
use std::process::ExitCode;

use api::v1alpha1::image_service_client::ImageServiceClient;
use api::v1alpha1::import_images_request::Request;
use api::v1alpha1::import_images_response::Response;
use api::v1alpha1::{ImportImagesRequest, StartImport};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Arrived;
use crate::connect::Node;
use crate::explain::Problem;
use crate::fan_out::{NodeResponse, dial, show};
use crate::pushed::Pushed;
use crate::session::Session;

/// Sends an archive to one node after another, and prints the results.
pub async fn run(session: &Session, path: &Path, name: String) -> anyhow::Result<ExitCode> {
    let archive = Pushed::open(path, "an archive")?;
    let mut responses = Vec::new();
    for NodeResponse { node, result } in dial(session).await {
        let result = match result {
            Ok(connected) => push(session, &connected, &archive, name.clone()).await?,
            Err(problem) => Err(problem),
        };
        responses.push(NodeResponse { node, result });
    }
    show(session, &responses)
}

/// Sends what the node requests, until it has imported the archive or says why it cannot.
async fn push(
    session: &Session,
    node: &Node,
    archive: &Pushed,
    name: String,
) -> anyhow::Result<Result<Arrived, Problem>> {
    let length = archive.length();
    let (sender, receiver) = mpsc::channel(1);
    // There is room for one.
    let _ = sender.try_send(Request::Start(StartImport { length, name }));
    let requests = futures::stream::unfold(receiver, |mut receiver: mpsc::Receiver<Request>| async {
        let request = Some(receiver.recv().await?);
        Some((ImportImagesRequest { request }, receiver))
    });
    let mut client = ImageServiceClient::new(node.channel.clone());
    let mut answers = match timeout(session.timeout, client.import(requests)).await {
        Ok(Ok(answers)) => answers.into_inner(),
        Ok(Err(status)) => return Ok(Err(node.problem(&status))),
        Err(_) => return Ok(Err(Problem::timed_out(&node.address, session.timeout))),
    };
    let bar = archive.bar(&format!("sending to {}", node.address));
    let ended = loop {
        let answer = match answers.message().await {
            Ok(Some(answer)) => answer.response,
            Ok(None) => {
                let text = format!("{} ended the call without a result", node.address);
                break Err(Problem::new(text));
            }
            Err(status) => break Err(node.problem(&status)),
        };
        match answer {
            Some(Response::Want(want)) => {
                let data = archive.piece(want).await?;
                bar.set_position(want.offset + u64::from(want.length));
                // A call that has ended says so with its next response.
                let _ = sender.send(Request::Data(data)).await;
            }
            Some(Response::Done(done)) => break Ok(Arrived { images: done.images }),
            // Responses of newer nodes may be unknown here.
            None => {}
        }
    };
    bar.finish_and_clear();
    Ok(ended)
}
