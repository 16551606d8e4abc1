//! `bedplate cpu`.

use std::process::ExitCode;

use api::v1alpha1::stats_service_client::StatsServiceClient;
use api::v1alpha1::{CpuRequest, CpuResponse, CpuTimes};
use clap::Args;

use crate::connect::MAX_RESPONSE;
use crate::fan_out::call_and_show;
use crate::session::Session;
use crate::ui::{Show, Table};

/// Shows CPUs, load and temperature.
#[derive(Debug, Args)]
pub struct Cpu {}

impl Cpu {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        call_and_show(&session, |node| async {
            let mut client = StatsServiceClient::new(node.channel).max_decoding_message_size(MAX_RESPONSE);
            client.cpu(CpuRequest {}).await
        })
        .await
    }
}

impl Show for CpuResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&[
            "CPUS",
            "LOAD 1M",
            "LOAD 5M",
            "LOAD 15M",
            "BUSY",
            "FREQUENCY",
            "TEMPERATURE",
        ]);
        let frequency = self.cpus.iter().map(|cpu| cpu.frequency_hz).max().unwrap_or(0);
        let hottest = self.temperatures.iter().map(|zone| zone.millidegrees).max();
        table.row([
            self.cpus.len().to_string(),
            format!("{:.2}", self.load_1m),
            format!("{:.2}", self.load_5m),
            format!("{:.2}", self.load_15m),
            self.total.as_ref().map(busy).unwrap_or_default(),
            if frequency > 0 {
                format!("{} MHz", frequency / 1_000_000)
            } else {
                String::new()
            },
            hottest
                .map(|millis| format!("{}.{} °C", millis / 1000, millis % 1000 / 100))
                .unwrap_or_default(),
        ]);
    }
}

/// Returns the share of the time since boot in which the CPUs were busy.
fn busy(times: &CpuTimes) -> String {
    let idle = times.idle_ms + times.iowait_ms;
    let all = idle + times.user_ms + times.system_ms + times.steal_ms;
    let percent = ((all - idle) * 100).checked_div(all);
    percent.map(|percent| format!("{percent}%")).unwrap_or_default()
}
