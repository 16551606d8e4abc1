//! `bedplate bootstrap --recover-from`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use api::v1alpha1::etcd_recover_request::Request;
use api::v1alpha1::etcd_recover_response::Response;
use api::v1alpha1::etcd_service_client::EtcdServiceClient;
use api::v1alpha1::{EtcdRecoverRequest, EtcdRecovered, StartEtcdRecovery};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::connect::Node;
use crate::explain::Problem;
use crate::fan_out::{NodeResponse, dial, show};
use crate::pushed::Pushed;
use crate::session::Session;
use crate::ui::{Show, Table, bytes};

/// Recovers from a snapshot that one node keeps, and prints the result.
pub async fn run_kept(session: &Session, name: &str, replace: bool) -> anyhow::Result<ExitCode> {
    let start = StartEtcdRecovery {
        length: 0,
        name: name.to_owned(),
        replace,
    };
    each(session, start, None).await
}

/// Sends a snapshot to one node, which begins the cluster with it, and prints the result.
pub async fn run(session: &Session, path: &Path, replace: bool) -> anyhow::Result<ExitCode> {
    let snapshot = Pushed::open(path, "a snapshot")?;
    let start = StartEtcdRecovery {
        length: snapshot.length(),
        name: String::new(),
        replace,
    };
    each(session, start, Some(&snapshot)).await
}

/// Calls the one node.
async fn each(
    session: &Session,
    start: StartEtcdRecovery,
    snapshot: Option<&Pushed>,
) -> anyhow::Result<ExitCode> {
    let mut responses = Vec::new();
    for NodeResponse { node, result } in dial(session).await {
        let result = match result {
            Ok(connected) => push(session, &connected, start.clone(), snapshot).await?,
            Err(problem) => Err(problem),
        };
        responses.push(NodeResponse { node, result });
    }
    show(session, &responses)
}

/// Sends what the node requests, until it has restored the snapshot or says why it cannot be.
async fn push(
    session: &Session,
    node: &Node,
    start: StartEtcdRecovery,
    snapshot: Option<&Pushed>,
) -> anyhow::Result<Result<EtcdRecovered, Problem>> {
    let (sender, receiver) = mpsc::channel(1);
    let length = start.length;
    // There is room for one.
    let _ = sender.try_send(Request::Start(start));
    let requests = futures::stream::unfold(receiver, |mut receiver: mpsc::Receiver<Request>| async {
        let request = Some(receiver.recv().await?);
        Some((EtcdRecoverRequest { request }, receiver))
    });
    let mut client = EtcdServiceClient::new(node.channel.clone());
    let mut answers = match timeout(session.timeout, client.etcd_recover(requests)).await {
        Ok(Ok(answers)) => answers.into_inner(),
        Ok(Err(status)) => return Ok(Err(node.problem(&status))),
        Err(_) => return Ok(Err(Problem::timed_out(&node.address, session.timeout))),
    };
    let bar = match snapshot {
        Some(snapshot) => snapshot.bar("sending the snapshot"),
        None => ProgressBar::new_spinner(),
    };
    if snapshot.is_none() {
        restoring(&bar, node);
    }
    let ended = loop {
        let answer = match answers.message().await {
            Ok(Some(answer)) => answer.response,
            Ok(None) => {
                break Err(Problem::new(format!(
                    "{} ended the call without a result",
                    node.address
                )));
            }
            Err(status) => break Err(node.problem(&status)),
        };
        match answer {
            Some(Response::Want(want)) => {
                let snapshot = snapshot.context("the node requested data of a snapshot that it has")?;
                let data = snapshot.piece(want).await?;
                let sent = want.offset + u64::from(want.length);
                // A call that has ended says so with its next response.
                let _ = sender.send(Request::Data(data)).await;
                bar.set_position(sent);
                if sent == length {
                    restoring(&bar, node);
                }
            }
            Some(Response::Done(recovered)) => break Ok(recovered),
            // Responses of newer nodes may be unknown here.
            None => {}
        }
    };
    bar.finish_and_clear();
    Ok(ended)
}

/// Says that the node has all data.
fn restoring(bar: &ProgressBar, node: &Node) {
    if bar.is_hidden() {
        crate::ui::note(&format!("{}: restoring the snapshot", node.address));
        return;
    }
    let style = ProgressStyle::with_template("{spinner} {msg} {elapsed:>4}");
    bar.set_style(style.expect("the template is constant"));
    bar.set_message("restoring the snapshot");
    bar.enable_steady_tick(Duration::from_millis(200));
}

impl Show for EtcdRecovered {
    fn show(&self, table: &mut Table) {
        table
            .headings(&["SNAPSHOT SHA-256", "SIZE"])
            .row([self.sha256.clone(), bytes(self.size_bytes)]);
    }

    fn detail(&self) -> Option<String> {
        Some(format!(
            "cluster: recovering from a snapshot of {} with SHA-256 {}\n",
            bytes(self.size_bytes),
            self.sha256
        ))
    }
}
