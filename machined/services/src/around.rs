//! Decides what is around each service: for whom it waits, and who must end before it.

use std::collections::BTreeMap;

use service_definition::{Definition, Definitions};

use super::machine::{Around, Machine, State};

/// Holds what services know of each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// Whether each is wanted. All of this changes at once, so that those that end together end in order.
    pub wanted: BTreeMap<String, bool>,
    /// What each tells of itself.
    pub peers: BTreeMap<String, Peer>,
}

/// Is what a service tells the others of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Whether it is wanted, as far as it knows, and nothing it depends on is about to rest.
    pub should_run: bool,
    /// Whether a process of it may exist.
    pub up: bool,
    /// Whether those behind it may start.
    pub ready: Ready,
}

/// Tells whether those behind a service may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// It is well, or has done what it had to do.
    Yes,
    /// Not yet.
    NotYet,
    /// It has failed: those that need it wait on, those that only come after it do not.
    Failed,
}

impl Peer {
    /// Tells of a service what others need to know.
    pub fn of(machine: &Machine) -> Self {
        let (up, ready) = match machine.state() {
            State::Running { health, .. } if health.is_well() => (true, Ready::Yes),
            State::Running { .. } | State::Starting { .. } | State::Stopping { .. } => (true, Ready::NotYet),
            State::Finished => (false, Ready::Yes),
            State::Failed { .. } | State::BackOff { .. } => (false, Ready::Failed),
            State::Stopped | State::Waiting { .. } => (false, Ready::NotYet),
        };
        Peer {
            should_run: machine.should_run(),
            up,
            ready,
        }
    }
}

impl Neighbours {
    fn is_to_run(&self, name: &str) -> Option<bool> {
        let wanted = self.wanted.get(name).copied();
        let could = self.peers.get(name).map(|peer| peer.should_run);
        match (wanted, could) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (None, None) => None,
            _ => Some(true),
        }
    }
}

/// Tells what is around one service. A service that has told nothing of itself yet is not ready.
pub fn around(one: &Definition, all: &Definitions, neighbours: &Neighbours) -> Around {
    let ready = |name: &str| neighbours.peers.get(name).map(|peer| peer.ready);
    let is_to_run = |name: &str| neighbours.is_to_run(name);
    let missing_need = |name: &&String| ready(name) != Some(Ready::Yes);
    let missing_first = |name: &&String| {
        all.get(name).is_some()
            && is_to_run(name) != Some(false)
            && matches!(ready(name), None | Some(Ready::NotYet))
    };
    let withdrawn = |name: &&String| is_to_run(name) == Some(false);
    let behind = |other: &&Definition| {
        let up = neighbours.peers.get(&other.name).is_some_and(|peer| peer.up);
        // One that only comes after this one holds it back when both are ending, as on the way to a reboot.
        let follows = other.after.contains(&one.name) && is_to_run(&other.name) == Some(false);
        up && (other.depends_on.contains(&one.name) || follows)
    };
    let needs = one.depends_on.iter().filter(missing_need);
    let firsts = one.after.iter().filter(missing_first);
    Around {
        missing: needs.chain(firsts).cloned().collect(),
        withdrawn: one.depends_on.iter().filter(withdrawn).cloned().collect(),
        dependents: all
            .iter()
            .filter(behind)
            .map(|other| other.name.clone())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use service_definition::{Service, check};

    use super::super::machine::Health;
    use super::*;

    const WELL: Peer = Peer {
        should_run: true,
        up: true,
        ready: Ready::Yes,
    };
    const STARTING: Peer = Peer {
        ready: Ready::NotYet,
        ..WELL
    };
    const FAILED: Peer = Peer {
        up: false,
        ready: Ready::Failed,
        ..WELL
    };
    const ENDING: Peer = Peer {
        should_run: false,
        ..WELL
    };
    const OFF: Peer = Peer {
        should_run: false,
        up: false,
        ready: Ready::NotYet,
    };

    /// `app` depends on `engine` and comes after `log`, which the image may lack.
    fn services() -> Definitions {
        let mut app = Service::new("app", ["/app"]);
        app.depends_on = vec!["engine".into()];
        app.after = vec!["log".into(), "absent".into()];
        let others = ["engine", "log"].map(|name| Service::new(name, ["/x"]));
        check([vec![app], others.to_vec()].concat()).unwrap()
    }

    fn neighbours(peers: BTreeMap<String, Peer>) -> Neighbours {
        Neighbours {
            wanted: BTreeMap::new(),
            peers,
        }
    }

    fn around_app(engine: Peer, log: Peer) -> Around {
        let all = services();
        let peers = BTreeMap::from([("engine".to_owned(), engine), ("log".to_owned(), log)]);
        around(all.get("app").unwrap(), &all, &neighbours(peers))
    }

    #[test]
    fn needs_and_firsts_are_waited_for() {
        let table: &[(Peer, Peer, &[&str], &[&str])] = &[
            (WELL, WELL, &[], &[]),
            (STARTING, STARTING, &["engine", "log"], &[]),
            (FAILED, FAILED, &["engine"], &[]),
            (WELL, OFF, &[], &[]),
            (OFF, WELL, &["engine"], &["engine"]),
            (ENDING, ENDING, &[], &["engine"]),
        ];
        for (engine, log, missing, withdrawn) in table {
            let around = around_app(*engine, *log);
            assert_eq!(around.missing, *missing, "{engine:?} {log:?}");
            assert_eq!(around.withdrawn, *withdrawn, "{engine:?} {log:?}");
        }
    }

    #[test]
    fn those_behind_hold_a_service_up() {
        let all = services();
        let dependents = |name: &str, app: Peer| {
            let peers = BTreeMap::from([("app".to_owned(), app)]);
            around(all.get(name).unwrap(), &all, &neighbours(peers)).dependents
        };
        assert_eq!(dependents("engine", WELL), ["app"]);
        assert_eq!(dependents("engine", OFF), [""; 0]);
        assert_eq!(
            dependents("log", WELL),
            [""; 0],
            "only comes after, and goes on running"
        );
        assert_eq!(dependents("log", ENDING), ["app"]);
    }

    #[test]
    fn what_is_no_longer_wanted_counts_before_the_others_know_it() {
        let all = services();
        let mut neighbours = neighbours(
            ["app", "engine", "log"]
                .map(|name| (name.to_owned(), WELL))
                .into(),
        );
        neighbours.wanted = ["app", "engine", "log"]
            .map(|name| (name.to_owned(), false))
            .into();
        let of = |name: &str| around(all.get(name).unwrap(), &all, &neighbours);
        assert_eq!(of("log").dependents, ["app"]);
        assert_eq!(of("app").withdrawn, ["engine"]);
        assert_eq!(of("app").missing, [""; 0]);
    }

    #[test]
    fn nobody_starts_before_the_others_have_told_of_themselves() {
        let all = services();
        let around = around(all.get("app").unwrap(), &all, &Neighbours::default());
        assert_eq!(around.missing, ["engine", "log"]);
        assert_eq!(around.withdrawn, [""; 0]);
    }

    #[test]
    fn health_is_what_makes_a_service_ready() {
        let peer = |health| {
            Peer::of(&Machine::in_state(State::Running {
                pid: 2,
                since: Default::default(),
                failures: 0,
                health,
            }))
        };
        assert_eq!(peer(Health::Well).ready, Ready::Yes);
        assert_eq!(peer(Health::Unknown).ready, Ready::NotYet);
        assert!(peer(Health::Unknown).up);
    }
}
