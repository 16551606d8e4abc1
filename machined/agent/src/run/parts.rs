//! Keeps the node's long-running tasks alive: one that ends or panics is told, and started again.

use std::future::Future;
use std::time::Duration;

use node::events::Events;
use state::tasks::{Restarts, end_of};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Holds the tasks, and their signal to stop.
pub(super) struct Parts {
    tasks: JoinSet<()>,
    events: Events,
    stop: CancellationToken,
}

impl Parts {
    /// Holds nothing yet.
    pub(super) fn new(events: Events) -> Self {
        Parts {
            tasks: JoinSet::new(),
            events,
            stop: CancellationToken::new(),
        }
    }

    /// Runs a part until the stop signal, and restarts it whenever it ends before.
    pub(super) fn keep<F, Ended>(&mut self, name: &'static str, mut part: F)
    where
        F: FnMut(CancellationToken) -> Ended + Send + 'static,
        Ended: Future<Output = Result<(), String>> + Send,
    {
        let (events, stop) = (self.events.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            let mut restarts = Restarts::new();
            while !stop.is_cancelled() {
                // The making is part of the run: it may panic, too.
                let reason = end_of(async { part(stop.clone()).await }).await;
                if stop.is_cancelled() {
                    return;
                }
                events.error(name, format!("{reason}; starting it again"));
                tokio::select! {
                    // Cancel safe: asks only for a state.
                    () = stop.cancelled() => return,
                    // Cancel safe: dropping a sleep has no effect.
                    () = restarts.wait() => {}
                }
            }
        });
    }

    /// Runs a part that knows no end: it is dropped at the stop signal.
    pub(super) fn keep_endless<F, Ended>(&mut self, name: &'static str, mut part: F)
    where
        F: FnMut() -> Ended + Send + 'static,
        Ended: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.keep(name, move |stop| {
            let part = part();
            async move {
                tokio::select! {
                    // Cancel safe: asks only for a state.
                    () = stop.cancelled() => Ok(()),
                    // Whoever uses this vouches that nothing is lost with it.
                    ended = part => ended,
                }
            }
        });
    }

    /// Stops all parts, and waits for them for a while.
    pub(super) async fn end(mut self, patience: Duration) {
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("{} parts did not end in time", self.tasks.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_ends_fails_or_panics_is_started_again_and_told() {
        let events = Events::new();
        let mut parts = Parts::new(events.clone());
        let runs = Arc::new(AtomicU32::new(0));
        let counted = runs.clone();
        parts.keep("part", move |stop| {
            let run = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                match run {
                    0 => Ok(()),
                    1 => Err("failed".to_owned()),
                    2 => panic!("broken"),
                    _ => {
                        stop.cancelled().await;
                        Ok(())
                    }
                }
            }
        });
        tokio::time::sleep(Duration::from_secs(60)).await;
        parts.end(Duration::from_secs(1)).await;
        assert_eq!(runs.load(Ordering::SeqCst), 4);
        let mut told = events.follow(None);
        let messages: Vec<String> = std::iter::from_fn(|| told.try_next())
            .map(|read| read.item.message)
            .collect();
        assert_eq!(messages[2], "panicked: broken; starting it again");
        assert_eq!(messages.len(), 3);
    }
}
