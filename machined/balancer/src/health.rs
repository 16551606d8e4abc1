//! How well an API server is, by what it answered. Pure.

use state::kinds::ServerHealth;

/// How often in a row a server that was ready may say nothing before it counts as down: small boards are slow at times.
const SILENCES: u32 = 2;

/// What came of asking a server, or of connecting to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is ready for requests, or does not tell us.
    Ready,
    /// It says that it is not ready, and why.
    NotReady(String),
    /// It shuts down, and serves until then: it lets its clients go by itself.
    Leaving,
    /// It said nothing in time.
    Silent,
    /// There is nobody, or somebody else.
    Failed(String),
}

/// The health of one server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health {
    state: ServerHealth,
    silences: u32,
    leaves: bool,
}

impl Health {
    /// Returns how it is.
    pub(crate) fn state(&self) -> &ServerHealth {
        &self.state
    }

    /// Returns true while it shuts down: whoever is connected may end what is under way.
    pub(crate) fn leaves(&self) -> bool {
        self.leaves
    }

    /// Takes an outcome. Returns true if the server is in another state than before.
    pub(crate) fn take(&mut self, outcome: Outcome) -> bool {
        let silent = outcome == Outcome::Silent;
        self.silences = if silent {
            self.silences.saturating_add(1)
        } else {
            0
        };
        if !silent {
            self.leaves = outcome == Outcome::Leaving;
        }
        let state = match outcome {
            Outcome::Ready => ServerHealth::Ready,
            Outcome::NotReady(reason) => ServerHealth::NotReady { reason },
            Outcome::Leaving => ServerHealth::NotReady {
                reason: "it shuts down".to_owned(),
            },
            Outcome::Silent if self.state == ServerHealth::Ready && self.silences < SILENCES => return false,
            Outcome::Silent => ServerHealth::Down {
                reason: "it says nothing".to_owned(),
            },
            Outcome::Failed(reason) => ServerHealth::Down { reason },
        };
        let changed = rank(&state) != rank(&self.state);
        self.state = state;
        changed
    }
}

/// Returns the place of a state in the order of preference: the lower the better.
pub(crate) fn rank(state: &ServerHealth) -> u8 {
    match state {
        ServerHealth::Ready => 0,
        ServerHealth::Unknown => 1,
        ServerHealth::NotReady { .. } => 2,
        ServerHealth::Down { .. } => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_silence_is_forgiven_who_was_ready_and_a_refusal_is_not() {
        let mut health = Health::default();
        assert!(health.take(Outcome::Ready));
        assert!(!health.take(Outcome::Silent));
        assert!(!health.take(Outcome::Ready));
        assert!(!health.take(Outcome::Silent));
        assert!(health.take(Outcome::Silent));
        assert_eq!(rank(health.state()), 3);
        assert!(health.take(Outcome::Ready));
        assert!(health.take(Outcome::Failed("refused".to_owned())));
        assert!(health.take(Outcome::Ready));
        assert!(health.take(Outcome::Leaving) && health.leaves());
        assert_eq!(rank(health.state()), 2, "nobody new goes there");
        assert!(health.take(Outcome::Failed("refused".to_owned())) && !health.leaves());
        let mut fresh = Health::default();
        assert!(fresh.take(Outcome::Silent), "nothing speaks for it");
        assert!(fresh.take(Outcome::NotReady("500".to_owned())));
        assert!(!fresh.take(Outcome::NotReady("another reason".to_owned())));
    }
}
