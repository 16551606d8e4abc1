//! `bedplate status`.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use api::names::word;
use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::{Boot, KubernetesStatus, Phase, Slot, StatusRequest, StatusResponse};
use clap::Args;

use crate::fan_out::call_and_show;
use crate::session::Session;
use crate::ui::{Show, Table, bytes, duration};

/// Shows the status of nodes.
#[derive(Debug, Args)]
pub struct Status {}

impl Status {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        call_and_show(&session, |node| async {
            MachineServiceClient::new(node.channel)
                .status(StatusRequest {})
                .await
        })
        .await
    }
}

impl Show for StatusResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&[
            "HOSTNAME", "PHASE", "HEALTH", "ROLE", "VERSION", "SLOT", "BOARD", "UPTIME", "MACHINED",
        ]);
        table.row([
            self.hostname.clone(),
            word::<Phase>(self.phase),
            health(self).to_owned(),
            self.role.clone(),
            self.version.clone(),
            self.boot
                .as_ref()
                .map(|boot| boot.slot.clone())
                .unwrap_or_default(),
            self.board.clone(),
            duration(Duration::from_millis(self.uptime_ms)),
            bytes(self.agent_rss_bytes),
        ]);
    }

    fn detail(&self) -> Option<String> {
        let mut text = String::new();
        let mut line = |key: &str, value: &str| {
            if !value.is_empty() {
                // Writing to a string cannot fail.
                let _ = writeln!(
                    text,
                    "{:<11}{}",
                    if key.is_empty() {
                        String::new()
                    } else {
                        format!("{key}:")
                    },
                    crate::ui::clean(value)
                );
            }
        };
        line("Node", &self.hostname);
        line("Phase", &word::<Phase>(self.phase));
        line("Health", health(self));
        for reason in self.health.iter().flat_map(|health| &health.reasons) {
            line("", &format!("{}: {}", reason.source, reason.text));
        }
        line("Role", &self.role);
        let kubernetes = self.kubernetes.clone().unwrap_or_default();
        line("Cluster", &cluster(&self.cluster, &kubernetes));
        line("", &waits(&kubernetes));
        line(
            "System",
            &format!("{} for {} ({})", self.version, self.board, self.arch),
        );
        line("Kernel", &self.kernel);
        line("Uptime", &duration(Duration::from_millis(self.uptime_ms)));
        line("Machined", &bytes(self.agent_rss_bytes));
        match (&self.container, &self.boot) {
            (Some(container), _) => {
                line(
                    "Container",
                    &format!("container mode, started by {}", container.engine),
                );
                container.missing.iter().for_each(|missing| line("", missing));
            }
            (None, Some(boot)) => line("Boot", &boot_line(boot)),
            (None, None) => {}
        }
        if !self.slots.is_empty() {
            text.push('\n');
            text.push_str(&slots(&self.slots));
        }
        let checks = self
            .health
            .as_ref()
            .map(|health| health.checks.as_slice())
            .unwrap_or_default();
        if !checks.is_empty() {
            let mut table = Table::default();
            table.headings(&["CHECK", "HEALTHY", "MESSAGE"]);
            for check in checks {
                table.row([
                    check.name.clone(),
                    yes(check.healthy).into(),
                    check.message.clone(),
                ]);
            }
            text.push('\n');
            text.push_str(&table.draw());
        }
        if let Some(boot) = self.boot.as_ref().filter(|boot| !boot.steps.is_empty()) {
            text.push('\n');
            text.push_str(&steps(boot));
        }
        Some(text)
    }
}

fn cluster(name: &str, kubernetes: &KubernetesStatus) -> String {
    match kubernetes.version.is_empty() {
        true => name.to_owned(),
        false => format!("{name}, Kubernetes {}", kubernetes.version),
    }
}

fn waits(kubernetes: &KubernetesStatus) -> String {
    match kubernetes.waits_for.is_empty() {
        true => String::new(),
        false => format!("waits: {}", kubernetes.waits_for),
    }
}

fn health(status: &StatusResponse) -> &'static str {
    status.health.as_ref().map_or("", super::health::word)
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

fn boot_line(boot: &Boot) -> String {
    let mut text = match boot.slot.as_str() {
        "" => "not by the loader".to_owned(),
        slot => format!("slot {slot} ({})", boot.cause),
    };
    for failed in &boot.failed {
        let _ = write!(text, "; slot {} was refused: {}", failed.slot, failed.reason);
    }
    text
}

fn slots(slots: &[Slot]) -> String {
    let mut table = Table::default();
    table.headings(&["SLOT", "STATE", "VERSION", "NOTE"]);
    for slot in slots {
        let tries = if slot.tries > 0 {
            format!("{} tries left", slot.tries)
        } else {
            String::new()
        };
        let notes = [
            if slot.running {
                "running".to_owned()
            } else {
                String::new()
            },
            if slot.preferred {
                "preferred".to_owned()
            } else {
                String::new()
            },
            tries,
            slot.reason.clone(),
        ];
        let notes: Vec<String> = notes.into_iter().filter(|note| !note.is_empty()).collect();
        table.row([
            slot.name.clone(),
            slot.state.clone(),
            slot.version.clone(),
            notes.join(", "),
        ]);
    }
    table.draw()
}

fn steps(boot: &Boot) -> String {
    let mut table = Table::default();
    table.headings(&["STEP", "START", "DURATION"]);
    for step in &boot.steps {
        let start = format!(
            "{}{}.{:03}s",
            if step.start_ms < 0 { "-" } else { "" },
            step.start_ms.abs() / 1000,
            step.start_ms.abs() % 1000
        );
        let length = format!("{}.{:03}s", step.duration_ms / 1000, step.duration_ms % 1000);
        table.row([step.name.clone(), start, length]);
    }
    table.draw()
}
