//! Whether the node that holds a name is still there, as Kubernetes sees it.
//!
//! A board that broke is replaced by another one under its name. Its certificates last for hours still, but Kubernetes knows
//! that it is gone, or a person does, who removes it there.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Node;
use kubernetes_client::kube::Api;
use kubernetes_client::{Clients, limited};
use pki::Moment;
use pki::authority::SERVER_LIFE;

/// How long a node may be away: restarts and upgrades take less.
const AWAY: Duration = Duration::from_secs(600);

/// How long Kubernetes may take: whoever asks to join waits meanwhile.
const ANSWERING: Duration = Duration::from_secs(4);

/// Knows which nodes are there.
#[async_trait]
pub trait Living: Send + Sync {
    /// Tells whether the node of this name is there. In doubt it is. `until` is when its certificates expire, in seconds since
    /// 1970.
    async fn lives(&self, name: &str, until: u64, now: Moment) -> bool;
}

/// Knows nothing: everybody is there until their certificates expire.
#[derive(Debug)]
pub struct Unknown;

#[async_trait]
impl Living for Unknown {
    async fn lives(&self, _: &str, _: u64, _: Moment) -> bool {
        true
    }
}

#[async_trait]
impl Living for Clients {
    async fn lives(&self, name: &str, until: u64, now: Moment) -> bool {
        let Ok(connection) = self.get() else { return true };
        let nodes: Api<Node> = Api::all(connection.client);
        let Ok(found) = tokio::time::timeout(ANSWERING, limited(nodes.get_opt(name))).await else {
            return true;
        };
        match found {
            Ok(node) => !is_gone(node.as_ref(), until, now),
            Err(error) => {
                tracing::warn!("cannot ask Kubernetes for node {name}: {}", state::chain(&error));
                true
            }
        }
    }
}

/// Tells whether a node is gone: removed from Kubernetes, or not ready for long. One that has only just got its certificates
/// may not have registered yet. Pure.
fn is_gone(node: Option<&Node>, until: u64, now: Moment) -> bool {
    let since = now.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let joined = Duration::from_secs(until).saturating_sub(SERVER_LIFE);
    if !now.certain || since < joined + AWAY {
        return false;
    }
    let Some(node) = node else { return true };
    let conditions = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    ready.next().is_some_and(|ready| {
        let changed = ready.last_transition_time.as_ref().map(|time| time.0.as_second());
        let changed = changed.and_then(|seconds| u64::try_from(seconds).ok());
        ready.status != "True" && changed.is_some_and(|changed| since > Duration::from_secs(changed) + AWAY)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn node(status: &str, changed: &str) -> Node {
        let text = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "worker"},
            "status": {"conditions": [
                {"type": "DiskPressure", "status": "False", "lastTransitionTime": "1970-01-01T00:00:00Z"},
                {"type": "Ready", "status": status, "lastTransitionTime": changed},
            ]},
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn a_node_is_gone_when_it_was_removed_or_is_away_for_long() {
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let now = Moment {
            at: at(10 * DAY),
            certain: true,
        };
        let early = "1970-01-10T12:00:00Z";
        let just = "1970-01-10T23:55:00Z";
        let (old, new) = (10 * DAY + DAY / 2, 11 * DAY - 60);
        let cases = [
            (None, old, now, true),
            (None, new, now, false),
            (Some(node("True", early)), old, now, false),
            (Some(node("False", early)), old, now, true),
            (Some(node("Unknown", early)), old, now, true),
            (Some(node("Unknown", just)), old, now, false),
            (Some(node("Unknown", early)), new, now, false),
            (Some(Node::default()), old, now, false),
        ];
        for (node, until, now, gone) in cases {
            assert_eq!(is_gone(node.as_ref(), until, now), gone, "{node:?} {until}");
        }
        let guess = Moment {
            certain: false,
            ..now
        };
        assert!(
            !is_gone(None, old, guess),
            "a node without a clock knows nothing of it"
        );
    }
}
