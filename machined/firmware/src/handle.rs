//! Compares and repairs, one at a time, and publishes the result.

use std::sync::Arc;

use api::v1alpha1::{
    FirmwareDifference as ApiDifference, FirmwareFile as ApiFile, FirmwareStatusResponse,
    FirmwareTrial as ApiTrial, RepairFirmwareRequest, RepairFirmwareResponse,
};
use async_trait::async_trait;
use backend::{BackendError, Firmware};
use firmware_files::{Difference, Order};
use firmware_trial::Started;
use machine_config::MachineConfig;
use machine_config::v1alpha1::FirmwareUpgrade;
use node::Node;
use node::events::Events;
use state::kinds::{FirmwareDifference, FirmwareFile, FirmwareStatus, FirmwareTrial, NODE, TrialStatus};
use state::{ControllerError, Store, chain};
use tokio::sync::Mutex;

use crate::places::Places;
use crate::survey::{Survey, SurveyError, Wanted, survey};
use crate::trial::{Asked, Case, Step};

pub(crate) const NAME: &str = "firmware";

/// Compares the partition with the release, and repairs it. Clones share one turn: nothing else of this process writes to
/// the partition.
#[derive(Clone)]
pub struct FirmwareHandle {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    events: Events,
    places: Places,
    version: String,
    started: Option<Started>,
    turn: Mutex<()>,
}

/// What was done to the partition, and how it is now.
struct Done {
    order: Order,
    status: FirmwareStatus,
}

impl FirmwareHandle {
    /// Makes the handle of a node whose ESP is there. `started` is how its firmware was started, as the loader
    /// says it.
    pub fn new(node: &Node, places: Places, started: Option<&str>) -> Self {
        let shared = Shared {
            store: node.store.clone(),
            events: node.events.clone(),
            places,
            version: node.release.version.clone(),
            started: started.and_then(Started::find),
            turn: Mutex::new(()),
        };
        FirmwareHandle {
            shared: Arc::new(shared),
        }
    }

    /// Compares the partition, writes what the node writes unasked, and publishes the result. What cannot be read is part of the
    /// result. On trial nothing is written.
    pub(crate) async fn check(&self, request: &Request) -> Result<FirmwareStatus, ControllerError> {
        let _turn = self.shared.turn.lock().await;
        let (shared, request) = (self.shared.clone(), request.clone());
        let status = tokio::task::spawn_blocking(move || {
            let looked = settle(&shared, &request);
            looked.unwrap_or_else(|error| FirmwareStatus {
                release: shared.version.clone(),
                problem: Some(format!(
                    "{}; flash the node again if its next start fails",
                    chain(&error)
                )),
                ..FirmwareStatus::default()
            })
        });
        let status = status
            .await
            .map_err(|error| ControllerError::msg(error.to_string()))?;
        self.shared.store.put(NAME, NODE, status.clone())?;
        Ok(status)
    }

    /// Writes the files of the release that differ, or puts them on trial.
    async fn write(&self, request: RepairFirmwareRequest) -> Result<Done, BackendError> {
        let _turn = self.shared.turn.lock().await;
        let (shared, lines) = (self.shared.clone(), Request::of(&self.shared.store).lines);
        let done = tokio::task::spawn_blocking(move || repair(&shared, &lines, request));
        let done = done
            .await
            .map_err(|error| BackendError::Internal(error.to_string()))?;
        let done = done.map_err(|error| BackendError::Refused(chain(&error)))?;
        let published = self.shared.store.put(NAME, NODE, done.status.clone());
        published.map_err(|error| BackendError::Internal(chain(&error)))?;
        Ok(done)
    }

    /// Reports what went wrong as an event.
    pub(crate) fn report(&self, text: &str) {
        self.shared.events.error(NAME, text);
    }

