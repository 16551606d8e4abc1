//! Asks a node again and again, and connects again when it was away.

use std::future::Future;
use std::time::Duration;

use api::v1alpha1::log_service_client::LogServiceClient;
use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::service_service_client::ServiceServiceClient;
use api::v1alpha1::stats_service_client::StatsServiceClient;
use api::v1alpha1::{CpuRequest, ListServicesRequest, LogsRequest, MemoryRequest, StatusRequest};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tonic::{Code, Response, Status};

use crate::address::Address;
use crate::connect::{Node, connect};
use crate::explain::Problem;
use crate::session::Session;
use crate::ui::{clean, moment_ms};

use super::state::{Answer, Reading, Wanted};

/// Lines of a log that are asked for: more than a page has.
const LINES: u32 = 200;

/// Asks a node at every interval, and at once when another log of it is wanted. Ends when nobody listens any more.
pub async fn forever(
    session: &Session,
    index: usize,
    address: &Address,
    interval: Duration,
    mut wanted: watch::Receiver<Wanted>,
    sender: mpsc::Sender<(usize, Answer)>,
) {
    let mut connected = None;
    loop {
        let log = wanted.borrow_and_update().log_of(index);
        let answer = read(session, address, &mut connected, log).await;
        if answer.is_err() {
            connected = None;
        }
        let answer = answer
            .map(Box::new)
            .map_err(|problem| clean(&problem.to_string()));
        if sender.send((index, answer)).await.is_err() {
            return;
        }
        let asked_anew = async {
            // Only a change that concerns this node.
            while wanted.changed().await.is_ok() {
                if wanted.borrow().log_of(index).is_some() {
                    return;
                }
            }
            std::future::pending().await
        };
        // Both arms are cancel safe.
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = asked_anew => {}
        }
    }
}

async fn read(
    session: &Session,
    address: &Address,
    connected: &mut Option<Node>,
    log: Option<String>,
) -> Result<Reading, Problem> {
    let node = match connected {
        Some(node) => node,
        None => connected.insert(connect(session, address).await?),
    };
    let channel = node.channel.clone();
    let ask = Ask { session, node };
    let mut stats = StatsServiceClient::new(channel.clone());
    let mut machine = MachineServiceClient::new(channel.clone());
    let mut services = ServiceServiceClient::new(channel.clone());
    let status = ask.one(machine.status(StatusRequest {})).await?;
    let cpu = ask.one(stats.cpu(CpuRequest {})).await?;
    let memory = ask.one(stats.memory(MemoryRequest {})).await?;
    // Both are refused in maintenance mode, where there is nothing to show.
    let services = ask.unless_refused(services.list(ListServicesRequest {})).await?;
    let lines = match log {
        Some(source) => Some((source.clone(), lines(&ask, source).await?)),
        None => None,
    };
    Ok(Reading {
        status,
        cpu,
        memory,
        services: services.map(|list| list.services).unwrap_or_default(),
        lines,
    })
}

async fn lines(ask: &Ask<'_>, source: String) -> Result<Vec<String>, Problem> {
    let request = LogsRequest {
        source,
        tail: LINES,
        follow: false,
    };
    let mut logs = LogServiceClient::new(ask.node.channel.clone());
    let Some(mut stream) = ask.unless_refused(logs.logs(request)).await? else {
        return Ok(Vec::new());
    };
    let mut lines = Vec::new();
    while let Some(line) = ask.wait(stream.message()).await? {
        lines.push(format!("{} {}", moment_ms(line.unix_ms), clean(&line.line)));
        if lines.len() > LINES as usize {
            break;
        }
    }
    Ok(lines)
}

/// A node that is asked, with the session's patience.
struct Ask<'a> {
    session: &'a Session,
    node: &'a Node,
}

impl Ask<'_> {
    async fn wait<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Problem> {
        match timeout(self.session.timeout, call).await {
            Ok(answer) => answer.map_err(|status| self.node.problem(&status)),
            Err(_) => Err(Problem::timed_out(&self.node.address, self.session.timeout)),
        }
    }

    async fn one<T>(&self, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Problem> {
        self.wait(call).await.map(Response::into_inner)
    }

    /// Asks for what a node may refuse in its state, or does not have.
    async fn unless_refused<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<Option<T>, Problem> {
        let refused = |status: &Status| matches!(status.code(), Code::FailedPrecondition | Code::NotFound);
        let call = async {
            match call.await {
                Err(status) if refused(&status) => Ok(None),
                other => other.map(|answer| Some(answer.into_inner())),
            }
        };
        self.wait(call).await
    }
}
