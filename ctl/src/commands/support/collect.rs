//! What is asked of each node.

use std::future::Future;
use std::time::Duration;

use api::v1alpha1::etcd_service_client::EtcdServiceClient;
use api::v1alpha1::log_service_client::LogServiceClient;
use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::resource_service_client::ResourceServiceClient;
use api::v1alpha1::service_service_client::ServiceServiceClient;
use api::v1alpha1::stats_service_client::StatsServiceClient;
use api::v1alpha1::upgrade_service_client::UpgradeServiceClient;
use api::v1alpha1::*;
use serde::Serialize;
use tokio::time::timeout;
use tonic::{Code, Response, Status, Streaming};
use zeroize::Zeroizing;

use crate::commands::support::scrub;
use crate::connect::{MAX_RESPONSE, Node};
use crate::ui;

/// The most bytes of one file: the end of a longer log is kept.
const LARGEST: usize = 4 * 1024 * 1024;
/// The number of entries of a log.
const TAIL: u32 = 20_000;

/// Recorded where the secrets of a node are not known.
const UNSEARCHED: &str = "secrets: logs were not searched for those of the machine config, which only admins see and clients of its release know";

/// What a node answered.
#[derive(Default)]
pub struct Collected {
    /// Files by name.
    pub files: Vec<(String, String)>,
    /// What was not answered, and why.
    pub problems: Vec<String>,
    /// The secrets of its machine config, as far as the caller may see them.
    secrets: Vec<Zeroizing<String>>,
}

impl Collected {
    /// Removes the secrets from everything that was collected.
    pub fn redact(&mut self) {
        for (_, text) in &mut self.files {
            scrub::scrub(text, &self.secrets);
        }
        for problem in &mut self.problems {
            scrub::scrub(problem, &self.secrets);
        }
    }

    fn add<T: Serialize>(&mut self, name: &str, answer: Result<T, String>) -> Option<T> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(why) => {
                self.problems.push(format!("{name}: {why}"));
                return None;
            }
        };
        match serde_json::to_string_pretty(&answer) {
            Ok(text) if text.len() <= LARGEST => self.files.push((format!("{name}.json"), text)),
            Ok(text) => self
                .problems
                .push(format!("{name}: {} are too much", ui::bytes(text.len() as u64))),
            Err(error) => self.problems.push(format!("{name}: {error}")),
        }
        Some(answer)
    }
}

/// Asks a node for everything; what was answered so far is in `collected` at any time.
pub async fn collect(patience: Duration, node: &Node, collected: &mut Collected) {
    let channel = || node.channel.clone();
    let mut machine = MachineServiceClient::new(channel());
    // The secrets first: nothing is written before they are known.
    match one(patience, machine.get_config(GetConfigRequest {})).await {
        Ok(config) => config_file(config, collected),
        Err(why) => {
            collected.problems.push(format!("config: {why}"));
            collected.problems.push(UNSEARCHED.to_owned());
        }
    }
    /// Asks for one answer, and keeps it under a name.
    macro_rules! keep {
        ($name:literal, $call:expr) => {
            let answer = one(patience, $call).await;
            collected.add($name, answer);
        };
    }
    keep!("version", machine.version(VersionRequest {}));
    keep!("status", machine.status(StatusRequest {}));
    keep!("time", machine.time(TimeRequest {}));
    let mut stats = StatsServiceClient::new(channel()).max_decoding_message_size(MAX_RESPONSE);
    keep!("memory", stats.memory(MemoryRequest {}));
    keep!("cpu", stats.cpu(CpuRequest {}));
    keep!("disks", stats.disks(DisksRequest {}));
    keep!("mounts", stats.mounts(MountsRequest {}));
    keep!("network", stats.network(NetworkRequest {}));
    keep!("processes", stats.processes(ProcessesRequest {}));
    keep!("sockets", stats.sockets(SocketsRequest { all: true }));
    let mut upgrades = UpgradeServiceClient::new(channel());
    keep!("upgrade-status", upgrades.status(UpgradeStatusRequest {}));
    keep!(
        "upgrade-history",
        upgrades.history(UpgradeHistoryRequest { limit: 0 })
    );
    let mut services = ServiceServiceClient::new(channel());
    let listed = one(patience, services.list(ListServicesRequest {})).await;
    let services = collected
        .add("services", listed)
        .map(|listed| listed.services)
        .unwrap_or_default();
    if services.iter().any(|service| service.name == "etcd") {
        let mut etcd = EtcdServiceClient::new(channel());
        keep!("etcd-members", etcd.etcd_members(EtcdMembersRequest {}));
        keep!("etcd-status", etcd.etcd_status(EtcdStatusRequest {}));
        keep!("etcd-alarms", etcd.etcd_alarms(EtcdAlarmsRequest {}));
    }
    resources(patience, node, collected).await;
    let mut logs = LogServiceClient::new(channel());
    let events = logs.events(EventsRequest {
        tail: TAIL,
        follow: false,
    });
    lines(
        patience,
        "events.log",
        events,
        collected,
        |event: &EventsResponse| {
            format!(
                "{} {} {}: {}",
                ui::moment_ms(event.unix_ms),
                event.severity,
                event.source,
                event.message
            )
        },
    )
    .await;
    let records = logs.kernel_log(KernelLogRequest {
        tail: TAIL,
        follow: false,
    });
    lines(
        patience,
        "kernel.log",
        records,
        collected,
        |record: &KernelLogResponse| {
            format!(
                "{:>12} us <{}> {}",
                record.uptime_us, record.severity, record.text
            )
        },
    )
    .await;
    for source in std::iter::once("machined").chain(services.iter().map(|service| service.name.as_str())) {
        let request = LogsRequest {
            source: source.to_owned(),
            tail: TAIL,
            follow: false,
        };
        let name = format!("logs/{}.log", source.replace(['/', '\\'], "_"));
        lines(
            patience,
            &name,
            logs.logs(request),
            collected,
            |line: &LogsResponse| format!("{} {}", ui::moment_ms(line.unix_ms), line.line),
        )
        .await;
    }
}