    /// Commits the files that the node was started with on trial, and publishes the result.
    pub(crate) async fn commit(&self, request: &Request) -> Result<(), ControllerError> {
        let _turn = self.shared.turn.lock().await;
        let (shared, request) = (self.shared.clone(), request.clone());
        let status = tokio::task::spawn_blocking(move || {
            let wanted = Wanted::read(&shared.places, &request.lines)?;
            let found = survey(&shared.places, &wanted, &shared.version)?;
            let case = shared.case(&wanted, &found, request.by_itself(&shared))?;
            if case.step == Step::Running {
                case.carry_out(&shared.places)?;
                let text = format!("the firmware files on trial are kept: {}", named(&case.order));
                shared.events.info(NAME, text);
            }
            // Something else may be due by now.
            settle(&shared, &request)
        });
        let status = status
            .await
            .map_err(|error| ControllerError::msg(error.to_string()))?;
        let status = status.map_err(|error: SurveyError| ControllerError::msg(chain(&error)))?;
        self.shared.store.put(NAME, NODE, status)?;
        Ok(())
    }
}

impl Shared {
    fn case(&self, wanted: &Wanted, found: &Survey, asked: Asked<'_>) -> Result<Case, SurveyError> {
        Case::of(&self.places, wanted, found, asked, self.started)
    }
}

fn named(order: &Order) -> String {
    let paths: Vec<&str> = order
        .write
        .iter()
        .chain(&order.remove)
        .map(String::as_str)
        .collect();
    paths.join(", ")
}

/// Writes the files of the release that differ, or puts them on trial.
fn repair(shared: &Shared, lines: &[String], request: RepairFirmwareRequest) -> Result<Done, SurveyError> {
    let asked = Asked::Repair {
        remove_unknown: request.remove_unknown,
        without_trial: request.without_trial,
    };
    let wanted = Wanted::read(&shared.places, lines)?;
    let mut found = survey(&shared.places, &wanted, &shared.version)?;
    let case = shared.case(&wanted, &found, asked)?;
    if !request.dry_run && case.step.is_due() {
        case.carry_out(&shared.places)?;
        found = survey(&shared.places, &wanted, &shared.version)?;
    }
    let status = status(&shared.version, &wanted, found, case.step.trial());
    Ok(Done {
        order: case.order,
        status,
    })
}

fn status(version: &str, wanted: &Wanted, survey: Survey, trial: Option<FirmwareTrial>) -> FirmwareStatus {
    let file = |(path, difference)| FirmwareFile {
        path,
        difference: match difference {
            Difference::Changed => FirmwareDifference::Changed,
            Difference::OtherRelease => FirmwareDifference::OtherRelease,
            Difference::Missing => FirmwareDifference::Missing,
            Difference::Damaged => FirmwareDifference::Damaged,
            Difference::Unknown => FirmwareDifference::Unknown,
        },
    };
    FirmwareStatus {
        release: version.to_owned(),
        installed: survey.installed,
        files: u32::try_from(wanted.list.files.len()).unwrap_or(u32::MAX),
        differences: survey.differences.into_iter().map(file).collect(),
        faults: wanted.faults.clone(),
        problem: None,
        trial,
    }
}

/// Compares the partition, and writes what the node writes unasked, or has it tried.
fn settle(shared: &Shared, request: &Request) -> Result<FirmwareStatus, SurveyError> {
    let wanted = Wanted::read(&shared.places, &request.lines)?;
    let mut found = survey(&shared.places, &wanted, &shared.version)?;
    let case = shared.case(&wanted, &found, request.by_itself(shared))?;
    if !case.step.is_due() {
        return Ok(status(&shared.version, &wanted, found, case.step.trial()));
    }
    if !request.settled {
        return Ok(status(&shared.version, &wanted, found, None));
    }
    case.carry_out(&shared.places)?;
    let files = named(&case.order);
    match case.step {
        Step::Write => shared.events.info(
            NAME,
            format!("changed on the EFI system partition: {files}; this takes effect at the next start"),
        ),
        Step::Prepare => shared
            .events
            .info(NAME, format!("the firmware tries at the next start: {files}")),
        _ => {}
    }
    found = survey(&shared.places, &wanted, &shared.version)?;
    Ok(status(&shared.version, &wanted, found, case.step.trial()))
}

