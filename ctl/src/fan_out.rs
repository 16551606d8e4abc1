//! Calls of one or several nodes at once, and their results together.

use std::future::Future;
use std::process::ExitCode;

use futures::StreamExt as _;
use serde::Serialize;
use tokio::time::timeout;
use tonic::{Response, Status};

use crate::address::Address;
use crate::connect::{Node, connect};
use crate::explain::Problem;
use crate::session::{Session, Targets};
use crate::ui::{self, Format, Show, Table};

/// Number of nodes that are called at a time.
const AT_ONCE: usize = 32;

/// The result of one node.
pub struct NodeResponse<R> {
    /// The node.
    pub node: Address,
    /// Its response, or the reason why there is none.
    pub result: Result<R, Problem>,
}

/// One of several results as JSON or YAML.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a, R> {
    node: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a R>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Connects to the session's nodes, or to the first of its endpoints that can be reached.
pub async fn dial(session: &Session) -> Vec<NodeResponse<Node>> {
    match &session.targets {
        Targets::All(addresses) => {
            let dials = addresses.iter().map(async |address: &Address| NodeResponse {
                node: address.clone(),
                result: connect(session, address).await,
            });
            // In the order they were named, whichever comes first.
            futures::stream::iter(dials).buffered(AT_ONCE).collect().await
        }
        Targets::FirstOf(addresses) => {
            let mut last = Vec::new();
            for address in addresses {
                let result = connect(session, address).await;
                let next = result.as_ref().is_err_and(|problem| problem.unreachable);
                // The problem of the last one is the result; earlier ones are reported at once.
                for passed in std::mem::take(&mut last) {
                    exit_code(&[passed]);
                }
                last = vec![NodeResponse {
                    node: address.clone(),
                    result,
                }];
                if !next {
                    break;
                }
            }
            last
        }
    }
}

/// Makes the same call to every node.
pub async fn call_all<R, F>(session: &Session, call: impl Fn(Node) -> F) -> Vec<NodeResponse<R>>
where
    F: Future<Output = Result<Response<R>, Status>>,
{
    let call = &call;
    let asks = dial(session)
        .await
        .into_iter()
        .map(async |NodeResponse { node, result }| {
            let result = match result {
                Ok(connected) => one(session, connected, call).await,
                Err(problem) => Err(problem),
            };
            NodeResponse { node, result }
        });
    futures::stream::iter(asks).buffered(AT_ONCE).collect().await
}

async fn one<R, F>(session: &Session, node: Node, call: &impl Fn(Node) -> F) -> Result<R, Problem>
where
    F: Future<Output = Result<Response<R>, Status>>,
{
    match timeout(session.timeout, call(node.clone())).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(node.problem(&status)),
        Err(_) => Err(Problem::timed_out(&node.address, session.timeout)),
    }
}

/// Makes the same call to every node, and prints the results.
pub async fn call_and_show<R, F>(session: &Session, call: impl Fn(Node) -> F) -> anyhow::Result<ExitCode>
where
    R: Serialize + Show,
    F: Future<Output = Result<Response<R>, Status>>,
{
    show(session, &call_all(session, call).await)
}

/// Prints results on standard output and problems on standard error, and returns the exit code.
pub fn show<R: Serialize + Show>(
    session: &Session,
    responses: &[NodeResponse<R>],
) -> anyhow::Result<ExitCode> {
    match (session.format, responses) {
        (
            Format::Table,
            [
                NodeResponse {
                    result: Ok(response), ..
                },
            ],
        ) => match response.detail() {
            Some(detail) => ui::write(detail.as_bytes())?,
            None => {
                let mut table = Table::default();
                response.show(&mut table);
                ui::write(table.draw().as_bytes())?;
            }
        },
        (Format::Table, several) => {
            let mut table = Table::default();
            for response in several {
                table.for_node(&response.node.to_string());
                if let Ok(result) = &response.result {
                    result.show(&mut table);
                }
            }
            ui::write(table.draw().as_bytes())?;
        }
        (
            format,
            [
                NodeResponse {
                    result: Ok(response), ..
                },
            ],
        ) => ui::value(format, response)?,
        (format, several) => {
            let shown = several.iter().map(|response| Shown {
                node: response.node.to_string(),
                result: response.result.as_ref().ok(),
                error: response.result.as_ref().err().map(ToString::to_string),
            });
            ui::value(format, &shown.collect::<Vec<_>>())?;
        }
    }
    Ok(exit_code(responses))
}

/// Reports problems, and returns the exit code.
pub fn exit_code<R>(responses: &[NodeResponse<R>]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for problem in responses
        .iter()
        .filter_map(|response| response.result.as_ref().err())
    {
        ui::note(&problem.to_string());
        code = ExitCode::FAILURE;
    }
    code
}
