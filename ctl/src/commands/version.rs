//! `bedplate version`.

use std::process::ExitCode;

use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::{VersionRequest, VersionResponse};
use clap::Args;

use crate::fan::ask_and_show;
use crate::options::Global;
use crate::session::Session;
use crate::ui::{self, Format, Show, Table};

/// Shows versions.
#[derive(Debug, Args)]
pub struct Version {
    /// Only of this program: asks no node.
    #[arg(long)]
    client: bool,
}

impl Version {
    /// Shows this program's version, if that is all that is asked.
    pub fn client_only(&self, global: &Global) -> anyhow::Result<Option<ExitCode>> {
        if !self.client {
            return Ok(None);
        }
        let version = env!("CARGO_PKG_VERSION");
        match global.output {
            Format::Table => ui::line(&format!("bedplate {version}, API {}", api::VERSION))?,
            format => ui::value(
                format,
                &serde_json::json!({"version": version, "api": api::VERSION}),
            )?,
        }
        Ok(Some(ExitCode::SUCCESS))
    }

    /// Asks and shows.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        if session.format == Format::Table {
            ui::note(&format!("this is version {}", env!("CARGO_PKG_VERSION")));
        }
        ask_and_show(&session, |node| async {
            MachineServiceClient::new(node.channel)
                .version(VersionRequest {})
                .await
        })
        .await
    }
}

impl Show for VersionResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&[
            "VERSION", "BOARD", "ARCH", "KERNEL", "API", "OVERLAYS", "MANIFEST",
        ]);
        table.row([
            self.version.clone(),
            self.board.clone(),
            self.arch.clone(),
            self.kernel.clone(),
            self.api.clone(),
            self.overlays.join(" "),
            self.manifest_sha256.chars().take(16).collect(),
        ]);
    }
}
