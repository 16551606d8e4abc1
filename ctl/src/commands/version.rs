//! `bedplate version`.

use std::process::ExitCode;

use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::{VersionRequest, VersionResponse};
use clap::Args;

use crate::fan_out::call_and_show;
use crate::options::Global;
use crate::session::Session;
use crate::ui::{self, Format, Show, Table};

/// Shows versions.
#[derive(Debug, Args)]
pub struct Version {
    /// Show only the version of this program, and call no node.
    #[arg(long)]
    client: bool,
}

impl Version {
    /// Prints this program's version, if only that was asked for.
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

    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        if session.format == Format::Table {
            ui::note(&format!("this is version {}", env!("CARGO_PKG_VERSION")));
        }
        call_and_show(&session, |node| async {
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
