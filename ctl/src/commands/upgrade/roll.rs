//! The upgrade of several nodes in turn, and its summary.

use std::cell::RefCell;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use super::decide::Goal;
use super::drive::Driver;
use super::order::{Next, Turn, next};
use super::outcome::{Failure, Outcome};
use super::report::{Event, Report};
use super::show::full_text;
use super::source::Source;
use crate::address::Address;
use crate::ui::{self, Format, Table, duration};

/// The result of one node.
pub struct NodeResult {
    /// Address of the node.
    pub address: Address,
    /// Version that ran before; empty if unknown.
    pub from: String,
    /// Duration of the upgrade.
    pub took: Duration,
    /// The outcome; `None` if it was not started.
    pub result: Option<Result<Outcome, Failure>>,
}

impl NodeResult {
    /// Returns the result as a word for programs.
    pub fn word(&self) -> &'static str {
        match &self.result {
            None => "not-begun",
            Some(Err(_)) => "failed",
            Some(Ok(Outcome::Already)) => "already",
            Some(Ok(Outcome::Upgraded)) => "upgraded",
            Some(Ok(Outcome::Restarts)) => "restarts",
            Some(Ok(Outcome::Armed)) => "armed",
            Some(Ok(Outcome::Window)) => "window",
        }
    }
}

/// Upgrades the nodes, `parallel` at a time, until one fails. Upgrades that are running then are followed to their end.
pub async fn roll(
    driver: &Driver<'_>,
    addresses: &[Address],
    parallel: usize,
) -> anyhow::Result<Vec<NodeResult>> {
    let mut turns = vec![Turn::Pending; addresses.len()];
    let mut results: Vec<NodeResult> = addresses.iter().map(pending).collect();
    let mut running = FuturesUnordered::new();
    loop {
        match next(&turns, parallel) {
            Next::Start(number) => {
                turns[number] = Turn::Running;
                let address = &addresses[number];
                running.push(async move { (number, upgrade_one(driver, address).await) });
            }
            Next::Wait => {
                let Some((number, ran)) = running.next().await else {
                    break;
                };
                report_result(driver.report, driver.goal, &ran)?;
                turns[number] = match ran.result {
                    Some(Ok(_)) => Turn::Succeeded,
                    _ => Turn::Failed,
                };
                results[number] = ran;
            }
            Next::End => break,
        }
    }
    for ran in results.iter().filter(|ran| ran.result.is_none()) {
        report_result(driver.report, driver.goal, ran)?;
    }
    Ok(results)
}

fn pending(address: &Address) -> NodeResult {
    NodeResult {
        address: address.clone(),
        from: String::new(),
        took: Duration::ZERO,
        result: None,
    }
}

/// Upgrades one node.
pub async fn upgrade_one(driver: &Driver<'_>, address: &Address) -> NodeResult {
    let started = Instant::now();
    let mut from = String::new();
    let result = driver.upgrade(address, &mut from).await;
    driver.report.end(&address.to_string());
    NodeResult {
        address: address.clone(),
        from,
        took: started.elapsed(),
        result: Some(result),
    }
}

/// Reports the result of a node: a failure at once, with the node's record of it.
pub fn report_result(report: &Report, goal: &RefCell<Goal>, ran: &NodeResult) -> anyhow::Result<()> {
    let goal = goal.borrow();
    let failure = ran.result.as_ref().and_then(|result| result.as_ref().err());
    if let Some(failure) = failure {
        report.note(&failure.text);
        let record = failure.record.as_deref();
        if let Some(record) = record.filter(|record| !record.kernel_log.is_empty()) {
            report.note(full_text(record).trim_end());
        }
    }
    let node = ran.address.to_string();
    let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    report.event(&Event {
        node: &node,
        event: "result",
        result: Some(ran.word()),
        from: known(&ran.from).as_deref(),
        to: known(&goal.version).as_deref(),
        took_ms: Some(u64::try_from(ran.took.as_millis()).unwrap_or(u64::MAX)),
        error: failure.map(|failure| failure.text.as_str()),
        record: failure.and_then(|failure| failure.record.as_deref()),
        ..Event::default()
    })
}

