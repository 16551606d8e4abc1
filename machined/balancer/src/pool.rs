//! The servers, whom a connection goes to, and which connections are cut.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use state::kinds::{BalancedServer, ServerHealth};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::health::{Health, Outcome, rank};
use crate::servers::{Origin, Target};

/// The servers of a cluster. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool {
    inner: Arc<Mutex<Inner>>,
    /// Rings when the state of a server is another.
    bell: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The node, so that each one prefers another server of several.
    node: String,
    servers: Vec<Server>,
}

#[derive(Debug)]
struct Server {
    target: Target,
    origin: Origin,
    health: Health,
    /// Cuts the connections to it.
    cut: CancellationToken,
    connections: usize,
    /// Rings when it gets its first connection: from then on it is asked more often.
    used: Arc<Notify>,
}

/// A server that a connection may go to.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    /// Where it is.
    pub target: Target,
    /// Cancelled when the connection is to be cut.
    pub cut: CancellationToken,
}

/// A connection to a server, which counts while it is held.
#[derive(Debug)]
pub(crate) struct Counted {
    pool: Pool,
    target: Target,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.pool.count(&self.target, |count| count.saturating_sub(1));
    }
}

impl Pool {
    /// Returns what rings when the state of a server is another.
    pub(crate) fn bell(&self) -> Arc<Notify> {
        self.bell.clone()
    }

    /// Makes the servers be these. Connections to others are cut.
    pub(crate) fn set(&self, node: &str, candidates: &[(Target, Origin)]) {
        let mut inner = self.lock();
        node.clone_into(&mut inner.node);
        let mut before = std::mem::take(&mut inner.servers);
        for (target, origin) in candidates {
            let found = before.iter().position(|server| server.target == *target);
            let mut server = match found {
                Some(index) => before.swap_remove(index),
                None => Server {
                    target: target.clone(),
                    origin: *origin,
                    health: Health::default(),
                    cut: CancellationToken::new(),
                    connections: 0,
                    used: Arc::default(),
                },
            };
            server.origin = *origin;
            inner.servers.push(server);
        }
        for gone in before {
            gone.cut.cancel();
        }
    }

    /// Lists whom a connection may go to, the best first.
    pub(crate) fn choices(&self) -> Vec<Choice> {
        let inner = self.lock();
        let mut servers: Vec<&Server> = inner.servers.iter().collect();
        servers.sort_by_key(|server| preference(&inner.node, server));
        let choice = |server: &Server| Choice {
            target: server.target.clone(),
            cut: server.cut.clone(),
        };
        servers.into_iter().map(choice).collect()
    }

    /// Takes what came of asking a server or of connecting to it, and cuts the connections that are better made again.
    pub(crate) fn report(&self, target: &Target, outcome: Outcome) {
        let mut inner = self.lock();
        let Some(server) = inner.servers.iter_mut().find(|server| server.target == *target) else {
            return;
        };
        if !server.health.take(outcome) {
            return;
        }
        let some_ready = inner
            .servers
            .iter()
            .any(|server| *server.health.state() == ServerHealth::Ready);
        for server in &mut inner.servers {
            if is_cut(&server.health, some_ready) && server.connections > 0 {
                tracing::info!("api-balancer: connections to {} are cut", server.target);
                std::mem::take(&mut server.cut).cancel();
            }
        }
        drop(inner);
        self.bell.notify_one();
    }

    /// Counts a connection to a server until what is returned is dropped.
    pub(crate) fn connected(&self, target: &Target) -> Counted {
        self.count(target, |count| count + 1);
        Counted {
            pool: self.clone(),
            target: target.clone(),
        }
    }

    /// Returns how a server is, and whether it has connections; none if it is none of these.
    pub(crate) fn look(&self, target: &Target) -> Option<(ServerHealth, bool)> {
        let inner = self.lock();
        let server = inner.servers.iter().find(|server| server.target == *target)?;
        Some((server.health.state().clone(), server.connections > 0))
    }

