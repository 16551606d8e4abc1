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
pub struct Answer<R> {
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
pub async fn dial(session: &Session) -> Vec<Answer<Node>> {
    match &session.targets {
        Targets::All(addresses) => {
            let dials = addresses.iter().map(async |address: &Address| Answer {
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
                    conclude(&[passed]);
                }
                last = vec![Answer {
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
pub async fn call_all<R, F>(session: &Session, call: impl Fn(Node) -> F) -> Vec<Answer<R>>
where
    F: Future<Output = Result<Response<R>, Status>>,
{
    let call = &call;
    let asks = dial(session)
        .await
        .into_iter()
        .map(async |Answer { node, result }| {
            let result = match result {
                Ok(connected) => one(session, connected, call).await,
                Err(problem) => Err(problem),
            };
            Answer { node, result }
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
pub fn show<R: Serialize + Show>(session: &Session, answers: &[Answer<R>]) -> anyhow::Result<ExitCode> {
    match (session.format, answers) {
        (
            Format::Table,
            [
                Answer {
                    result: Ok(answer), ..
                },
            ],
        ) => match answer.detail() {
            Some(detail) => ui::write(detail.as_bytes())?,
            None => {
                let mut table = Table::default();
                answer.show(&mut table);
                ui::write(table.draw().as_bytes())?;
            }
        },
        (Format::Table, several) => {
            let mut table = Table::default();
            for answer in several {
                table.for_node(&answer.node.to_string());
                if let Ok(result) = &answer.result {
                    result.show(&mut table);
                }
            }
            ui::write(table.draw().as_bytes())?;
        }
        (
            format,
            [
                Answer {
                    result: Ok(answer), ..
                },
            ],
        ) => ui::value(format, answer)?,
        (format, several) => {
            let shown = several.iter().map(|answer| Shown {
                node: answer.node.to_string(),
                result: answer.result.as_ref().ok(),
                error: answer.result.as_ref().err().map(ToString::to_string),
            });
            ui::value(format, &shown.collect::<Vec<_>>())?;
        }
    }
    Ok(conclude(answers))
}

/// Reports problems, and returns the exit code.
pub fn conclude<R>(answers: &[Answer<R>]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for problem in answers.iter().filter_map(|answer| answer.result.as_ref().err()) {
        ui::note(&problem.to_string());
        code = ExitCode::FAILURE;
    }
    code
}
