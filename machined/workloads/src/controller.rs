//! Wants a service for each workload, with the image that it is to run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use containerd::{Containerd, ImageStore as _, SERVICE, WORKLOADS};
use machine_config::MachineConfig;
use machine_config::v1alpha1::{NetworkMode, Workload};
use node::events::Events;
use node::logs::{Logs, uptime_ms};
use state::kinds::{
    NODE, RoomStatus, ServiceHealth, ServiceSpec, ServiceState, ServiceStatus, WorkloadNetworkStatus,
    WorkloadStage, WorkloadStatus,
};
use state::{Action, Controller, ControllerError, Resource as _, Store};
use tokio::sync::Notify;

use crate::fetching::Fetches;
use crate::network::join::Place;
use crate::network::plan::gateway;
use crate::plan;
use crate::room;
use crate::runner::Places;
use crate::settings::Network;
use crate::source::Source;
use crate::trial::{Choice, Record, Seen, choose};

const NAME: &str = "workloads";
/// How often is looked while something is on its way, and otherwise, in case somebody removed an image.
const SOON: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_secs(60);

/// The controller of workloads. Sole owner of `WorkloadStatus`.
pub struct Workloads {
    places: Places,
    /// What is remembered of each workload, on STATE.
    records: PathBuf,
    events: Events,
    logs: Logs,
    fetches: Fetches,
    tries: BTreeMap<String, Tried>,
}

/// Since when a workload has run an image, in milliseconds since the kernel started.
struct Tried {
    image: String,
    since_ms: u64,
}

impl Workloads {
    /// Makes the controller. `images` is the folder with the system's container images, `records` a file on STATE.
    pub fn new(places: Places, images: PathBuf, records: PathBuf, events: Events, logs: Logs) -> Self {
        Workloads {
            fetches: Fetches::new(places.socket.clone(), images, events.clone()),
            places,
            records,
            events,
            logs,
            tries: BTreeMap::new(),
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
                format!(
                    "{workload} did not get healthy with {rejected} ({why}), and is rolled back to {back}"
                ),
            );
        } else if let (Some(now), true) = (good, *good != before.good) {
            self.events
                .info(NAME, format!("{workload} is healthy with {now}, which is kept"));
        }
    }

    /// Removes images that no workload needs any longer. One that cannot be removed stays until somebody removes it.
    async fn clear(
        &self,
        containerd: &Containerd,
        images: Vec<String>,
        statuses: &[(String, WorkloadStatus)],
        records: &BTreeMap<String, Record>,
    ) {
        for image in images {
            let wanted = statuses.iter().any(|(_, status)| status.image == image);
            let kept = |record: &Record| {
                let kept = [&record.good, &record.previous];
                kept.into_iter().flatten().any(|kept| *kept == image)
            };
            if wanted || records.values().any(kept) {
                continue;
            }
            match containerd.remove_image(&image).await {
                Ok(true) => self.events.info(
                    NAME,
                    format!("the image {image} was removed: no workload needs it"),
                ),
                Ok(false) => {}
                Err(error) => self.events.warning(
                    NAME,
                    format!("the image {image} cannot be removed: {}", error.chain()),
                ),
            }
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
        &[
            MachineConfig::KIND,
            ServiceStatus::KIND,
            WorkloadNetworkStatus::KIND,
            RoomStatus::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[WorkloadStatus::KIND]
    }

    fn shared_outputs(&self) -> &'static [&'static str] {
        &[ServiceSpec::KIND]
    }

    fn wake(&self) -> Option<Arc<Notify>> {
        Some(self.fetches.bell())
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let config: Option<MachineConfig> = store.get(NODE);
        let (workloads, registries) = config
            .map(|config| (config.workloads, config.machine.registries))
            .unwrap_or_default();
        self.logs.limit(workloads.iter().map(plan::log_files).collect());
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
        let network: Option<WorkloadNetworkStatus> = store.get(NODE);
        let full = room::full(store);
        let before = self.load();
        let (mut records, mut specs, mut statuses) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut unneeded = Vec::new();
        let mut busy = false;
        for workload in &workloads {
            let Some(source) = Source::of(&workload.image) else {
                continue;
            };
            let (name, wanted) = (workload.name.as_str(), source.name());
            let service: Option<ServiceStatus> = store.get(&plan::service(name));
            let digest = containerd.digest(&wanted).await?;
            let present = digest.is_some() && (!source.follows_system() || self.fetches.done(&wanted));
            let (healthy, tried) = self.tried(name, &wanted, service.as_ref());
            let says = self.says(workload, service.as_ref());
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
                WorkloadStage::Fetching => match full.clone().filter(|_| !source.follows_system()) {
                    None => self.fetches.ask(name, &source, &registries),
                    full => full,
                },
                _ => None,
            };
            busy |= choice.stage != WorkloadStage::Committed || service.is_none();
            let network = network_of(workload, network.as_ref());
            if let (Some(image), Ok(network)) = (&choice.run, &network) {
                let spec = plan::spec(workload, image, network.clone(), &self.places)?;
                specs.push((plan::service(name), spec));
            }
            let rolled_back = choice
                .record
                .why
                .as_ref()
                .filter(|_| choice.stage == WorkloadStage::RolledBack);
            let problem = match (rolled_back, fetching) {
                (Some(why), _) => Some(format!(
                    "did not get healthy with {wanted}, and was rolled back: {why}"
                )),
                (None, Some(error)) => Some(error),
                (None, None) => network.err().or(says),
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
            unneeded.extend(choice.unneeded);
        }
        self.tries.retain(|name, _| records.contains_key(name));
        self.save(&before, &records)?;
        store.replace(NAME, specs)?;
        self.clear(&containerd, unneeded, &statuses, &records).await;
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
    fn says(&self, workload: &Workload, service: Option<&ServiceStatus>) -> Option<String> {
        let service = service.filter(|service| !service.is_as_wanted())?;
        if service.state == ServiceState::Starting && workload.health_check.is_none() {
            // What it is asked then is a matter between its program and the agent.
            return Some("is being started".to_owned());
        }
        let ended = matches!(service.state, ServiceState::Failed | ServiceState::Stopped);
        let left = ended
            .then(|| std::fs::read_to_string(self.places.reason(workload.name.as_str())).ok())
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

/// Returns the network of a workload, or what it waits for.
fn network_of(workload: &Workload, status: Option<&WorkloadNetworkStatus>) -> Result<Network, String> {
    let waits = || "waits for the network of workloads".to_owned();
    match workload.network.mode {
        NetworkMode::None => Ok(Network::None),
        NetworkMode::Host => Ok(Network::Host),
        NetworkMode::Bridge => {
            let status = status.ok_or_else(waits)?;
            if let Some(problem) = &status.problem {
                return Err(problem.clone());
            }
            let address = status.addresses.get(workload.name.as_str()).ok_or_else(waits)?;
            Ok(Network::Bridge(Place {
                address: *address,
                length: status.subnet.length,
                gateway: gateway(status.subnet),
            }))
        }
    }
}
