//! Decides which certificate there should be, and until when the present one is good. Pure.

use std::time::{Duration, SystemTime};

use machine_config::MachineConfig;
use pki::Validity;
use state::kinds::config::Phase;
use state::kinds::{ConfigStatus, OwnerStatus};

/// What certificate the node should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Desired {
    /// None: it is not known yet what the node is.
    Nothing,
    /// One that nobody vouches for, and no client certificates.
    Maintenance,
    /// One that nobody vouches for, and clients of the last authority only; where that is not known, nobody gets more
    /// than a look.
    Locked {
        /// The last authorities, in PEM.
        authorities: Option<String>,
    },
    /// One for these names, and clients of the authority only.
    Mutual {
        /// The authorities that vouch for clients, in PEM.
        authorities: String,
        /// Set when the node can sign its certificate itself.
        signed: bool,
        /// What it is for, in order, each once.
        names: Vec<String>,
        /// Set when it is dated by a clock that follows a true one.
        synchronised: bool,
        /// The certificate that a control plane has signed for a node without the authority's key, in PEM.
        joined: Option<String>,
    },
}

/// What the desired is made from, beside the config.
#[derive(Debug, Default)]
pub struct Facts {
    /// The node's name.
    pub hostname: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Set when its clock follows a true one.
    pub synchronised: bool,
    /// The certificate that a control plane has signed for it, in PEM.
    pub joined: Option<String>,
}

/// Decides what certificate the node should have.
pub fn desired(
    status: Option<&ConfigStatus>,
    config: Option<&MachineConfig>,
    owner: Option<&OwnerStatus>,
    facts: Facts,
) -> Desired {
    match (status.map(|status| &status.phase), config) {
        (Some(Phase::Running { .. }), Some(config)) => Desired::Mutual {
            authorities: config.machine.ca.cert.to_string(),
            signed: config.machine.ca.key.is_some(),
            names: names(config, &facts),
            synchronised: facts.synchronised,
            joined: facts.joined.filter(|_| config.machine.ca.key.is_none()),
        },
        (Some(Phase::Maintenance), _) => Desired::Maintenance,
        (Some(Phase::Locked { .. }), _) => Desired::Locked {
            authorities: owner.and_then(|owner| owner.authorities.clone()),
        },
        _ => Desired::Nothing,
    }
}

/// Returns the names and addresses that a node's certificate is for, in order, each once.
///
/// Loopback is always among them: emulators and tunnels forward from there.
pub fn names(config: &MachineConfig, facts: &Facts) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    names.extend(config.machine.hostname.iter().map(ToString::to_string));
    names.push(facts.hostname.clone());
    names.extend(config.machine.cert_sans.iter().map(ToString::to_string));
    names.extend(facts.addresses.iter().cloned());
    names.retain(|name| !name.is_empty());
    names.sort();
    names.dedup();
    names
}

/// Between which moments a certificate stays in service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    from: Option<SystemTime>,
    until: Option<SystemTime>,
}

impl Span {
    /// Returns the span of a certificate whose dates say nothing. It stays the same: people compare its fingerprint.
    pub fn endless() -> Self {
        Self {
            from: None,
            until: None,
        }
    }

    /// Decides when a certificate is renewed: after half its life, so that there is the other half to fix what fails,
    /// and at once where it is not valid yet, because the clock it was dated by was ahead.
    ///
    /// `planned` is what it would have been by the clock alone. Where its authority has cut it, another is no better.
    pub fn of(issued: Validity, planned: Validity) -> Self {
        let life = issued.not_after.duration_since(issued.not_before);
        let half = issued.not_before + life.unwrap_or(Duration::ZERO) / 2;
        Self {
            from: (issued.not_before <= planned.not_before).then_some(issued.not_before),
            until: (issued.not_after >= planned.not_after).then_some(half),
        }
    }

    /// Tells whether the certificate stays in service.
    pub fn contains(self, now: SystemTime) -> bool {
        self.from.is_none_or(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use state::kinds::config::Source;

    use super::*;

    fn status(phase: Phase) -> ConfigStatus {
        ConfigStatus {
            phase,
            generation: 0,
            pending: None,
            problems: vec![],
        }
    }

    #[test]
    fn nothing_is_served_before_it_is_known_what_the_node_is() {
        assert_eq!(desired(None, None, None, Facts::default()), Desired::Nothing);
        let running = status(Phase::Running {
            source: Source::State,
        });
        assert_eq!(
            desired(Some(&running), None, None, Facts::default()),
            Desired::Nothing
        );
        assert_eq!(
            desired(Some(&status(Phase::Maintenance)), None, None, Facts::default()),
            Desired::Maintenance
        );
        let locked = status(Phase::Locked {
            reason: "damaged".into(),
        });
        let owner = OwnerStatus {
            owned: true,
            authorities: Some("PEM".into()),
        };
        for (owner, authorities) in [(Some(&owner), Some("PEM".to_owned())), (None, None)] {
            let found = desired(Some(&locked), None, owner, Facts::default());
            assert_eq!(found, Desired::Locked { authorities }, "never maintenance");
        }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn validity(from: u64, until: u64) -> Validity {
        Validity {
            not_before: at(from),
            not_after: at(until),
        }
    }

    #[test]
    fn half_its_life_is_left_at_renewal_and_it_is_valid_until_then() {
        let (planned, cut_before, cut_behind) =
            (validity(1000, 1100), validity(1020, 1100), validity(1000, 1060));
        let table = [
            (planned, 999, false),
            (planned, 1000, true),
            (planned, 1049, true),
            (planned, 1050, false),
            (cut_before, 5, true),
            (cut_before, 1060, false),
            (cut_behind, 999, false),
            (cut_behind, 2000, true),
        ];
        for (issued, now, stays) in table {
            assert_eq!(
                Span::of(issued, planned).contains(at(now)),
                stays,
                "{issued:?} at {now}"
            );
        }
        assert!(Span::endless().contains(at(0)));
    }
}
