//! Decides whether the node is well.

use machine_config::v1alpha1::Check;

use super::status::{CheckResult, HealthStatus};

/// Is what the decision is made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether the API answers.
    pub api: bool,
    /// What the network lacks; none while nothing is known of it.
    pub network: Option<Vec<String>>,
    /// Whether the clock is in step with a server.
    pub time: bool,
    /// Services that should run and are not well.
    pub unwell: Vec<String>,
    /// Why the node is locked, when it is.
    pub locked: Option<String>,
}

/// What a lock is called among the checks.
const CONFIG: &str = "config";

/// Tells whether everything that is required holds. Pure.
///
/// A node that was configured and cannot use its config is never well, whatever is required: what was required of it
/// stands in that config.
pub fn decide(require: &[Check], facts: &Facts) -> HealthStatus {
    let mut checks: Vec<CheckResult> = require.iter().map(|check| result(*check, facts)).collect();
    checks.extend(facts.locked.as_ref().map(|reason| CheckResult {
        name: CONFIG.to_owned(),
        healthy: false,
        message: format!("the node is locked: {reason}"),
    }));
    HealthStatus {
        healthy: checks.iter().all(|check| check.healthy),
        checks,
    }
}

fn result(check: Check, facts: &Facts) -> CheckResult {
    let missing = match check {
        Check::Api => if_not(facts.api, "the API does not answer yet"),
        Check::Network => match &facts.network {
            None => "nothing is known of the network yet".to_owned(),
            Some(problems) => problems.join("; "),
        },
        Check::Time => if_not(facts.time, "the clock is not in step with a server"),
        Check::Services if facts.unwell.is_empty() => String::new(),
        Check::Services => format!("not well: {}", facts.unwell.join(", ")),
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

    const ALL: [Check; 4] = [Check::Api, Check::Network, Check::Time, Check::Services];

    #[test]
    fn all_that_is_required_must_hold() {
        let well = Facts {
            api: true,
            network: Some(vec![]),
            time: true,
            unwell: vec![],
            locked: None,
        };
        assert!(decide(&ALL, &well).healthy);
        let locked = Facts {
            locked: Some("its config is damaged".into()),
            ..well.clone()
        };
        let status = decide(&[], &locked);
        assert!(!status.healthy && status.checks[0].name == CONFIG, "{status:?}");
        for (facts, name) in [
            (
                Facts {
                    api: false,
                    ..well.clone()
                },
                "api",
            ),
            (
                Facts {
                    network: None,
                    ..well.clone()
                },
                "network",
            ),
            (
                Facts {
                    network: Some(vec!["no default route".into()]),
                    ..well.clone()
                },
                "network",
            ),
            (
                Facts {
                    time: false,
                    ..well.clone()
                },
                "time",
            ),
            (
                Facts {
                    unwell: vec!["containerd".into()],
                    ..well.clone()
                },
                "services",
            ),
        ] {
            let status = decide(&ALL, &facts);
            let failing: Vec<&str> = status
                .checks
                .iter()
                .filter(|check| !check.healthy)
                .map(|check| check.name.as_str())
                .collect();
            assert_eq!((status.healthy, failing), (false, vec![name]));
            let without: Vec<Check> = ALL
                .into_iter()
                .filter(|check| super::name(*check) != name)
                .collect();
            assert!(decide(&without, &facts).healthy, "{name} is not required");
        }
    }
}