    /// Waits until a server gets its first connection. Cancel safe; without end if it is none of these.
    pub(crate) async fn used(&self, target: &Target) {
        let of = |server: &Server| (server.target == *target).then(|| server.used.clone());
        let used = self.lock().servers.iter().find_map(of);
        match used {
            Some(used) => used.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Lists the servers as they are published.
    pub(crate) fn shown(&self) -> Vec<BalancedServer> {
        let inner = self.lock();
        let show = |server: &Server| BalancedServer {
            address: server.target.to_string(),
            health: server.health.state().clone(),
        };
        inner.servers.iter().map(show).collect()
    }

    fn count(&self, target: &Target, change: impl FnOnce(usize) -> usize) {
        let mut inner = self.lock();
        if let Some(server) = inner.servers.iter_mut().find(|server| server.target == *target) {
            let before = server.connections;
            server.connections = change(before);
            if before == 0 && server.connections > 0 {
                server.used.notify_one();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the place of a server in the order of preference of a node: ready ones, then by how they are known, then another
/// one for each node.
fn preference(node: &str, server: &Server) -> (u8, Origin, u64) {
    let mut hasher = DefaultHasher::new();
    (node, server.target.to_string()).hash(&mut hasher);
    (rank(server.health.state()), server.origin, hasher.finish())
}

/// Returns true if connections to a server in this state are cut: to one that is down or not ready, where another one is
/// ready. Where none is, a new connection would lead to no better place, and a server that is only slow would have even
/// more to do. One that shuts down ends what is under way before it closes its connections itself.
fn is_cut(health: &Health, some_ready: bool) -> bool {
    match health.state() {
        ServerHealth::Down { .. } => some_ready,
        ServerHealth::NotReady { .. } => some_ready && !health.leaves(),
        ServerHealth::Ready | ServerHealth::Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(index: u8) -> Target {
        Target::Address(([10, 0, 0, index], 6443).into())
    }

    fn pool(node: &str, count: u8) -> Pool {
        let pool = Pool::default();
        let all: Vec<_> = (0..count).map(|index| (target(index), Origin::Cluster)).collect();
        pool.set(node, &all);
        pool
    }

    #[test]
    fn nodes_spread_over_ready_servers_and_each_stays_with_its_own() {
        let mut firsts = std::collections::BTreeSet::new();
        for node in 0..30 {
            let pool = pool(&format!("node{node}"), 3);
            (0..3).for_each(|index| pool.report(&target(index), Outcome::Ready));
            let first = pool.choices()[0].target.clone();
            assert_eq!(pool.choices()[0].target, first);
            firsts.insert(first);
        }
        assert_eq!(firsts.len(), 3);
    }

    #[test]
    fn connections_are_cut_when_their_server_is_down_or_another_one_is_better() {
        let pool = pool("node1", 2);
        let _held = [pool.connected(&target(0)), pool.connected(&target(1))];
        let cut = |index: u8| {
            let mut all = pool.choices().into_iter();
            all.find(|choice| choice.target == target(index)).unwrap().cut
        };
        let (first, second) = (cut(0), cut(1));
        pool.report(&target(0), Outcome::NotReady("etcd".to_owned()));
        assert!(!first.is_cancelled(), "it is as good as any");
        pool.report(&target(1), Outcome::Ready);
        assert!(first.is_cancelled() && !second.is_cancelled());
        assert!(!cut(0).is_cancelled(), "who connects all the same is not cut");
        for _ in 0..4 {
            pool.report(&target(1), Outcome::Silent);
            assert!(
                !second.is_cancelled(),
                "it may be slow, and no other one is ready"
            );
        }
        pool.report(&target(0), Outcome::Ready);
        assert!(second.is_cancelled());
    }

    #[test]
    fn a_server_that_shuts_down_gets_no_new_connections_and_keeps_those_it_has() {
        let pool = pool("node1", 2);
        (0..2).for_each(|index| pool.report(&target(index), Outcome::Ready));
        let first = pool.choices().remove(0);
        let _held = pool.connected(&first.target);
        pool.report(&first.target, Outcome::Leaving);
        assert!(!first.cut.is_cancelled());
        assert_ne!(pool.choices()[0].target, first.target);
        pool.report(&first.target, Outcome::Failed("refused".to_owned()));
        assert!(first.cut.is_cancelled());
    }

    #[test]
    fn a_server_that_is_no_more_loses_its_connections() {
        let pool = pool("node1", 2);
        let cut = pool
            .choices()
            .into_iter()
            .find(|choice| choice.target == target(1))
            .unwrap()
            .cut;
        pool.set("node1", &[(target(0), Origin::Cluster)]);
        assert!(cut.is_cancelled());
        assert_eq!(pool.look(&target(1)), None);
    }

    fn any_outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            Just(Outcome::Ready),
            Just(Outcome::Silent),
            Just(Outcome::NotReady("x".to_owned())),
            Just(Outcome::Failed("x".to_owned()))
        ]
    }

    proptest! {
        /// Whatever happened before, every server is tried, a ready one first, and no connection to a ready one is cut.
        #[test]
        fn a_ready_server_is_found_and_kept(events in proptest::collection::vec((0_u8..4, any_outcome()), 0..40)) {
            let pool = pool("node1", 4);
            let _held: Vec<_> = (0..4).map(|index| pool.connected(&target(index))).collect();
            for (index, outcome) in events {
                let ready_before: Vec<_> = pool.choices().into_iter()
                    .filter(|choice| pool.look(&choice.target).unwrap().0 == ServerHealth::Ready)
                    .collect();
                pool.report(&target(index), outcome);
                for choice in ready_before {
                    if pool.look(&choice.target).unwrap().0 == ServerHealth::Ready {
                        prop_assert!(!choice.cut.is_cancelled());
                    }
                }
                let choices = pool.choices();
                prop_assert_eq!(choices.len(), 4);
                let best = pool.look(&choices[0].target).unwrap().0;
                let some_ready = choices.iter().any(|choice| pool.look(&choice.target).unwrap().0 == ServerHealth::Ready);
                prop_assert_eq!(best == ServerHealth::Ready, some_ready);
                prop_assert!(choices.iter().all(|choice| !choice.cut.is_cancelled()));
            }
        }
    }
}
