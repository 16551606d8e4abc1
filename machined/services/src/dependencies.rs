//! Decides for which others a service waits, and who must end before it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::catalogue::{Catalogue, Entry};
use super::machine::{Dependencies, Machine, State};

/// What services know of each other. All of it changes at once, so that those that end together end in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overview {
    /// Every service, also those that are to end because nobody wants them any longer.
    pub catalogue: Catalogue,
    /// Set when each is wanted.
    pub wanted: BTreeMap<String, bool>,
    /// What each reports of itself.
    pub peers: BTreeMap<String, Peer>,
}

/// What a service reports of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Set when it is wanted, as far as it knows, and nothing it depends on is about to stop.
    pub should_run: bool,
    /// Set while a process of it may exist.
    pub up: bool,
    /// Set when those behind it may start.
    pub ready: Ready,
    /// What its process was started from.
    pub started: Option<Arc<Entry>>,
}

/// The state of a service that decides if its dependents may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// It is healthy, or has done what it had to do.
    Yes,
    /// Not yet.
    NotYet,
    /// It has failed: those that depend on it keep waiting, those that only come after it do not.
    Failed,
}

impl Peer {
    /// Returns what others need to know of a service.
    pub fn of(machine: &Machine, started: Option<Arc<Entry>>) -> Self {
        let (up, ready) = match machine.state() {
            State::Running { health, .. } if health.is_healthy() => (true, Ready::Yes),
            State::Running { .. } | State::Starting { .. } | State::Stopping { .. } => (true, Ready::NotYet),
            State::Finished => (false, Ready::Yes),
            State::Failed { .. } | State::BackOff { .. } => (false, Ready::Failed),
            State::Stopped | State::Waiting { .. } => (false, Ready::NotYet),
        };
        Peer {
            should_run: machine.should_run(),
            up,
            ready,
            started: started.filter(|_| up),
        }
    }
}

impl Overview {
    fn entry(&self, name: &str) -> Option<&Arc<Entry>> {
        self.catalogue.entries.get(name)
    }

    fn is_to_run(&self, name: &str) -> Option<bool> {
        if self.entry(name).is_none() {
            return Some(false);
        }
        let wanted = self.wanted.get(name).copied();
        let could = self.peers.get(name).map(|peer| peer.should_run);
        match (wanted, could) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (None, None) => None,
            _ => Some(true),
        }
    }

    fn is_up(&self, name: &str) -> bool {
        self.peers.get(name).is_some_and(|peer| peer.up)
    }

    /// Returns true if a service runs from a definition that is no longer the one wanted.
    fn is_outdated(&self, name: &str) -> bool {
        let started = self.peers.get(name).and_then(|peer| peer.started.as_ref());
        match (self.entry(name), started) {
            (Some(entry), Some(started)) => !entry.starts_like(started),
            _ => false,
        }
    }

    /// Returns whether those behind a service may start; none where nothing is known of it. One that is about to restart
    /// is not ready: those that restart with it come back after it.
    fn ready(&self, name: &str) -> Option<Ready> {
        let ready = self.peers.get(name).map(|peer| peer.ready);
        match ready {
            Some(Ready::Yes) if self.is_outdated(name) => Some(Ready::NotYet),
            ready => ready,
        }
    }
}

