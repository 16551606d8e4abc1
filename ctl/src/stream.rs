//! Streams of one or several nodes, printed as they arrive.

use std::future::Future;
use std::process::ExitCode;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Response, Status, Streaming};

use crate::connect::Node;
use crate::explain::Problem;
use crate::fan_out::{NodeResponse, dial};
use crate::session::Session;
use crate::ui::{self, Format};

/// An item of one of several nodes as JSON or YAML.
#[derive(Serialize)]
struct Shown<'a, T> {
    node: &'a str,
    #[serde(flatten)]
    item: &'a T,
}

/// Follows a stream of every node, and prints each item as a line.
pub async fn follow<T, F>(
    session: &Session,
    call: impl Fn(Node) -> F + Clone + Send + 'static,
    line: impl Fn(&T) -> String,
) -> anyhow::Result<ExitCode>
where
    T: Serialize + Send + 'static,
    F: Future<Output = Result<Response<Streaming<T>>, Status>> + Send + 'static,
{
    let nodes = dial(session).await;
    let several = nodes.len() > 1;
    let (sender, mut items) = mpsc::channel(64);
    let mut code = ExitCode::SUCCESS;
    for NodeResponse { result, .. } in nodes {
        match result {
            Ok(node) => {
                let (call, sender, patience) = (call.clone(), sender.clone(), session.timeout);
                tokio::spawn(async move {
                    let name = node.address.to_string();
                    if let Err(problem) = forward(&name, &node, patience, call, &sender).await {
                        // The receiver lives until the last sender is gone.
                        let _ = sender.send((name, Err(problem))).await;
                    }
                });
            }
            Err(problem) => {
                ui::note(&problem.to_string());
                code = ExitCode::FAILURE;
            }
        }
    }
    drop(sender);
    while let Some((node, item)) = items.recv().await {
        match item {
            Ok(item) => print(session.format, several.then_some(node.as_str()), &item, &line)?,
            Err(problem) => {
                ui::note(&problem.to_string());
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

async fn forward<T, F>(
    name: &str,
    node: &Node,
    patience: std::time::Duration,
    call: impl Fn(Node) -> F,
    sender: &mpsc::Sender<(String, Result<T, Problem>)>,
) -> Result<(), Problem>
where
    F: Future<Output = Result<Response<Streaming<T>>, Status>>,
{
    // Only the first answer has a time limit: a quiet log is not a failure.
    let started = timeout(patience, call(node.clone())).await;
    let started = started.map_err(|_| Problem::timed_out(&node.address, patience))?;
    let mut stream = started.map_err(|status| node.problem(&status))?.into_inner();
    loop {
        match stream.message().await {
            Ok(Some(item)) => {
                if sender.send((name.to_owned(), Ok(item))).await.is_err() {
                    return Ok(());
                }
            }
            Ok(None) => return Ok(()),
            Err(status) => return Err(node.problem(&status)),
        }
    }
}

fn print<T: Serialize>(
    format: Format,
    node: Option<&str>,
    item: &T,
    line: &impl Fn(&T) -> String,
) -> anyhow::Result<()> {
    match (format, node) {
        (Format::Table, None) => ui::line(&line(item)),
        (Format::Table, Some(node)) => ui::line(&format!("{node}: {}", line(item))),
        (format, None) => ui::item(format, item),
        (format, Some(node)) => ui::item(format, &Shown { node, item }),
    }
}
