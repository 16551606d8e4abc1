//! Decides what is around each service: for whom it waits, and who must end before it.

use std::collections::BTreeMap;

use service_definition::{Definition, Definitions};

use super::machine::{Around, Machine, State};

/// Is what other services need to know of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Whether it is wanted, and nothing it depends on is about to rest.
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

/// Tells what is around one service. A service that has told nothing of itself yet is not ready, and wanted.
pub fn around(one: &Definition, all: &Definitions, peers: &BTreeMap<String, Peer>) -> Around {
    let missing_need = |name: &&String| peers.get(*name).is_none_or(|peer| peer.ready != Ready::Yes);
    let missing_first = |name: &&String| match peers.get(*name) {
        Some(peer) => peer.should_run && peer.ready == Ready::NotYet,
        None => all.get(name).is_some(),
    };
    let withdrawn = |name: &&String| peers.get(*name).is_some_and(|peer| !peer.should_run);
    let behind = |other: &&Definition| {
        let Some(peer) = peers.get(&other.name) else {
            return false;
        };
        // One that only comes after this one holds it back when both are ending, as on the way to a reboot.
        let follows = other.after.contains(&one.name) && !peer.should_run;
        peer.up && (other.depends_on.contains(&one.name) || follows)
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

    fn around_app(engine: Peer, log: Peer) -> Around {
        let all = services();
        let peers = BTreeMap::from([("engine".to_owned(), engine), ("log".to_owned(), log)]);
        around(all.get("app").unwrap(), &all, &peers)
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
            around(all.get(name).unwrap(), &all, &peers).dependents
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
    fn nobody_starts_before_the_others_have_told_of_themselves() {
        let all = services();
        let around = around(all.get("app").unwrap(), &all, &BTreeMap::new());
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
