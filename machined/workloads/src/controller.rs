//! Wants a service for each workload, with the image that it is to run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use containerd::{Containerd, ImageStore as _, SERVICE, WORKLOADS};
use machine_config::MachineConfig;
use machine_config::v1alpha1::{Registry, Workload};
use node::events::Events;
use node::logs::uptime_ms;
use state::kinds::{
    NODE, ServiceHealth, ServiceSpec, ServiceState, ServiceStatus, WorkloadStage, WorkloadStatus,
};
use state::{Action, Controller, ControllerError, Resource as _, Store};
use tokio::sync::Notify;

use crate::plan;
use crate::runner::Places;
use crate::source::{Source, fetch};
use crate::trial::{Choice, Record, Seen, choose};

const NAME: &str = "workloads";
/// How often is looked while something is on its way, and otherwise, in case somebody removed an image.
const SOON: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_secs(60);
/// The pauses between two tries to fetch an image.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The controller of workloads. Sole owner of `WorkloadStatus`.
pub struct Workloads {
    places: Places,
    /// Container images that came with the system.
    images: PathBuf,
    /// What is remembered of each workload, on STATE.
    records: PathBuf,
    events: Events,
    fetches: Arc<Mutex<BTreeMap<String, Fetch>>>,
    tries: BTreeMap<String, Tried>,
    bell: Arc<Notify>,
}

/// How far an image is, by its name in containerd.
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

/// Since when a workload has run an image, in milliseconds since the kernel started.
struct Tried {
    image: String,
    since_ms: u64,
}

impl Workloads {
    /// Makes the controller. `images` is the folder with the system's container images, `records` a file on STATE.
    pub fn new(places: Places, images: PathBuf, records: PathBuf, events: Events) -> Self {
        Workloads {
            places,
            images,
            records,
            events,
            fetches: Arc::default(),
            tries: BTreeMap::new(),
            bell: Arc::default(),
        }
    }

