//! `bedplate ls` and `bedplate read`.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use api::names::word;
use api::v1alpha1::file_service_client::FileServiceClient;
use api::v1alpha1::{FileKind, ListFilesRequest, ListFilesResponse, ReadFileRequest};
use clap::Args;

use crate::fan_out::{NodeResponse, call_and_show, dial};
use crate::session::Session;
use crate::ui::{self, Show, Table, bytes, moment};

/// Lists files.
#[derive(Debug, Args)]
pub struct Ls {
    /// Absolute path; without one, the directories that may be read are listed.
    #[arg(default_value = "/")]
    path: String,
}

impl Ls {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        let request = ListFilesRequest { path: self.path };
        call_and_show(&session, |node| async {
            FileServiceClient::new(node.channel).list(request.clone()).await
        })
        .await
    }
}

/// Prints the content of a file.
#[derive(Debug, Args)]
pub struct Read {
    /// Absolute path.
    path: String,
    /// Offset of the first byte.
    #[arg(long, default_value_t = 0)]
    offset: u64,
    /// Maximum number of bytes; 0 means all.
    #[arg(long, default_value_t = 0)]
    limit: u64,
}

impl Read {
    /// Copies the content of a file to standard output.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        let nodes = dial(&session).await;
        let [NodeResponse { result, .. }] = <[_; 1]>::try_from(nodes).map_err(|nodes| {
            anyhow::anyhow!(
                "a file can be read from one node at a time, not from {}: use --nodes",
                nodes.len()
            )
        })?;
        let node = result?;
        let request = ReadFileRequest {
            path: self.path,
            offset: self.offset,
            limit: self.limit,
        };
        let started = FileServiceClient::new(node.channel.clone()).read(request).await;
        let mut chunks = started.map_err(|status| node.problem(&status))?.into_inner();
        while let Some(chunk) = chunks.message().await.map_err(|status| node.problem(&status))? {
            ui::write(&chunk.data)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Show for ListFilesResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&["MODE", "SIZE", "MODIFIED", "NAME"]);
        for file in &self.files {
            let modified = Duration::from_secs(u64::try_from(file.modified_unix).unwrap_or(0));
            let kind = FileKind::try_from(file.kind).unwrap_or_default();
            let name = match kind {
                FileKind::Directory => format!("{}/", file.name),
                FileKind::Symlink => format!("{} -> {}", file.name, file.link),
                _ => file.name.clone(),
            };
            table.row([
                format!("{} {:04o}", word::<FileKind>(file.kind), file.mode),
                bytes(file.size_bytes),
                moment(SystemTime::UNIX_EPOCH + modified),
                name,
            ]);
        }
        if self.truncated {
            table.row(["…".into(), String::new(), String::new(), "(truncated)".into()]);
        }
    }
}
