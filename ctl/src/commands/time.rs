//! `bedplate time`.

use std::process::ExitCode;

use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::{TimeRequest, TimeResponse};
use clap::Args;

use crate::connect::MAX_RESPONSE;
use crate::fan_out::call_and_show;
use crate::session::Session;
use crate::ui::{Show, Table, moment_ms};

/// Shows clocks.
#[derive(Debug, Args)]
pub struct Time {}

impl Time {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        call_and_show(&session, |node| async {
            let mut client = MachineServiceClient::new(node.channel).max_decoding_message_size(MAX_RESPONSE);
            client.time(TimeRequest {}).await
        })
        .await
    }
}

impl Show for TimeResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&["TIME", "SYNCHRONISED", "SOURCE", "SERVER", "OFFSET"]);
        table.row([
            moment_ms(self.unix_nanos / 1_000_000),
            if self.synchronised { "yes" } else { "no" }.into(),
            self.source.clone(),
            self.server.clone(),
            if self.synchronised {
                format!("{:.3}ms", self.offset_nanos as f64 / 1e6)
            } else {
                String::new()
            },
        ]);
    }
}