    /// Reads what is remembered. A file that cannot be read is as none: then the wanted images are tried again.
    fn load(&self) -> BTreeMap<String, Record> {
        let text = std::fs::read(&self.records).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn save(
        &self,
        before: &BTreeMap<String, Record>,
        now: &BTreeMap<String, Record>,
    ) -> Result<(), ControllerError> {
        if before != now {
            sys::durable::write(&self.records, &serde_json::to_vec(now)?, 0o600)?;
        }
        Ok(())
    }

    /// Starts to fetch an image unless that is on its way, and returns why it failed last.
    fn fetch(&self, workload: &Workload, source: &Source, registries: &[Registry]) -> Option<String> {
        let name = source.name();
        let mut fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = match fetches.get(&name) {
            Some(Fetch::Running) => return None,
            Some(Fetch::Failed { error, until_ms, .. }) if uptime_ms() < *until_ms => {
                return Some(error.clone());
            }
            Some(Fetch::Failed { failures, .. }) => *failures,
            Some(Fetch::Done) | None => 0,
        };
        let error = match fetches.insert(name.clone(), Fetch::Running) {
            Some(Fetch::Failed { error, .. }) => Some(error),
            _ => None,
        };
        drop(fetches);
        let (source, registries) = (source.clone(), registries.to_vec());
        let (socket, images) = (self.places.socket.clone(), self.images.clone());
        let (fetches, bell, events) = (self.fetches.clone(), self.bell.clone(), self.events.clone());
        let workload = workload.name.to_string();
        tokio::spawn(async move {
            let done = fetch(&source, &registries, &socket, &images, &workload).await;
            let next = match done {
                Ok(()) => {
                    events.info(NAME, format!("{workload}: the image {name} is there"));
                    Fetch::Done
                }
                Err(error) => {
                    let (error, failures) = (error.to_string(), failures.saturating_add(1));
                    if failures == 1 {
                        events.warning(NAME, format!("{workload}: {error}"));
                    }
                    let pause = FIRST_PAUSE
                        .saturating_mul(1 << (failures - 1).min(10))
                        .min(LONGEST_PAUSE);
                    let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                    Fetch::Failed {
                        error,
                        failures,
                        until_ms: uptime_ms().saturating_add(pause),
                    }
                }
            };
            fetches
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(name, next);
            bell.notify_one();
        });
        error
    }

    /// Returns true if an image was brought here since this process started.
    fn was_fetched(&self, name: &str) -> bool {
        let fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(fetches.get(name), Some(Fetch::Done))
    }

    /// Returns how long a workload has been healthy with this image, and how long ago it was first run.
    fn tried(
        &self,
        workload: &str,
        image: &str,
        service: Option<&ServiceStatus>,
    ) -> (Option<Duration>, Option<Duration>) {
        let Some(tried) = self.tries.get(workload).filter(|tried| tried.image == image) else {
            return (None, None);
        };
        let now = uptime_ms();
        let span = |since: u64| Duration::from_millis(now.saturating_sub(since));
        let healthy = service.filter(|service| {
            // A state from before is that of the image before.
            service.state == ServiceState::Running
                && service.health == ServiceHealth::Healthy
                && service.since_ms >= tried.since_ms
        });
        (
            healthy.map(|service| span(service.since_ms)),
            Some(span(tried.since_ms)),
        )
    }

    fn note_run(&mut self, workload: &str, run: Option<&String>) {
        match run {
            None => drop(self.tries.remove(workload)),
            Some(image)
                if self
                    .tries
                    .get(workload)
                    .is_some_and(|tried| tried.image == *image) => {}
            Some(image) => {
                let tried = Tried {
                    image: image.clone(),
                    since_ms: uptime_ms(),
                };
                self.tries.insert(workload.to_owned(), tried);
            }
        }
    }

    /// Reports what changed with a choice.
    fn report(&self, workload: &str, before: Option<&Record>, choice: &Choice) {
        let before = before.cloned().unwrap_or_default();
        let (good, rejected) = (&choice.record.good, &choice.record.rejected);
        if let (Some(rejected), None) = (rejected, &before.rejected) {
            let back = good.as_deref().unwrap_or_default();
            let why = choice.record.why.as_deref().unwrap_or_default();
            self.events.warning(
                NAME,
                format!("{workload} did not get healthy with {rejected} ({why}), and goes back to {back}"),
            );
        } else if let (Some(now), true) = (good, *good != before.good) {
            self.events
                .info(NAME, format!("{workload} is healthy with {now}, which is kept"));
        }
    }

    /// Ends containers that no workload has any more, as those of a program that was killed.
    async fn sweep(
        &self,
        containerd: &Containerd,
        store: &Store,
        workloads: &[Workload],
    ) -> Result<(), ControllerError> {
        for id in containerd.containers().await? {
            let wanted = workloads.iter().any(|workload| workload.name.as_str() == id);
            let service = store.get::<ServiceStatus>(&plan::service(&id));
            if !wanted && service.is_none() {
                containerd.remove(&id).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Controller for Workloads {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[MachineConfig::KIND, ServiceStatus::KIND]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[WorkloadStatus::KIND]
    }

    fn shared_outputs(&self) -> &'static [&'static str] {
        &[ServiceSpec::KIND]
    }

    fn wake(&self) -> Option<Arc<Notify>> {
        Some(self.bell.clone())
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let config: Option<MachineConfig> = store.get(NODE);
        let (workloads, registries) = config
            .map(|config| (config.workloads, config.machine.registries))
            .unwrap_or_default();
        let runtime: Option<ServiceStatus> = store.get(SERVICE);
        let ready = runtime
            .as_ref()
            .is_some_and(|service| service.health == ServiceHealth::Healthy);
        if !ready && !workloads.is_empty() && runtime.is_none() {
            self.tell_that_nothing_runs_them(store, &workloads)?;
            return Ok(Action::WaitForChange);
        }
        if !ready {
            // What was wanted before stays so: containers outlive containerd, and their services wait for it.
            return Ok(Action::WaitForChange);
        }
        let containerd = Containerd::connect(&self.places.socket, WORKLOADS).await?;
        self.sweep(&containerd, store, &workloads).await?;
        let before = self.load();
        let (mut records, mut specs, mut statuses) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut busy = false;
        for workload in &workloads {
            let Some(source) = Source::of(&workload.image) else {
                continue;
            };
            let (name, wanted) = (workload.name.as_str(), source.name());
            let service: Option<ServiceStatus> = store.get(&plan::service(name));
            let digest = containerd.digest(&wanted).await?;
            let present = digest.is_some() && (!source.follows_system() || self.was_fetched(&wanted));
            let (healthy, tried) = self.tried(name, &wanted, service.as_ref());
            let says = self.says(name, service.as_ref());
            let seen = Seen {
                wanted: &wanted,
                present,
                healthy,
                tried,
                period: workload.trial_period.duration(),
                says: says.as_deref().unwrap_or("it is not healthy"),
            };
            let choice = choose(before.get(name).unwrap_or(&Record::default()), seen);
            self.report(name, before.get(name), &choice);
            self.note_run(name, choice.run.as_ref());
            let fetching = match choice.stage {
                WorkloadStage::Fetching => self.fetch(workload, &source, &registries),
                _ => None,
            };
            busy |= choice.stage != WorkloadStage::Kept || service.is_none();
            if let Some(image) = &choice.run {
                let spec = plan::spec(workload, image, &self.places)?;
                specs.push((plan::service(name), spec));
            }
            let went_back = choice
                .record
                .why
                .as_ref()
                .filter(|_| choice.stage == WorkloadStage::WentBack);
            let problem = match (went_back, fetching) {
                (Some(why), _) => Some(format!("did not get healthy with {wanted}, and went back: {why}")),
                (None, Some(error)) => Some(error),
                (None, None) => says,
            };
            let digest = match &choice.run {
                Some(run) if *run == wanted => digest,
                Some(run) => containerd.digest(run).await?,
                None => None,
            };
            let status = WorkloadStatus {
                service: plan::service(name),
                stage: choice.stage,
                image: wanted,
                runs: choice.run,
                digest,
                problem,
            };
            statuses.push((name.to_owned(), status));
            records.insert(name.to_owned(), choice.record);
        }
        self.tries.retain(|name, _| records.contains_key(name));
        self.save(&before, &records)?;
        store.replace(NAME, specs)?;
        store.replace(NAME, statuses)?;
        let after = if busy { SOON } else { AGAIN };
        Ok(if workloads.is_empty() {
            Action::WaitForChange
        } else {
            Action::After(after)
        })
    }
}

impl Workloads {
    /// Returns what is wrong with a workload's service: what its program left word of, or what the supervisor says.
    fn says(&self, name: &str, service: Option<&ServiceStatus>) -> Option<String> {
        let service = service.filter(|service| !service.is_as_wanted())?;
        let ended = matches!(service.state, ServiceState::Failed | ServiceState::Stopped);
        let left = ended
            .then(|| std::fs::read_to_string(self.places.reason(name)).ok())
            .flatten();
        Some(left.unwrap_or_else(|| service.message.clone()))
    }

    fn tell_that_nothing_runs_them(
        &self,
        store: &Store,
        workloads: &[Workload],
    ) -> Result<(), ControllerError> {
        let status = |workload: &Workload| {
            let image = Source::of(&workload.image)
                .map(|source| source.name())
                .unwrap_or_default();
            let problem =
                "this system has no containerd; build it with `--overlay containerd`, or turn the service on";
            let status = WorkloadStatus {
                service: plan::service(workload.name.as_str()),
                stage: WorkloadStage::Fetching,
                image,
                runs: None,
                digest: None,
                problem: Some(problem.to_owned()),
            };
            (workload.name.to_string(), status)
        };
        store.replace(NAME, workloads.iter().map(status).collect())?;
        store.replace(NAME, Vec::<(String, ServiceSpec)>::new())?;
        Ok(())
    }
}
