//! `bedplate mounts`.

use std::process::ExitCode;

use api::v1alpha1::stats_service_client::StatsServiceClient;
use api::v1alpha1::{MountsRequest, MountsResponse};
use clap::Args;

use crate::connect::MAX_RESPONSE;
use crate::fan_out::call_and_show;
use crate::session::Session;
use crate::ui::{Show, Table, bytes};

/// Lists mounted file systems.
#[derive(Debug, Args)]
pub struct Mounts {}

impl Mounts {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        call_and_show(&session, |node| async {
            let mut client = StatsServiceClient::new(node.channel).max_decoding_message_size(MAX_RESPONSE);
            client.mounts(MountsRequest {}).await
        })
        .await
    }
}

impl Show for MountsResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&["TARGET", "SOURCE", "TYPE", "ACCESS", "SIZE", "AVAILABLE"]);
        for mount in &self.mounts {
            let size = |count: u64| {
                if mount.size_bytes > 0 {
                    bytes(count)
                } else {
                    String::new()
                }
            };
            table.row([
                mount.target.clone(),
                mount.source.clone(),
                mount.file_system.clone(),
                if mount.read_only { "ro" } else { "rw" }.into(),
                size(mount.size_bytes),
                size(mount.available_bytes),
            ]);
        }
    }
}
