//! Runs controllers, each in its own task.

use std::any::Any;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Action, Controller, ControllerError, ControllerState, ControllerStatus};
use crate::{Store, Watch};

/// The owner of [`ControllerStatus`].
const OWNER: &str = "controller-runtime";
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A set of controllers that run over one store.
pub struct Runtime {
    store: Store,
    controllers: Vec<Box<dyn Controller>>,
}

impl Runtime {
    /// Makes a runtime without controllers.
    pub fn new(store: Store) -> Self {
        Runtime {
            store,
            controllers: Vec::new(),
        }
    }

    /// Adds a controller; it starts with [`Runtime::run`].
    pub fn add(&mut self, controller: impl Controller + 'static) -> &mut Self {
        self.controllers.push(Box::new(controller));
        self
    }

    /// Lists the kinds that are written, each with its controller.
    pub fn outputs(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.controllers
            .iter()
            .flat_map(|controller| controller.outputs().iter().map(|kind| (*kind, controller.name())))
    }

    /// Lists the shared kinds that are written, each with one of its controllers.
    pub fn shared_outputs(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.controllers.iter().flat_map(|controller| {
            let kinds = controller.shared_outputs().iter();
            kinds.map(|kind| (*kind, controller.name()))
        })
    }

    /// Lists the kinds that are read, each with its controller.
    pub fn inputs(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.controllers
            .iter()
            .flat_map(|controller| controller.inputs().iter().map(|kind| (*kind, controller.name())))
    }

    /// Runs all controllers until `stop`, and returns when the last one has finished its run.
    pub async fn run(self, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        for controller in self.controllers {
            tasks.spawn(drive(controller, self.store.clone(), stop.clone()));
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!("the task of a controller ended: {error}");
            }
        }
    }
}

/// Drives one controller until `stop`.
async fn drive(mut controller: Box<dyn Controller>, store: Store, stop: CancellationToken) {
    let bell = controller.wake();
    let mut watch = store.watch(controller.inputs());
    let mut record = Record::new(controller.as_ref());
    record.publish(&store);
    while !stop.is_cancelled() {
        let wait = match run_once(controller.as_mut(), &store).await {
            Ok(action) => record.succeeded(action),
            Err(failure) => record.failed(failure),
        };
        record.publish(&store);
        let stopped = tokio::select! {
            // Cancel safe: asks only for a state.
            () = stop.cancelled() => true,
            // Cancel safe: a change that is not taken here is seen by the next run of `changed`.
            () = wait.over(&mut watch, bell.as_ref()) => false,
        };
        if stopped {
            break;
        }
    }
}

enum Failure {
    Error(ControllerError),
    Panic(String),
}

async fn run_once(controller: &mut dyn Controller, store: &Store) -> Result<Action, Failure> {
    match AssertUnwindSafe(controller.reconcile(store)).catch_unwind().await {
        Ok(Ok(action)) => Ok(action),
        Ok(Err(error)) => Err(Failure::Error(error)),
        Err(panic) => Err(Failure::Panic(panic_message(panic.as_ref()))),
    }
}

/// Returns what a panic said.
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// How long to wait for the next run.
enum Wait {
    ForChange,
    AtMost(Duration),
    /// First the pause, in which changes are not looked at, so that no failure can spin.
    Pause(Duration),
}

impl Wait {
    async fn over(self, watch: &mut Watch, bell: Option<&Arc<Notify>>) {
        let limit = match self {
            Wait::ForChange => None,
            Wait::AtMost(limit) => Some(limit),
            Wait::Pause(pause) => {
                sleep(FIRST_PAUSE).await;
                Some(pause.saturating_sub(FIRST_PAUSE))
            }
        };
        tokio::select! {
            // Cancel safe, see `Watch::changed`.
            () = watch.changed() => {}
            // Cancel safe: dropping a sleep has no effect.
            () = sleep_or_never(limit) => {}
            // Cancel safe: `notify_one` keeps its permit for the next waiter.
            () = ring(bell) => {}
        }
    }
}

async fn sleep_or_never(limit: Option<Duration>) {
    match limit {
        Some(limit) => sleep(limit).await,
        None => pending().await,
    }
}

async fn ring(bell: Option<&Arc<Notify>>) {
    match bell {
        Some(bell) => bell.notified().await,
        None => pending().await,
    }
}

/// The record of one controller.
struct Record {
    name: &'static str,
    status: ControllerStatus,
}

impl Record {
    fn new(controller: &dyn Controller) -> Self {
        let owned = |kinds: &[&str]| -> Vec<String> { kinds.iter().map(|kind| (*kind).to_owned()).collect() };
        let status = ControllerStatus {
            state: ControllerState::Starting,
            inputs: owned(controller.inputs()),
            outputs: [controller.outputs(), controller.shared_outputs()]
                .iter()
                .flat_map(|kinds| owned(kinds))
                .collect(),
            failures: 0,
            panics: 0,
        };
        Record {
            name: controller.name(),
            status,
        }
    }

