//! `bedplate support`.

mod archive;
mod collect;
mod scrub;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::Args;
use futures::StreamExt as _;
use tokio::time::timeout;

use crate::fan_out::{NodeResponse, dial};
use crate::session::Session;
use crate::ui::{self, Format};

use archive::Archive;
use collect::Collected;

/// Collects what helps to find a fault.
#[derive(Debug, Args)]
pub struct Support {
    /// Archive to write; `bedplate-support-SECONDS.tar.zst` in the working directory if omitted.
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
        anyhow::ensure!(
            self.force || !path.exists(),
            "{} already exists; use --force to overwrite it, or --file to write elsewhere",
            path.display()
        );
        let mut archive = Archive::new(seconds)?;
        let mut summaries = Vec::new();
        let nodes = dial(&session).await.into_iter().map(|one| self.ask(&session, one));
        let mut nodes = futures::stream::iter(nodes).buffered(AT_ONCE);
        while let Some((node, collected)) = nodes.next().await {
            let problems = collected.problems;
            ui::note(&format!("{node}: {} files, {} problems", collected.files.len(), problems.len()));
            let folder = folder_of(&node);
            for (name, text) in &collected.files {
                archive.add(&format!("{folder}/{name}"), text)?;
            }
            if !problems.is_empty() {
                archive.add(&format!("{folder}/problems.txt"), &format!("{}\n", problems.join("\n")))?;
            }
            summaries.push(Summary {
                node,
                files: collected.files.len(),
                problems,
            });
        }
        let bytes = archive.finish()?;
        let size = bytes.len() as u64;
        let write = if self.force { sys::durable::write } else { sys::durable::create };
        write(&path, &bytes, 0o600).with_context(|| format!("cannot write {}", path.display()))?;
        match session.format {
            Format::Table => ui::line(&path.display().to_string())?,
            format => ui::value(format, &summaries)?,
        }
        ui::note(&format!(
            "{}; secrets of the machine configs are redacted, but names, addresses and logs are not: the archive is not encrypted, so look at it before you give it away",
            ui::bytes(size)
        ));
        let answered = summaries.iter().any(|summary| summary.files > 0);
        Ok(if answered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn ask(
        &self,
        session: &Session,
        one: NodeResponse<crate::connect::Node>,
    ) -> (String, Collected) {
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
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => c,
        '.' => c,
        _ => '_',
    };
    node.chars().map(plain).collect::<String>().trim_start_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_node_cannot_leave_its_folder() {
        assert_eq!(super::folder_of("[fd00::2]:50000"), "_fd00__2__50000");
        assert_eq!(super::folder_of("../../etc"), "_.._etc");
    }
}
