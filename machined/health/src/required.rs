//! Decides whether what the machine config requires of a healthy node holds.

use machine_config::v1alpha1::Check;
use state::kinds::CheckResult;

/// What the decision is made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// What is wrong with the API; none when it serves, with a certificate that can be believed.
    pub api: Option<String>,
    /// What the network lacks; none while nothing is known of it.
    pub network: Option<Vec<String>>,
    /// Set when the clock is synchronized.
    pub time: bool,
    /// Services that should run and are unhealthy, each with why.
    pub unhealthy: Vec<String>,
    /// Why the node is not Ready in its cluster, where it was before; none of both on a node without Kubernetes.
    pub cluster: Option<Option<String>>,
    /// Why the node is locked, when it is.
    pub locked: Option<String>,
}

/// What a lock is called among the checks.
const CONFIG: &str = "config";

/// Evaluates every required check. Pure.
///
/// A node that was configured and cannot use its config is never healthy, whatever is required: what was required of it
/// is in that config.
pub(super) fn decide(require: &[Check], facts: &Facts) -> Vec<CheckResult> {
    let applies = |check: &&Check| **check != Check::Cluster || facts.cluster.is_some();
    let required = require.iter().filter(applies);
    let mut checks: Vec<CheckResult> = required.map(|check| result(*check, facts)).collect();
    checks.extend(facts.locked.as_ref().map(|reason| CheckResult {
        name: CONFIG.to_owned(),
        healthy: false,
        message: format!("the node is locked: {reason}"),
    }));
    checks
}

fn result(check: Check, facts: &Facts) -> CheckResult {
    let missing = match check {
        Check::Api => facts.api.clone().unwrap_or_default(),
        Check::Network => match &facts.network {
            None => "nothing is known of the network yet".to_owned(),
            Some(problems) => problems.join("; "),
        },
        Check::Time => if_not(facts.time, "the clock is not in step with a server"),
        Check::Cluster => facts.cluster.clone().flatten().unwrap_or_default(),
        Check::Services if facts.unhealthy.is_empty() => String::new(),
        Check::Services => format!("unhealthy: {}", facts.unhealthy.join(", ")),
    };
    CheckResult {
        name: name(check).to_owned(),
        healthy: missing.is_empty(),
        message: missing,
    }
}

fn if_not(holds: bool, otherwise: &str) -> String {
    if holds {
        String::new()
    } else {
        otherwise.to_owned()
    }
}

fn name(check: Check) -> &'static str {
    Check::ALL
        .iter()
        .find(|(_, known)| *known == check)
        .map_or("unknown", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Check; 5] = [
        Check::Api,
        Check::Network,
        Check::Time,
        Check::Services,
        Check::Cluster,
    ];

    #[test]
    fn all_that_is_required_must_hold() {
        let healthy = Facts {
            api: None,
            network: Some(vec![]),
            time: true,
            unhealthy: vec![],
            cluster: Some(None),
            locked: None,
        };
        let holds =
            |require: &[Check], facts: &Facts| decide(require, facts).iter().all(|check| check.healthy);
        assert!(holds(&ALL, &healthy));
        let alone = Facts {
            cluster: None,
            ..healthy.clone()
        };
        assert_eq!(
            decide(&ALL, &alone).len(),
            4,
            "a node without Kubernetes is not asked for it"
        );
        let locked = Facts {
            locked: Some("its config is damaged".into()),
            ..healthy.clone()
        };
        let checks = decide(&[], &locked);
        assert!(!checks[0].healthy && checks[0].name == CONFIG, "{checks:?}");
        for (facts, name) in [
            (
                Facts {
                    api: Some("it does not listen".into()),
                    ..healthy.clone()
                },
                "api",
            ),
            (
                Facts {
                    network: None,
                    ..healthy.clone()
                },
                "network",
            ),
            (
                Facts {
                    network: Some(vec!["no default route".into()]),
                    ..healthy.clone()
                },
                "network",
            ),
            (
                Facts {
                    time: false,
                    ..healthy.clone()
                },
                "time",
            ),
            (
                Facts {
                    unhealthy: vec!["containerd".into()],
                    ..healthy.clone()
                },
                "services",
            ),
            (
                Facts {
                    cluster: Some(Some("not Ready: no CNI".into())),
                    ..healthy.clone()
                },
                "cluster",
            ),
        ] {
            let checks = decide(&ALL, &facts);
            let failing: Vec<&str> = checks
                .iter()
                .filter(|check| !check.healthy)
                .map(|check| check.name.as_str())
                .collect();
            assert_eq!(failing, [name]);
            let without: Vec<Check> = ALL
                .into_iter()
                .filter(|check| super::name(*check) != name)
                .collect();
            assert!(holds(&without, &facts), "{name} is not required");
        }
    }
}
