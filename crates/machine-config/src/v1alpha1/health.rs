//! When a node counts as healthy. The doc comments here are the reference page: write them for users.

use serde::Serialize;

use crate::value::Period;

/// When a freshly upgraded node counts as healthy, so that the new system is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// How long all required checks must pass before the new system is kept. 30 s if not given.
    #[serde(skip_serializing_if = "is_commit_after")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default = "commit_after"))]
    pub commit_after: Period,
    /// How long after its start a new system may take for that before the old one is started again. 10 min if not given.
    #[serde(skip_serializing_if = "is_timeout")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default = "timeout"))]
    pub timeout: Period,
    /// The required checks. `[api, network, services, cluster]` if not given.
    #[serde(skip_serializing_if = "is_require")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default = "require"))]
    pub require: Vec<Check>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            commit_after: commit_after(),
            timeout: timeout(),
            require: require(),
        }
    }
}

/// A check that can be required of a healthy node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Check {
    /// The API answers.
    Api,
    /// An interface has an address that others can reach, and every address and route of the config or a lease is present.
    Network,
    /// The clock is synchronized.
    Time,
    /// Every enabled service is healthy.
    Services,
    /// The node is Ready in its cluster, if it was Ready there before. It holds on a node without Kubernetes.
    Cluster,
}

impl Check {
    /// Every check with its name.
    pub const ALL: [(&'static str, Self); 5] = [
        ("api", Self::Api),
        ("network", Self::Network),
        ("time", Self::Time),
        ("services", Self::Services),
        ("cluster", Self::Cluster),
    ];
}

pub(super) fn commit_after() -> Period {
    Period::seconds(30)
}

pub(super) fn timeout() -> Period {
    Period::seconds(600)
}

pub(super) fn require() -> Vec<Check> {
    vec![Check::Api, Check::Network, Check::Services, Check::Cluster]
}

fn is_commit_after(value: &Period) -> bool {
    *value == commit_after()
}

fn is_timeout(value: &Period) -> bool {
    *value == timeout()
}

fn is_require(value: &Vec<Check>) -> bool {
    *value == require()
}
