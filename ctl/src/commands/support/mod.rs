//! `bedplate support`.

mod archive;
mod collect;
mod scrub;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::Args;
use futures::StreamExt as _;
use tokio::time::timeout;

use crate::connect::Node;
use crate::fan_out::{NodeResponse, dial};
use crate::session::Session;
use crate::ui::{self, Format};

use archive::Archive;
use collect::Collected;

/// Collects what helps to find a fault.
#[derive(Debug, Args)]
pub struct Support {
    /// Archive to write, - for standard output; `bedplate-support-SECONDS.tar.zst` in the working directory if omitted.
    #[arg(short = 'O', long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Overwrite an existing file.
    #[arg(long)]
    force: bool,
    /// Time for one node, after which the archive has what came until then.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = quantity::time)]
    time_limit: Duration,
}

/// Number of nodes that are asked at a time: each holds what it answered in memory.
const AT_ONCE: usize = 4;

/// What is written about a node.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    node: String,
    files: usize,
    problems: Vec<String>,
}

impl Support {
    /// Asks the nodes, and writes the archive. A node that does not answer is recorded in it.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        let seconds = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let path = self
            .file
            .clone()
            .unwrap_or_else(|| PathBuf::from(format!("bedplate-support-{seconds}.tar.zst")));
        let piped = path == Path::new("-");
        anyhow::ensure!(
            piped || self.force || !path.exists(),
            "{} already exists; use --force to overwrite it, or --file to write elsewhere",
            path.display()
        );
        let mut archive = Archive::new(seconds)?;
        let summaries = self.collect(&session, &mut archive).await?;
        let bytes = archive.finish()?;
        let note = "secrets of the machine configs are redacted, names, addresses and logs are not";
        let size = ui::bytes(bytes.len() as u64);
        if piped {
            ui::write(&bytes)?;
            ui::note(&format!("{size}; {note}"));
        } else {
            let write = match self.force {
                true => sys::durable::write,
                false => sys::durable::create,
            };
            write(&path, &bytes, 0o600).with_context(|| format!("cannot write {}", path.display()))?;
            match session.format {
                Format::Table => ui::line(&path.display().to_string())?,
                format => ui::value(format, &summaries)?,
            }
            ui::note(&format!(
                "{size}; {note}; the archive is not encrypted: look at it before you give it away"
            ));
        }
        let answered = summaries.iter().any(|summary| summary.files > 0);
        Ok(match answered {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }

    /// Puts what the nodes answer into the archive, one node after another.
    async fn collect(&self, session: &Session, archive: &mut Archive) -> anyhow::Result<Vec<Summary>> {
        let nodes = dial(session).await.into_iter().map(|one| self.ask(session, one));
        let mut nodes = futures::stream::iter(nodes).buffered(AT_ONCE);
        let mut summaries = Vec::new();
        while let Some((node, collected)) = nodes.next().await {
            let Collected { files, problems, .. } = collected;
            ui::note(&format!(
                "{node}: {} files, {} problems",
                files.len(),
                problems.len()
            ));
            let folder = folder_of(&node);
            for (name, text) in &files {
                archive.add(&format!("{folder}/{name}"), text)?;
            }
            if !problems.is_empty() {
                let text = format!("{}\n", problems.join("\n"));
                archive.add(&format!("{folder}/problems.txt"), &text)?;
            }
            summaries.push(Summary {
                node,
                files: files.len(),
                problems,
            });
        }
        Ok(summaries)
    }

    async fn ask(&self, session: &Session, one: NodeResponse<Node>) -> (String, Collected) {
        let name = one.node.to_string();
        let mut collected = Collected::default();
        match one.result {
            Err(problem) => collected.problems.push(problem.to_string()),
            Ok(node) => {
                let all = collect::collect(session.timeout, &node, &mut collected);
                if timeout(self.time_limit, all).await.is_err() {
                    collected.problems.push(format!(
                        "stopped after {}; use a longer --time-limit for the rest",
                        ui::duration(self.time_limit)
                    ));
                }
            }
        }
        collected.redact();
        (name, collected)
    }
}

/// Returns the folder of a node: its address, with nothing in it that means something in a path.
fn folder_of(node: &str) -> String {
    let plain = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' => c,
        _ => '_',
    };
    let name: String = node.chars().map(plain).collect();
    name.trim_start_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_node_cannot_leave_its_folder() {
        assert_eq!(super::folder_of("[fd00::2]:50000"), "_fd00__2__50000");
        assert_eq!(super::folder_of("../../etc"), "_.._etc");
    }
}
