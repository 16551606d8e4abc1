//! The status page on the console: for whoever stands before the board with a screen or a serial cable.

mod page;

use std::sync::Arc;
use std::time::Duration;

use machine_config::MachineConfig;
use node::Node;
use node::boot::consoles::print;
use node::logs::uptime_ms;
use node::power::Power;
use release_file::Release;
use state::kinds::config::Phase;
use state::kinds::health::Reason;
use state::kinds::{
    ApiStatus, BootStatus, CertificateStatus, ClusterMember, ClusterStatus, ConfigStatus, HealthState,
    HealthStatus, HostNameStatus, NODE, NetworkStatus, SlotStatus,
};
use state::{Resource, Store};
use tokio_util::sync::CancellationToken;

use self::page::{Facts, Locked, render};

/// Changes come in bursts: the page is printed when they are over.
const QUIET: Duration = Duration::from_millis(700);
/// What is required and does not hold is a problem when it lasts: on its way to healthy every node passes through it.
const LASTING: Duration = Duration::from_secs(30);

/// Prints the page whenever it changed, until `stop`.
pub(super) async fn run(node: Node, stop: CancellationToken) {
    let kinds = [
        ApiStatus::KIND,
        BootStatus::KIND,
        CertificateStatus::KIND,
        ClusterMember::KIND,
        ClusterStatus::KIND,
        ConfigStatus::KIND,
        HealthStatus::KIND,
        HostNameStatus::KIND,
        MachineConfig::KIND,
        NetworkStatus::KIND,
        SlotStatus::KIND,
    ];
    let mut watch = node.store.watch(&kinds);
    let mut printed = String::new();
    // What is known at once is known in a moment: the first page is worth reading, too.
    tokio::time::sleep(QUIET).await;
    loop {
        let page = render(&facts(&node.store, &node.release, &node.power));
        if page != printed {
            printed.clone_from(&page);
            // A serial line takes its time, and others have work to do.
            let shown = tokio::task::spawn_blocking(move || print(&page));
            let _unseen = shown.await;
        }
        tokio::select! {
            // Cancel safe: asks only for a state.
            () = stop.cancelled() => return,
            // Cancel safe, see `Watch::changed`; a sleep that is dropped has no effect.
            () = async { watch.changed().await; tokio::time::sleep(QUIET).await } => {}
            // Cancel safe, likewise: what lasts becomes a problem without a change.
            () = tokio::time::sleep(LASTING) => {}
        }
    }
}

/// Prints one line, for what is worth saying at the very end.
pub(super) fn say(line: &str) {
    print(&format!("bedplate: {line}\n"));
}

fn facts(store: &Store, release: &Arc<Release>, power: &Power) -> Facts {
    let boot: BootStatus = store.get(NODE).unwrap_or_default();
    let network: NetworkStatus = store.get(NODE).unwrap_or_default();
    let host: Option<HostNameStatus> = store.get(NODE);
    let config: Option<ConfigStatus> = store.get(NODE);
    let certificate: Option<CertificateStatus> = store.get(state::kinds::certificate::ID);
    let slot = boot.slot.map(|slot| {
        let state = store
            .get::<SlotStatus>(slot.name())
            .map(|status| status.state.to_string());
        format!("{slot}, {}", state.unwrap_or_else(|| "state unknown".to_owned()))
    });
    let api: Option<ApiStatus> = store.get(NODE);
    // While it is locked its health tells that, and not the details.
    let is_locked = |status: &&ConfigStatus| matches!(status.phase, Phase::Locked { .. });
    let details = config
        .as_ref()
        .filter(is_locked)
        .map(|status| status.problems.clone());
    let details: Vec<String> = details.unwrap_or_default();
    let remark = certificate.as_ref().and_then(|status| status.remark.clone());
    Facts {
        board: release.board.clone(),
        version: release.version.clone(),
        slot,
        failed: boot
            .failed
            .iter()
            .map(|failed| format!("slot {}: {}", failed.slot, failed.reason))
            .collect(),
        hostname: host.map(|status| status.name.to_string()),
        addresses: addresses(&network, store.get(NODE).as_ref()),
        configured: store.get::<MachineConfig>(NODE).is_some(),
        looked: config.is_some(),
        api: api.is_some_and(|status| status.problem.is_none()),
        locked: locked(config.as_ref(), certificate.as_ref()),
        fingerprint: certificate
            .filter(|status| !status.signed)
            .map(|status| status.fingerprint),
        cluster_waits: store
            .get::<ClusterStatus>(NODE)
            .and_then(|status| status.waits_for),
        problems: problems(&store.get(NODE).unwrap_or_default(), uptime_ms())
            .into_iter()
            .chain(details)
            .collect(),
        note: remark,
        stopping: power.requested().is_some(),
    }
}

