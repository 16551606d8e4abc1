//! `bedplate processes`.

use std::process::ExitCode;
use std::time::Duration;

use api::v1alpha1::stats_service_client::StatsServiceClient;
use api::v1alpha1::{ProcessesRequest, ProcessesResponse};
use clap::Args;

use crate::connect::MAX_RESPONSE;
use crate::fan_out::call_and_show;
use crate::session::Session;
use crate::ui::{Show, Table, bytes, duration};

/// Lists processes.
#[derive(Debug, Args)]
pub struct Processes {}

impl Processes {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        call_and_show(&session, |node| async {
            let mut client = StatsServiceClient::new(node.channel).max_decoding_message_size(MAX_RESPONSE);
            client.processes(ProcessesRequest {}).await
        })
        .await
    }
}

impl Show for ProcessesResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&[
            "PID", "PARENT", "STATE", "THREADS", "CPU", "RSS", "AGE", "NAME", "PROGRAM",
        ]);
        for process in &self.processes {
            table.row([
                process.pid.to_string(),
                process.parent.to_string(),
                process.state.clone(),
                process.threads.to_string(),
                duration(Duration::from_millis(process.cpu_ms)),
                bytes(process.rss_bytes),
                duration(Duration::from_millis(process.age_ms)),
                process.name.clone(),
                process.executable.clone(),
            ]);
        }
    }
}
