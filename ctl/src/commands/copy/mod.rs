//! `bedplate copy`.

mod unpack;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use api::v1alpha1::CopyFilesRequest;
use api::v1alpha1::file_service_client::FileServiceClient;
use clap::Args;

use crate::fan_out::{NodeResponse, dial};
use crate::session::Session;
use crate::ui;

/// Copies files of a node.
#[derive(Debug, Args)]
pub struct Copy {
    /// Absolute path of a file or directory of the node.
    path: String,
    /// Directory to unpack it into, or - to write a tar file to standard output.
    #[arg(value_name = "FOLDER|-", default_value = ".")]
    to: PathBuf,
}

/// The most that is said about what was left out.
const NOTES: usize = 20;

impl Copy {
    /// Copies from the node, and unpacks what arrives.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        session.one_node("files are copied from one node at a time")?;
        let node = dial(&session).await.into_iter().next();
        let NodeResponse { result, .. } = node.context("no node to copy from")?;
        let node = result?;
        let request = CopyFilesRequest { path: self.path };
        let started = FileServiceClient::new(node.channel.clone()).copy(request).await;
        let mut pieces = started.map_err(|status| node.problem(&status))?.into_inner();
        let piped = self.to == Path::new("-");
        let mut unpacking = match piped {
            true => None,
            false => Some(unpack::Unpacking::start(&self.to)?),
        };
        let mut skipped = 0;
        while let Some(piece) = pieces.message().await.map_err(|status| node.problem(&status))? {
            let goes_on = match &mut unpacking {
                None => ui::write(&piece.data).map(|()| true)?,
                Some(unpacking) => unpacking.add(piece.data).await,
            };
            if !goes_on {
                // It has failed, and says why below.
                break;
            }
            if !piece.skipped.is_empty() {
                skipped += 1;
                if skipped <= NOTES {
                    ui::note(&format!("left out: {}", ui::clean(&piece.skipped)));
                }
            }
        }
        if skipped > NOTES {
            ui::note(&format!("left out: {} more", skipped - NOTES));
        }
        if let Some(unpacking) = unpacking {
            let unpacked = unpacking.finish().await?;
            if unpacked.links > 0 {
                ui::note(&format!(
                    "{} symbolic links were not created; copy to - for a tar file that has them",
                    unpacked.links
                ));
            }
            ui::note(&format!(
                "{} files, {} in {}",
                unpacked.files,
                ui::bytes(unpacked.bytes),
                self.to.display()
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}
