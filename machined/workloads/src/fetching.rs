//! Brings images here in the background, and tries again with growing pauses.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use machine_config::v1alpha1::Registry;
use node::events::Events;
use node::logs::uptime_ms;
use tokio::sync::Notify;

use crate::source::{Source, fetch};

const NAME: &str = "workloads";
/// The pauses between two tries.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Everything that is or was being fetched. Clones share it.
#[derive(Clone)]
pub(crate) struct Fetches {
    socket: PathBuf,
    /// Container images that came with the system.
    images: PathBuf,
    events: Events,
    /// By the image's name in containerd.
    fetches: Arc<Mutex<BTreeMap<String, Fetch>>>,
    bell: Arc<Notify>,
}

/// How far an image is.
enum Fetch {
    Running,
    /// It was brought here since this process started.
    Done,
    Failed {
        error: String,
        failures: u32,
        until_ms: u64,
    },
}

impl Fetches {
    /// Makes it for a containerd. `images` is the folder with the system's container images.
    pub(crate) fn new(socket: PathBuf, images: PathBuf, events: Events) -> Self {
        Fetches {
            socket,
            images,
            events,
            fetches: Arc::default(),
            bell: Arc::default(),
        }
    }

    /// Returns what rings when a fetch has ended.
    pub(crate) fn bell(&self) -> Arc<Notify> {
        self.bell.clone()
    }

    /// Starts to fetch an image unless that is on its way, and returns why it failed last.
    pub(crate) fn ask(&self, workload: &str, source: &Source, registries: &[Registry]) -> Option<String> {
        let name = source.name();
        let mut fetches = self.locked();
        let (error, failures) = match fetches.remove(&name) {
            Some(Fetch::Running) => {
                fetches.insert(name, Fetch::Running);
                return None;
            }
            Some(Fetch::Failed {
                error,
                failures,
                until_ms,
            }) if uptime_ms() < until_ms => {
                let told = error.clone();
                let failed = Fetch::Failed {
                    error,
                    failures,
                    until_ms,
                };
                fetches.insert(name, failed);
                return Some(told);
            }
            Some(Fetch::Failed { error, failures, .. }) => (Some(error), failures),
            Some(Fetch::Done) | None => (None, 0),
        };
        fetches.insert(name.clone(), Fetch::Running);
        drop(fetches);
        let (own, source, registries) = (self.clone(), source.clone(), registries.to_vec());
        let workload = workload.to_owned();
        tokio::spawn(async move {
            let done = fetch(&source, &registries, &own.socket, &own.images, &workload).await;
            let next = own.ended(&workload, &name, done.map_err(|error| error.chain()), failures);
            own.locked().insert(name, next);
            own.bell.notify_one();
        });
        error
    }

    /// Returns true if an image was brought here since this process started.
    pub(crate) fn done(&self, name: &str) -> bool {
        matches!(self.locked().get(name), Some(Fetch::Done))
    }

    fn ended(&self, workload: &str, name: &str, done: Result<(), String>, failures: u32) -> Fetch {
        let Err(error) = done else {
            self.events
                .info(NAME, format!("{workload}: the image {name} is there"));
            return Fetch::Done;
        };
        let failures = failures.saturating_add(1);
        // The status has the error as long as it lasts; one event is enough.
        if failures == 1 {
            self.events.warning(NAME, format!("{workload}: {error}"));
        }
        let pause = u64::try_from(pause(failures).as_millis()).unwrap_or(u64::MAX);
        Fetch::Failed {
            error,
            failures,
            until_ms: uptime_ms().saturating_add(pause),
        }
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Fetch>> {
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns how long to wait after so many failures in a row.
fn pause(failures: u32) -> Duration {
    let doubled = 1 << failures.saturating_sub(1).min(10);
    FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_minutes() {
        let seconds: Vec<u64> = [1, 2, 3, 7, 8, u32::MAX]
            .map(|failures| pause(failures).as_secs())
            .to_vec();
        assert_eq!(seconds, [5, 10, 20, 300, 300, 300]);
    }

    #[tokio::test]
    async fn an_image_that_cannot_be_had_is_tried_again_after_a_pause() {
        let fetches = Fetches::new("/nowhere/sock".into(), "/nowhere".into(), Events::default());
        let source = Source::File("/nowhere/a.tar".into());
        let bell = fetches.bell();
        assert_eq!(fetches.ask("camera", &source, &[]), None);
        bell.notified().await;
        let told = fetches.ask("camera", &source, &[]);
        assert!(told.is_some(), "the reason stays until the next try");
        assert!(!fetches.done(&source.name()));
    }
}
