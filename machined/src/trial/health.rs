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
}

/// Tells whether everything that is required holds. Pure.
pub fn decide(require: &[Check], facts: &Facts) -> HealthStatus {
    let checks: Vec<CheckResult> = require.iter().map(|check| result(*check, facts)).collect();
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
        };
        assert!(decide(&ALL, &well).healthy);
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