/// Prints the summary on standard output, and how to continue after a failure.
pub fn sum_up(driver: &Driver<'_>, results: &[NodeResult], format: Format) -> anyhow::Result<ExitCode> {
    let fine = results.iter().all(|ran| matches!(ran.result, Some(Ok(_))));
    if format == Format::Table {
        match results {
            [ran] => {
                if let Some(Ok(outcome)) = &ran.result {
                    ui::line(&sentence(driver, ran, *outcome))?;
                }
            }
            results => ui::write(summary(driver, results).as_bytes())?,
        }
    }
    if !fine && results.len() > 1 {
        ui::note(&format!(
            "to continue when that is fixed: {}\n  nodes that already run the version are skipped",
            command_line()
        ));
    }
    Ok(if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn sentence(driver: &Driver<'_>, ran: &NodeResult, outcome: Outcome) -> String {
    let (node, took) = (&ran.address, duration(ran.took));
    let to = match driver.goal.borrow().version.as_str() {
        "" => "the release".to_owned(),
        version => version.to_owned(),
    };
    match outcome {
        Outcome::Already => format!("{node} already runs {to}"),
        Outcome::Upgraded => format!("{node} runs {to} and keeps it; it ran {} ({took})", ran.from),
        Outcome::Restarts => format!(
            "{node} is rebooting into {to}; see `bedplate upgrade status` for whether it is kept, \
             or use --wait next time"
        ),
        Outcome::Armed => format!("{node} starts {to} with its next reboot"),
        Outcome::Window => format!("{node} has {to} ready for its next maintenance window"),
    }
}

fn summary(driver: &Driver<'_>, results: &[NodeResult]) -> String {
    let goal = driver.goal.borrow();
    let mut table = Table::default();
    table.headings(&["NODE", "RESULT", "FROM", "TO", "TOOK", "NOTE"]);
    for ran in results {
        let note = match &ran.result {
            Some(Err(failure)) => failure.text.lines().next().unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        table.row([
            ran.address.to_string(),
            ran.word().to_owned(),
            ran.from.clone(),
            goal.version.clone(),
            match ran.result {
                Some(_) => duration(ran.took),
                None => String::new(),
            },
            note,
        ]);
    }
    table.draw()
}

/// Runs `work` until it ends or is interrupted; then tells what the nodes still do.
pub async fn unless_stopped(
    report: &Report,
    source: &Source,
    work: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    let stopped = tokio::select! {
        // Not cancel safe, and need not be: it is dropped when the user interrupts it.
        code = work => return code,
        // Cancel safe: a signal that is not taken ends nothing else.
        stopped = tokio::signal::ctrl_c() => stopped,
    };
    stopped?;
    report.note(match source {
        Source::Url(_) => {
            "interrupted: a node that has started continues by itself\n  \
             follow it with `bedplate upgrade status --follow`, or stop it with `bedplate upgrade cancel`"
        }
        Source::File(_) => {
            "interrupted: a node that was still fetching fails, and keeps what it has written\n  \
             run the same command again to continue from there; see `bedplate upgrade status`"
        }
    });
    // The exit code of a program that was ended by that signal.
    Ok(ExitCode::from(130))
}

/// Returns the command that was typed, quoted for a shell.
pub fn command_line() -> String {
    quoted(std::env::args())
}

fn quoted(words: impl Iterator<Item = String>) -> String {
    let plain = |word: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@%+[]".contains(c);
        !word.is_empty() && word.chars().all(known)
    };
    let words = words.enumerate().map(|(place, word)| match place {
        0 => "bedplate".to_owned(),
        _ if plain(&word) => word,
        _ => format!("'{}'", word.replace('\'', r"'\''")),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_pasted() {
        let words = [
            "/x/bedplate",
            "upgrade",
            "--url",
            "https://a/b?c&d",
            "it's",
            "",
            "-n",
            "a:1,b",
        ];
        assert_eq!(
            quoted(words.map(str::to_owned).into_iter()),
            r"bedplate upgrade --url 'https://a/b?c&d' 'it'\''s' '' -n a:1,b"
        );
    }
}