/// What the machine config wants of the firmware, and whether anything may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// Lines for the firmware's configuration.
    pub lines: Vec<String>,
    /// Set when loader and firmware are renewed after an upgrade.
    pub renew: bool,
    /// Set when the running release is kept: one on trial may be gone at the next start.
    pub settled: bool,
}

impl Request {
    pub(crate) fn of(store: &Store) -> Request {
        let config: Option<MachineConfig> = store.get(NODE);
        let firmware = config.map(|config| config.machine.firmware).unwrap_or_default();
        let trial: Option<TrialStatus> = store.get(NODE);
        Request {
            lines: firmware.config.iter().map(ToString::to_string).collect(),
            renew: firmware.upgrade == FirmwareUpgrade::Automatic,
            settled: matches!(trial, Some(TrialStatus::None | TrialStatus::Committed)),
        }
    }

    fn by_itself<'a>(&self, shared: &'a Shared) -> Asked<'a> {
        Asked::ByItself {
            running: &shared.version,
            renew: self.renew,
        }
    }
}

#[async_trait]
impl Firmware for FirmwareHandle {
    fn status(&self) -> Result<FirmwareStatusResponse, BackendError> {
        let status: Option<FirmwareStatus> = self.shared.store.get(NODE);
        let status = status
            .ok_or_else(|| BackendError::Unavailable("the firmware was not compared yet".to_owned()))?;
        Ok(answer(status))
    }

    async fn repair(&self, request: RepairFirmwareRequest) -> Result<RepairFirmwareResponse, BackendError> {
        let trial: Option<TrialStatus> = self.shared.store.get(NODE);
        let on_trial = matches!(
            trial,
            Some(TrialStatus::Waiting { .. } | TrialStatus::Holding { .. } | TrialStatus::GivenUp)
        );
        if on_trial && !request.dry_run {
            return Err(BackendError::Refused(
                "the running release is on trial: wait until it is committed (`bedplate upgrade status`)"
                    .to_owned(),
            ));
        }
        let (handle, dry_run) = (self.clone(), request.dry_run);
        // A task of its own: a client that goes away interrupts nothing.
        let done = tokio::spawn(async move { handle.write(request).await });
        let Done { order, status } = done
            .await
            .map_err(|error| BackendError::Internal(error.to_string()))??;
        let tried = status.trial == Some(FirmwareTrial::NextStart);
        if !dry_run {
            let written = match tried {
                true => "to be tried at the next start",
                false => "written",
            };
            for (what, paths) in [(written, &order.write), ("removed", &order.remove)] {
                if !paths.is_empty() {
                    let text = format!("{what} on the EFI system partition: {}", paths.join(", "));
                    self.shared.events.info(NAME, text);
                }
            }
        }
        Ok(RepairFirmwareResponse {
            written: order.write,
            removed: order.remove,
            status: Some(answer(status)),
        })
    }
}

fn answer(status: FirmwareStatus) -> FirmwareStatusResponse {
    let problems = status.problems();
    let file = |file: FirmwareFile| ApiFile {
        path: file.path,
        difference: match file.difference {
            FirmwareDifference::Changed => ApiDifference::Changed,
            FirmwareDifference::OtherRelease => ApiDifference::OtherRelease,
            FirmwareDifference::Missing => ApiDifference::Missing,
            FirmwareDifference::Damaged => ApiDifference::Damaged,
            FirmwareDifference::Unknown => ApiDifference::Unknown,
        }
        .into(),
    };
    let trial = match status.trial {
        None => ApiTrial::Unspecified,
        Some(FirmwareTrial::NextStart) => ApiTrial::NextStart,
        Some(FirmwareTrial::Running) => ApiTrial::Running,
        Some(FirmwareTrial::TakenBack) => ApiTrial::TakenBack,
        Some(FirmwareTrial::Unanswered) => ApiTrial::Unanswered,
    };
    FirmwareStatusResponse {
        release: status.release,
        installed: status.installed,
        files: status.files,
        differences: status.differences.into_iter().map(file).collect(),
        problems,
        trial: trial.into(),
    }
}
