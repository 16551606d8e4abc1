//! `bedplate get-config`.

use std::process::ExitCode;

use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::{GetConfigRequest, GetConfigResponse};
use clap::Args;

use crate::fan_out::call_and_show;
use crate::session::Session;
use crate::ui::{Show, Table};

/// Prints a node's machine config.
#[derive(Debug, Args)]
pub struct GetConfig {}

impl GetConfig {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        call_and_show(&session, |node| async {
            MachineServiceClient::new(node.channel)
                .get_config(GetConfigRequest {})
                .await
        })
        .await
    }
}

impl Show for GetConfigResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&["REDACTED", "CONFIG"]);
        let redacted = if self.redacted { "yes" } else { "no" };
        table.row([
            redacted.into(),
            format!("{} lines; select one node to see them", self.yaml.lines().count()),
        ]);
    }

    fn detail(&self) -> Option<String> {
        Some(self.yaml.clone())
    }
}
