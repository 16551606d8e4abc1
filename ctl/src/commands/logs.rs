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

/// How much, and whether to go on.
#[derive(Debug, Clone, Copy, Args)]
struct Extent {
    /// Go on with what comes.
    #[arg(short, long)]
    follow: bool,
    /// Start with the last of these many; with all that is kept unless given.
    #[arg(long, value_name = "COUNT", default_value_t = 0, hide_default_value = true)]
    tail: u32,
}

/// Shows a log.
#[derive(Debug, Args)]
pub struct Logs {
    /// `machined` or the name of a service.
    source: String,
    #[command(flatten)]
    extent: Extent,
}

impl Logs {
    /// Asks and shows.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        let request = LogsRequest {
            source: self.source,
            tail: self.extent.tail,
            follow: self.extent.follow,
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

/// Shows the kernel's log.
#[derive(Debug, Args)]
pub struct Dmesg {
    #[command(flatten)]
    extent: Extent,
}

impl Dmesg {
    /// Asks and shows.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        let Extent { follow: go_on, tail } = self.extent;
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
    extent: Extent,
}

impl Events {
    /// Asks and shows.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        let Extent { follow: go_on, tail } = self.extent;
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