/// Returns the dependencies of one service, as they are now. A service that has reported nothing yet is not ready, and one
/// that is not there counts as stopped.
pub fn dependencies(name: &str, overview: &Overview) -> Dependencies {
    let Some(own) = overview.entry(name) else {
        return Dependencies::default();
    };
    let one = &own.definition;
    let missing_need = |name: &&String| overview.ready(name) != Some(Ready::Yes);
    let missing_first = |name: &&String| {
        overview.entry(name).is_some()
            && overview.is_to_run(name) != Some(false)
            && matches!(overview.ready(name), None | Some(Ready::NotYet))
    };
    let withdrawn = |name: &&String| overview.is_to_run(name) == Some(false);
    let undefined = |name: &&String| overview.entry(name).is_none();
    let others = || {
        let up = overview
            .catalogue
            .entries
            .iter()
            .filter(|(name, _)| overview.is_up(name));
        up.map(|(name, entry)| (name, &entry.definition))
    };
    let needs = |other: &service_definition::Definition| other.depends_on.iter().any(|needed| needed == name);
    let follows = |other: &service_definition::Definition| other.after.iter().any(|first| first == name);
    Dependencies {
        missing: one
            .depends_on
            .iter()
            .filter(missing_need)
            .chain(one.after.iter().filter(missing_first))
            .cloned()
            .collect(),
        withdrawn: one.depends_on.iter().filter(withdrawn).cloned().collect(),
        undefined: one.depends_on.iter().filter(undefined).cloned().collect(),
        // One that only comes after this one holds it back when both are ending, as on the way to a reboot.
        dependents: others()
            .filter(|(other, definition)| {
                needs(definition) || (follows(definition) && overview.is_to_run(other) == Some(false))
            })
            .map(|(other, _)| other.clone())
            .collect(),
        restarting: others()
            .filter(|(other, definition)| {
                (needs(definition) || follows(definition)) && overview.is_outdated(other)
            })
            .map(|(other, _)| other.clone())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use service_definition::Service;

    use super::super::machine::Health;
    use super::*;

    const HEALTHY: Peer = Peer {
        should_run: true,
        up: true,
        ready: Ready::Yes,
        started: None,
    };
    const STARTING: Peer = Peer {
        ready: Ready::NotYet,
        ..HEALTHY
    };
    const FAILED: Peer = Peer {
        up: false,
        ready: Ready::Failed,
        ..HEALTHY
    };
    const ENDING: Peer = Peer {
        should_run: false,
        ..HEALTHY
    };
    const OFF: Peer = Peer {
        should_run: false,
        up: false,
        ready: Ready::NotYet,
        started: None,
    };

    /// `app` depends on `engine` and comes after `log`, which the image may lack.
    fn services() -> Catalogue {
        let mut app = Service::new("app", ["/app"]);
        app.depends_on = vec!["engine".into()];
        app.after = vec!["log".into(), "absent".into()];
        let others = ["engine", "log"].map(|name| Service::new(name, ["/x"]));
        Catalogue::of_image(&[vec![app], others.to_vec()].concat()).unwrap()
    }

    fn overview<const N: usize>(peers: [(&str, Peer); N]) -> Overview {
        Overview {
            catalogue: services(),
            wanted: BTreeMap::new(),
            peers: peers.map(|(name, peer)| (name.to_owned(), peer)).into(),
        }
    }

    #[test]
    fn needs_and_firsts_are_waited_for() {
        let table: &[(Peer, Peer, &[&str], &[&str])] = &[
            (HEALTHY, HEALTHY, &[], &[]),
            (STARTING, STARTING, &["engine", "log"], &[]),
            (FAILED, FAILED, &["engine"], &[]),
            (HEALTHY, OFF, &[], &[]),
            (OFF, HEALTHY, &["engine"], &["engine"]),
            (ENDING, ENDING, &[], &["engine"]),
        ];
        for (engine, log, missing, withdrawn) in table {
            let found = dependencies(
                "app",
                &overview([("engine", engine.clone()), ("log", log.clone())]),
            );
            assert_eq!(found.missing, *missing, "{engine:?} {log:?}");
            assert_eq!(found.withdrawn, *withdrawn, "{engine:?} {log:?}");
        }
    }

    #[test]
    fn those_behind_hold_a_service_up() {
        let dependents = |name: &str, app: Peer| dependencies(name, &overview([("app", app)])).dependents;
        assert_eq!(dependents("engine", HEALTHY), ["app"]);
        assert_eq!(dependents("engine", OFF), [""; 0]);
        assert_eq!(
            dependents("log", HEALTHY),
            [""; 0],
            "only comes after, and goes on running"
        );
        assert_eq!(dependents("log", ENDING), ["app"]);
    }

    #[test]
    fn what_is_no_longer_wanted_counts_before_the_others_know_it() {
        let mut overview = overview(["app", "engine", "log"].map(|name| (name, HEALTHY)));
        overview.wanted = ["app", "engine", "log"]
            .map(|name| (name.to_owned(), false))
            .into();
        let of = |name: &str| dependencies(name, &overview);
        assert_eq!(of("log").dependents, ["app"]);
        assert_eq!(of("app").withdrawn, ["engine"]);
        assert_eq!(of("app").missing, [""; 0]);
    }

    #[test]
    fn nobody_starts_before_the_others_have_told_of_themselves() {
        let found = dependencies("app", &overview([]));
        assert_eq!(found.missing, ["engine", "log"]);
        assert_eq!(found.withdrawn, [""; 0]);
    }

    #[test]
    fn health_is_what_makes_a_service_ready() {
        let peer = |health| {
            let running = State::Running {
                pid: 2,
                since: Default::default(),
                failures: 0,
                health,
            };
            Peer::of(&Machine::in_state(running), None)
        };
        assert_eq!(peer(Health::Healthy).ready, Ready::Yes);
        assert_eq!(peer(Health::Unknown { reason: None }).ready, Ready::NotYet);
        assert!(peer(Health::Unknown { reason: None }).up);
    }

    #[test]
    fn a_dependency_that_is_gone_counts_as_stopped() {
        let mut overview = overview([("engine", HEALTHY)]);
        overview.catalogue.entries.remove("engine");
        let found = dependencies("app", &overview);
        assert_eq!(found.withdrawn, ["engine"]);
        assert_eq!(found.undefined, ["engine"]);
    }

    /// Makes what a service was started from, before its command changed.
    fn older(name: &str) -> Option<Arc<Entry>> {
        let image = Catalogue::of_image(&[Service::new(name, ["/older"])]).unwrap();
        image.entries.get(name).cloned()
    }

    #[test]
    fn those_that_restart_together_end_and_start_in_order() {
        let outdated = |name| Peer {
            started: older(name),
            ..HEALTHY
        };
        let both = overview([("app", outdated("app")), ("engine", outdated("engine"))]);
        assert_eq!(dependencies("engine", &both).restarting, ["app"]);
        assert_eq!(dependencies("app", &both).restarting, [""; 0]);
        assert_eq!(dependencies("app", &both).missing, ["engine", "log"]);
        let alone = overview([("app", HEALTHY), ("engine", outdated("engine"))]);
        assert_eq!(
            dependencies("engine", &alone).restarting,
            [""; 0],
            "one that stays as it is is left alone"
        );
    }
}
