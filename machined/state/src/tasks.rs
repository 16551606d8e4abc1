//! Keeps tasks alive that have no end: one that ends, fails or panics is reported and started again, ever more slowly.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::controller::{panic_message, pause};

/// A task that ran this long is started again as if it had never failed.
const HEALTHY: Duration = Duration::from_secs(60);

/// Runs a task until it ends; a panic becomes an error that says what it said.
///
/// What the task shares with others must be as good after a panic as before it: state that is written in one step, or
/// is made again.
pub async fn caught<T>(task: impl Future<Output = T>) -> Result<T, String> {
    let ended = AssertUnwindSafe(task).catch_unwind().await;
    ended.map_err(|panic| format!("panicked: {}", panic_message(panic.as_ref())))
}

/// Runs a task until it ends, and returns why: "ended", its error, or what its panic said.
pub async fn end_of<E: std::fmt::Display>(task: impl Future<Output = Result<(), E>>) -> String {
    match caught(task).await {
        Ok(Ok(())) => "ended".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(panicked) => panicked,
    }
}

/// The count of how often a task ended in a row, which decides how long to wait before it is started again.
#[derive(Debug)]
pub struct Restarts {
    attempts: u32,
    started: Instant,
}

impl Default for Restarts {
    fn default() -> Self {
        Self::new()
    }
}

impl Restarts {
    /// Starts counting with the first run.
    pub fn new() -> Self {
        Restarts {
            attempts: 0,
            started: Instant::now(),
        }
    }

    /// Waits before the next run: from a quarter of a second, doubling up to half a minute.
    pub async fn wait(&mut self) {
        self.attempts = if self.started.elapsed() > HEALTHY {
            1
        } else {
            self.attempts.saturating_add(1)
        };
        sleep(pause(self.attempts)).await;
        self.started = Instant::now();
    }
}

/// Starts a task that has no end, and starts it again whenever it ends. It stops when the handle is dropped.
///
/// `task` makes each run; each end is logged as an error under the task's name.
pub fn keep<F, Run, E>(name: impl Into<String>, mut task: F) -> AbortOnDropHandle<()>
where
    F: FnMut() -> Run + Send + 'static,
    Run: Future<Output = Result<(), E>> + Send,
    E: std::fmt::Display,
{
    let name = name.into();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut restarts = Restarts::new();
        loop {
            // The making is part of the run: it may panic, too.
            let reason = end_of(async { task().await }).await;
            tracing::error!("{name}: {reason}; starting it again");
            restarts.wait().await;
        }
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_fails_or_panics_runs_again_ever_more_slowly() {
        let runs = Arc::new(AtomicU32::new(0));
        let counted = runs.clone();
        let task = keep("task", move || {
            let run = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                match run {
                    0 => Ok(()),
                    1 => Err("failed"),
                    2 => panic!("broken"),
                    3 => std::future::pending().await,
                    _ => unreachable!("the fourth run has no end"),
                }
            }
        });
        // Pauses of 250, 500 and 1000 ms.
        for (after, expected) in [(100, 1), (200, 2), (500, 3), (1000, 4), (100_000, 4)] {
            sleep(Duration::from_millis(after)).await;
            assert_eq!(runs.load(Ordering::SeqCst), expected);
        }
        drop(task);
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&runs), 1, "dropped with its handle");
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_was_long_starts_the_count_anew() {
        let mut restarts = Restarts::new();
        for _ in 0..20 {
            restarts.wait().await;
        }
        sleep(HEALTHY * 2).await;
        let before = Instant::now();
        restarts.wait().await;
        assert!(before.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test]
    async fn the_end_of_a_task_is_told() {
        assert_eq!(end_of(async { Ok::<(), String>(()) }).await, "ended");
        assert_eq!(end_of(async { Err::<(), _>("no") }).await, "no");
        let panic = end_of::<String>(async { panic!("at {}", 7) }).await;
        assert_eq!(panic, "panicked: at 7");
    }
}