/// Keeps the config, redacted, and its secrets to be looked for elsewhere.
fn config_file(config: GetConfigResponse, collected: &mut Collected) {
    let yaml = Zeroizing::new(config.yaml);
    match (config.redacted, machine_config::parse(&yaml)) {
        (true, _) => {
            collected.files.push(("config.yaml".to_owned(), yaml.to_string()));
            collected.problems.push(UNSEARCHED.to_owned());
        }
        (false, Ok(parsed)) => {
            collected.secrets = scrub::secrets(&parsed);
            collected.files.push(("config.yaml".to_owned(), parsed.to_yaml()));
        }
        // Which of its texts are secrets is not known.
        (false, Err(_)) => {
            let why = "config: is left out, since this client does not know all of its fields";
            collected.problems.push(why.to_owned());
            collected.problems.push(UNSEARCHED.to_owned());
        }
    }
}

/// Keeps the resources of every kind; the node redacts secrets in them.
async fn resources(patience: Duration, node: &Node, collected: &mut Collected) {
    let mut client = ResourceServiceClient::new(node.channel.clone()).max_decoding_message_size(MAX_RESPONSE);
    let kinds = match one(
        patience,
        client.list(ListResourcesRequest { kind: String::new() }),
    )
    .await
    {
        Ok(answer) => answer.kinds,
        Err(why) => {
            collected.problems.push(format!("resources: {why}"));
            return;
        }
    };
    for ResourceKind { kind, .. } in kinds {
        let listed = one(patience, client.list(ListResourcesRequest { kind: kind.clone() })).await;
        collected.add(
            &format!("resources/{}", kind.replace(['/', '\\', '.'], "_")),
            listed,
        );
    }
}

async fn one<T>(
    patience: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, String> {
    match timeout(patience, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(reason(&status)),
        Err(_) => Err(format!("no answer within {}", ui::duration(patience))),
    }
}

fn reason(status: &Status) -> String {
    match status.code() {
        Code::Unimplemented => "the node runs a release without it".to_owned(),
        _ => status.message().to_owned(),
    }
}

/// Keeps the lines of a stream that ends by itself: the last ones, if there are too many.
async fn lines<T>(
    patience: Duration,
    name: &str,
    call: impl Future<Output = Result<Response<Streaming<T>>, Status>>,
    collected: &mut Collected,
    line: impl Fn(&T) -> String,
) {
    let mut stream = match one(patience, call).await {
        Ok(stream) => stream,
        Err(why) => return collected.problems.push(format!("{name}: {why}")),
    };
    let mut text = String::new();
    let ended = loop {
        match timeout(patience, stream.message()).await {
            Ok(Ok(Some(item))) => {
                text.push_str(&ui::clean(&line(&item)));
                text.push('\n');
                if text.len() > 2 * LARGEST {
                    keep_end(&mut text);
                }
            }
            Ok(Ok(None)) => break Ok(()),
            Ok(Err(status)) => break Err(reason(&status)),
            Err(_) => break Err(format!("no more within {}", ui::duration(patience))),
        }
    };
    keep_end(&mut text);
    if let Err(why) = ended {
        collected.problems.push(format!("{name}: {why}"));
    }
    if !text.is_empty() {
        collected.files.push((name.to_owned(), text));
    }
}

/// Removes the first lines of a text that is too long.
fn keep_end(text: &mut String) {
    if text.len() <= LARGEST {
        return;
    }
    let start = text.len() - LARGEST;
    let cut = text.as_bytes()[start..]
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(text.len(), |end| start + end + 1);
    text.drain(..cut);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_kept() {
        let mut text = "ä line\n".repeat(LARGEST / 4);
        let last = "the last\n";
        text.push_str(last);
        keep_end(&mut text);
        assert!(text.len() <= LARGEST && text.ends_with(last) && text.starts_with("ä line\n"));
    }
}