    fn succeeded(&mut self, action: Action) -> Wait {
        self.status.state = ControllerState::Ready;
        match action {
            Action::WaitForChange => Wait::ForChange,
            Action::After(limit) => Wait::AtMost(limit),
        }
    }

    fn failed(&mut self, failure: Failure) -> Wait {
        let error = match failure {
            Failure::Error(error) => error.chain(),
            Failure::Panic(message) => {
                self.status.panics += 1;
                format!("panicked: {message}")
            }
        };
        let attempts = match &self.status.state {
            ControllerState::Failing { attempts, .. } => attempts.saturating_add(1),
            _ => 1,
        };
        self.status.failures += 1;
        tracing::warn!(controller = self.name, attempts, "{error}");
        self.status.state = ControllerState::Failing { error, attempts };
        Wait::Pause(pause(attempts))
    }

    fn publish(&self, store: &Store) {
        if let Err(conflict) = store.put(OWNER, self.name, self.status.clone()) {
            tracing::error!("{conflict}");
        }
    }
}

/// Returns the pause after so many failures in a row: doubling, up to a limit.
pub(crate) fn pause(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(10);
    (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::Resource;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Ordered(u32);
    impl Resource for Ordered {
        const KIND: &'static str = "Ordered";
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Granted(u32);
    impl Resource for Granted {
        const KIND: &'static str = "Granted";
    }

    /// Doubles what is ordered; fails on 13, panics on 666.
    struct Genie {
        runs: Arc<AtomicU32>,
    }

    #[async_trait]
    impl Controller for Genie {
        fn name(&self) -> &'static str {
            "genie"
        }
        fn inputs(&self) -> &'static [&'static str] {
            &["Ordered"]
        }
        fn outputs(&self) -> &'static [&'static str] {
            &["Granted"]
        }
        async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
            self.runs.fetch_add(1, Ordering::SeqCst);
            let Some(Ordered(count)) = store.get("x") else {
                return Ok(Action::WaitForChange);
            };
            assert!(count != 666, "no such order");
            if count == 13 {
                return Err(ControllerError::msg("bad luck"));
            }
            store.put(self.name(), "x", Granted(count * 2))?;
            Ok(Action::WaitForChange)
        }
    }

    struct Bench {
        store: Store,
        stop: CancellationToken,
        runs: Arc<AtomicU32>,
        task: tokio::task::JoinHandle<()>,
    }

    fn bench() -> Bench {
        let (store, stop, runs) = (
            Store::new(),
            CancellationToken::new(),
            Arc::new(AtomicU32::new(0)),
        );
        let mut runtime = Runtime::new(store.clone());
        runtime.add(Genie { runs: runs.clone() });
        let task = tokio::spawn(runtime.run(stop.clone()));
        Bench {
            store,
            stop,
            runs,
            task,
        }
    }

    async fn settle() {
        sleep(Duration::from_secs(60)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn runs_at_the_start_and_on_each_change_only() {
        let bench = bench();
        settle().await;
        assert_eq!(bench.runs.load(Ordering::SeqCst), 1);
        bench.store.put("t", "x", Ordered(4)).unwrap();
        settle().await;
        assert_eq!(bench.store.get("x"), Some(Granted(8)));
        assert_eq!(bench.runs.load(Ordering::SeqCst), 2);
        bench.stop.cancel();
        bench.task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_reported_retried_ever_slower_and_forgotten() {
        let bench = bench();
        bench.store.put("t", "x", Ordered(13)).unwrap();
        settle().await;
        let tries = bench.runs.load(Ordering::SeqCst);
        assert!(
            (7..12).contains(&tries),
            "0.25 + 0.5 + … up to 30 s: {tries} runs in a minute"
        );
        let status: ControllerStatus = bench.store.get("genie").unwrap();
        assert!(matches!(status.state, ControllerState::Failing { ref error, .. } if error == "bad luck"));
        bench.store.put("t", "x", Ordered(1)).unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(
            bench.store.get("x"),
            Some(Granted(2)),
            "a changed input is tried before the pause is over"
        );
        let status: ControllerStatus = bench.store.get("genie").unwrap();
        assert_eq!(status.state, ControllerState::Ready);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_stays_inside() {
        let bench = bench();
        bench.store.put("t", "x", Ordered(666)).unwrap();
        settle().await;
        let status: ControllerStatus = bench.store.get("genie").unwrap();
        assert!(status.panics > 1);
        assert!(
            matches!(status.state, ControllerState::Failing { ref error, .. } if error == "panicked: no such order")
        );
        bench.store.put("t", "x", Ordered(3)).unwrap();
        settle().await;
        assert_eq!(bench.store.get("x"), Some(Granted(6)));
    }

    #[test]
    fn pauses_double_up_to_the_limit() {
        let millis: Vec<u128> = [1, 2, 3, 7, 8, 9, u32::MAX]
            .map(|n| pause(n).as_millis())
            .to_vec();
        assert_eq!(millis, [250, 500, 1000, 16000, 30000, 30000, 30000]);
    }
}
