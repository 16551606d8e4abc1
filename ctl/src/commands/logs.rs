//! `bedplate logs`, `bedplate dmesg` and `bedplate events`.

use std::process::ExitCode;

use api::v1alpha1::log_service_client::LogServiceClient;
use api::v1alpha1::{
    EventsRequest, EventsResponse, KernelLogRequest, KernelLogResponse, LogsRequest, LogsResponse,
};
use clap::Args;

use crate::connect::Node;
use crate::session::Session;
use crate::stream::follow;
use crate::ui::{clean, moment_ms};

/// The part of a log to show.
#[derive(Debug, Clone, Copy, Args)]
struct Range {
    /// Follow new entries as they arrive.
    #[arg(short, long)]
    follow: bool,
    /// Number of entries from the end to start with; all that are kept if omitted.
    #[arg(long, value_name = "COUNT", default_value_t = 0, hide_default_value = true)]
    tail: u32,
}

/// Shows a log.
#[derive(Debug, Args)]
pub struct Logs {
    /// Whose log: `machined`, or the name of a service or workload.
    #[arg(value_name = "NAME")]
    source: String,
    #[command(flatten)]
    range: Range,
}

impl Logs {
    /// Shows the log of a workload. People copy either name out of a list.
    pub fn of_workload(self) -> Self {
        const PREFIX: &str = "workload-";
        let name = self.source.strip_prefix(PREFIX).unwrap_or(&self.source);
        Self {
            source: format!("{PREFIX}{name}"),
            ..self
        }
    }

    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        let request = LogsRequest {
            source: self.source,
            tail: self.range.tail,
            follow: self.range.follow,
        };
        let call = move |node: Node| {
            let request = request.clone();
            async move { LogServiceClient::new(node.channel).logs(request).await }
        };
        follow(&session, call, |line: &LogsResponse| {
            let lost = match line.dropped {
                0 => String::new(),
                lost => format!("({lost} lines lost) "),
            };
            format!("{} {lost}{}", moment_ms(line.unix_ms), clean(&line.line))
        })
        .await
    }
}

/// Shows the kernel log.
#[derive(Debug, Args)]
pub struct Dmesg {
    #[command(flatten)]
    range: Range,
}

impl Dmesg {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        let Range { follow: go_on, tail } = self.range;
        let request = KernelLogRequest { tail, follow: go_on };
        let call =
            move |node: Node| async move { LogServiceClient::new(node.channel).kernel_log(request).await };
        follow(&session, call, |record: &KernelLogResponse| {
            const SEVERITIES: [&str; 8] = [
                "emerg", "alert", "crit", "error", "warn", "notice", "info", "debug",
            ];
            let severity = usize::try_from(record.severity)
                .ok()
                .and_then(|index| SEVERITIES.get(index));
            let micros = record.uptime_us;
            format!(
                "[{:>5}.{:06}] {:<6} {}",
                micros / 1_000_000,
                micros % 1_000_000,
                severity.copied().unwrap_or("?"),
                clean(&record.text)
            )
        })
        .await
    }
}

/// Shows events.
#[derive(Debug, Args)]
pub struct Events {
    #[command(flatten)]
    range: Range,
}

impl Events {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        let Range { follow: go_on, tail } = self.range;
        let request = EventsRequest { tail, follow: go_on };
        let call = move |node: Node| async move { LogServiceClient::new(node.channel).events(request).await };
        follow(&session, call, |event: &EventsResponse| {
            format!(
                "{} {:<7} {}: {}",
                moment_ms(event.unix_ms),
                event.severity,
                clean(&event.source),
                clean(&event.message)
            )
        })
        .await
    }
}
