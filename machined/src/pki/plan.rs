//! Decides which certificate there should be, and until when the present one is good. Pure.

use std::time::{Duration, SystemTime};

use machine_config::MachineConfig;

use crate::config::{ConfigStatus, Phase};

/// What certificate the node should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// None: it is not known yet what the node is.
    Nothing,
    /// One that nobody vouches for, and no client certificates.
    Maintenance,
    /// One for these names, and clients of the authority only.
    Mutual {
        /// The authorities that vouch for clients, in PEM.
        authorities: String,
        /// Whether the node can sign its certificate itself.
        signed: bool,
        /// What it is for, in order, each once.
        names: Vec<String>,
        /// Whether it is dated by a clock that follows a true one.
        synchronised: bool,
    },
}

/// What the wish is made from, beside the config.
#[derive(Debug, Default)]
pub struct Facts {
    /// The node's name.
    pub hostname: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Whether its clock follows a true one.
    pub synchronised: bool,
}

/// Decides what certificate the node should have.
pub fn wish(status: Option<&ConfigStatus>, config: Option<&MachineConfig>, facts: Facts) -> Wish {
    match (status.map(|status| &status.phase), config) {
        (Some(Phase::Running { .. }), Some(config)) => Wish::Mutual {
            authorities: config.machine.ca.cert.to_string(),
            signed: config.machine.ca.key.is_some(),
            names: names(config, &facts),
            synchronised: facts.synchronised,
        },
        (Some(Phase::Maintenance), _) => Wish::Maintenance,
        _ => Wish::Nothing,
    }
}

/// Loopback is always among the names: emulators and tunnels forward from there.
fn names(config: &MachineConfig, facts: &Facts) -> Vec<String> {
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

/// Decides when a certificate is renewed: after half its life, so that there is the other half to mend what fails.
pub fn renewal(not_before: SystemTime, not_after: SystemTime) -> SystemTime {
    let life = not_after.duration_since(not_before).unwrap_or(Duration::ZERO);
    not_before + life / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

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
        assert_eq!(wish(None, None, Facts::default()), Wish::Nothing);
        let running = status(Phase::Running {
            source: Source::State,
        });
        assert_eq!(wish(Some(&running), None, Facts::default()), Wish::Nothing);
        assert_eq!(
            wish(Some(&status(Phase::Maintenance)), None, Facts::default()),
            Wish::Maintenance
        );
    }

    #[test]
    fn half_its_life_is_left_at_renewal() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        assert_eq!(
            renewal(start, start + Duration::from_secs(100)),
            start + Duration::from_secs(50)
        );
    }
}