fn locked(config: Option<&ConfigStatus>, certificate: Option<&CertificateStatus>) -> Option<Locked> {
    let Phase::Locked { reason } = &config?.phase else {
        return None;
    };
    Some(Locked {
        reason: reason.clone(),
        owner_known: certificate.is_some_and(|status| status.mutual),
    })
}

/// Lists where people reach the node: as a member of its cluster by its own address first, and by none of its pods' network.
fn addresses(network: &NetworkStatus, member: Option<&ClusterMember>) -> Vec<String> {
    let (own, pods) = member.map_or((&[][..], &[][..]), |member| (&member.addresses, &member.pods));
    let mut all: Vec<_> = network.addresses.iter().collect();
    all.retain(|address| !pods.iter().any(|pods| pods.contains(**address)));
    all.sort_by_key(|address| !own.contains(address));
    all.into_iter().map(ToString::to_string).collect()
}

/// Lists what is wrong with the node, but for what it may still be on its way out of.
fn problems(health: &HealthStatus, now_ms: u64) -> Vec<String> {
    let lasts = |since_ms: u64| u128::from(now_ms.saturating_sub(since_ms)) >= LASTING.as_millis();
    // What was refused at this start, and a lock, have lines of their own.
    let elsewhere = |reason: &Reason| {
        reason.source == "boot" || (reason.source == "config" && reason.state == HealthState::Unhealthy)
    };
    let reasons = health.reasons.iter().filter(|reason| !elsewhere(reason));
    reasons
        .filter(|reason| reason.state == HealthState::Degraded || lasts(reason.since_ms))
        .map(|reason| reason.text.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_member_comes_first_and_that_of_its_pods_never() {
        let addresses = |all: &[&str]| all.iter().map(|text| text.parse().unwrap()).collect();
        let network = NetworkStatus {
            addresses: addresses(&["10.0.0.7", "10.244.0.1", "192.168.1.7"]),
            ..NetworkStatus::default()
        };
        assert_eq!(super::addresses(&network, None).len(), 3);
        let member = ClusterMember {
            cluster: "home".into(),
            node: "node1".into(),
            control_plane: false,
            addresses: addresses(&["192.168.1.7"]),
            endpoint: String::new(),
            api: String::new(),
            pods: vec!["10.244.0.0/16".parse().unwrap()],
            services: Vec::new(),
            dns: Vec::new(),
            domain: String::new(),
            kubernetes: String::new(),
            etcd: None,
        };
        assert_eq!(
            super::addresses(&network, Some(&member)),
            ["192.168.1.7", "10.0.0.7"]
        );
    }

    #[test]
    fn what_passes_is_no_problem_and_what_lasts_is() {
        let reason = |state, text: &str| Reason {
            source: "storage".into(),
            state,
            text: text.into(),
            since_ms: 1000,
        };
        let health = HealthStatus {
            state: HealthState::Unhealthy,
            reasons: vec![
                reason(HealthState::Unhealthy, "the API does not answer yet"),
                reason(HealthState::Degraded, "DATA is only in memory: broken"),
            ],
            ..HealthStatus::default()
        };
        assert_eq!(problems(&health, 30_999), ["DATA is only in memory: broken"]);
        assert_eq!(problems(&health, 31_000).len(), 2);
    }
}
