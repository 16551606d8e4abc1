//! `bedplate images pull`.

use std::process::ExitCode;

use api::v1alpha1::image_service_client::ImageServiceClient;
use api::v1alpha1::pull_image_response::Response;
use api::v1alpha1::{ImageInfo, PullImageRequest, PullProgress};
use futures::StreamExt as _;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::time::timeout;

use super::Arrived;
use crate::connect::Node;
use crate::explain::Problem;
use crate::fan_out::{NodeResponse, dial, show};
use crate::session::Session;

/// Makes every node pull an image, all at the same time, and prints the results.
pub async fn run(session: &Session, reference: String) -> anyhow::Result<ExitCode> {
    // On standard error, and only where that is a terminal.
    let bars = MultiProgress::new();
    let (bars, reference) = (&bars, &reference);
    let pulls = dial(session)
        .await
        .into_iter()
        .map(async |NodeResponse { node, result }| {
            let result = match result {
                Ok(connected) => pull(session, &connected, reference.clone(), bars).await,
                Err(problem) => Err(problem),
            };
            let result = result.map(|image| Arrived { images: vec![image] });
            NodeResponse { node, result }
        });
    // All at once, and in the order in which they were named.
    let responses: Vec<_> = futures::stream::iter(pulls).buffered(usize::MAX).collect().await;
    show(session, &responses)
}

async fn pull(
    session: &Session,
    node: &Node,
    reference: String,
    bars: &MultiProgress,
) -> Result<ImageInfo, Problem> {
    let mut client = ImageServiceClient::new(node.channel.clone());
    let asked = client.pull(PullImageRequest { reference });
    let mut answers = match timeout(session.timeout, asked).await {
        Ok(Ok(answers)) => answers.into_inner(),
        Ok(Err(status)) => return Err(node.problem(&status)),
        Err(_) => return Err(Problem::timed_out(&node.address, session.timeout)),
    };
    let bar = bars.add(bar(&node.address.to_string()));
    let ended = loop {
        // A node says something every half second.
        let answer = match timeout(session.timeout, answers.message()).await {
            Ok(Ok(Some(answer))) => answer.response,
            Ok(Ok(None)) => {
                let text = format!("{} ended the call without a result", node.address);
                break Err(Problem::new(text));
            }
            Ok(Err(status)) => break Err(node.problem(&status)),
            Err(_) => break Err(Problem::timed_out(&node.address, session.timeout)),
        };
        match answer {
            Some(Response::Progress(PullProgress {
                pulled_bytes,
                total_bytes,
            })) => {
                bar.set_length(total_bytes);
                bar.set_position(pulled_bytes);
            }
            Some(Response::Done(image)) => break Ok(image),
            // Responses of newer nodes may be unknown here.
            None => {}
        }
    };
    bar.finish_and_clear();
    ended
}

fn bar(node: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let template = "{msg:<24} {wide_bar} {binary_bytes:>10} / {binary_total_bytes} {eta:>4}";
    bar.set_style(ProgressStyle::with_template(template).expect("the template is constant"));
    bar.set_message(node.to_owned());
    bar
}
