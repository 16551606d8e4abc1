//! `bedplate memory`.

use std::process::ExitCode;

use api::v1alpha1::stats_service_client::StatsServiceClient;
use api::v1alpha1::{MemoryRequest, MemoryResponse};
use clap::Args;

use crate::connect::MAX_RESPONSE;
use crate::fan_out::call_and_show;
use crate::session::Session;
use crate::ui::{Show, Table, bytes};

/// Shows memory usage.
#[derive(Debug, Args)]
pub struct Memory {}

impl Memory {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        call_and_show(&session, |node| async {
            let mut client = StatsServiceClient::new(node.channel).max_decoding_message_size(MAX_RESPONSE);
            client.memory(MemoryRequest {}).await
        })
        .await
    }
}

impl Show for MemoryResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&[
            "TOTAL",
            "AVAILABLE",
            "FREE",
            "CACHED",
            "BUFFERS",
            "SLAB",
            "SHARED",
            "SWAP",
            "MACHINED",
        ]);
        table.row([
            bytes(self.total_bytes),
            bytes(self.available_bytes),
            bytes(self.free_bytes),
            bytes(self.cached_bytes),
            bytes(self.buffers_bytes),
            bytes(self.slab_bytes),
            bytes(self.shared_bytes),
            bytes(self.swap_total_bytes),
            bytes(self.agent_rss_bytes),
        ]);
    }
}
