//! The job of one upgrade, on a low-priority thread of its own.

use std::fs::File;
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use api::v1alpha1::UpgradePlan;
use backend::PushedBundle;
use manifest::{Digest, VerifiedManifest};
use medium::FileMedium;
use remote::{Options, Proxy, Remote};
use state::chain;
use state::kinds::upgrade::Stage;
use upgrade::{Disk, Progress, Release, Slots, Source};

use super::error::Error;
use super::estimate::{self, Left, Speeds};
use super::plan;
use super::preflight::{RunningSystem, findings, in_the_way};
use super::source::{Gauge, Pushed, Web};
use super::status::StatusPublisher;
use super::throttle::Throttle;

/// The shortest interval between progress updates; a new stage is published at once.
const PUBLISH_EVERY: Duration = Duration::from_millis(250);
/// How often a file that changed while it was read is opened again.
const MAX_REOPENS: u32 = 3;
/// The number of tries in a row to reach a server: a connection may be down for a quarter of an hour.
const TRIES: u32 = 40;
/// A server without ranges sends the file from its start once more for the hash tree, and once for the patches' index.
const RESTARTS: u32 = 3;

/// Where the bundle is.
pub(super) enum Origin {
    /// On a web server.
    Url {
        url: String,
        proxy: Option<String>,
        authority: Option<String>,
    },
    /// With a client.
    Client(Box<dyn PushedBundle>),
}

/// One upgrade to be done.
pub(super) struct Job {
    pub system: RunningSystem,
    pub origin: Origin,
    pub rate: Option<NonZeroU64>,
    /// The manifest that the bundle must have.
    pub pin: Option<Digest>,
    pub plan_only: bool,
    pub force: bool,
    /// Set when nobody waits for the answer: the server may be unreachable for a while.
    pub patient: bool,
    /// Objections to a restart of the node.
    pub objections: Vec<String>,
    pub published: StatusPublisher,
    pub stop: Arc<AtomicBool>,
}

/// The end of a job.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// Only a plan was requested.
    Planned,
    /// The target slot holds the release, and is verified; nothing is armed.
    Written {
        /// SHA-256 of the manifest, in hex.
        manifest: String,
    },
}

/// Why a job did not finish.
#[derive(Debug)]
pub(super) enum JobError {
    /// It was cancelled.
    Stopped,
    /// It failed, or was refused.
    Failed(Error),
}

impl Job {
    /// Does it. Blocks.
    pub fn run(mut self) -> Result<Done, JobError> {
        if let Err(error) = sys::priority::give_way() {
            tracing::warn!("the upgrade's thread keeps its priority: {}", chain(&error));
        }
        let (gauge, mut reopened) = (Gauge::default(), 0);
        loop {
            let ended = self.open(&gauge).and_then(|source| self.once(source, &gauge));
            let again =
                gauge.take_changed() && reopened < MAX_REOPENS && matches!(self.origin, Origin::Url { .. });
            match ended {
                _ if self.stop.load(Ordering::Relaxed) => return Err(JobError::Stopped),
                Err(reason) if again => {
                    reopened += 1;
                    self.say(&format!("{}; opening it again", chain(&reason)));
                }
                Err(reason) => return Err(JobError::Failed(reason)),
                Ok(done) => return Ok(done),
            }
        }
    }

    /// Opens the bundle's source. A client's can be opened once.
    fn open(&mut self, gauge: &Gauge) -> Result<Box<dyn Source>, Error> {
        self.published.update(|status, _| status.stage = Stage::Opening);
        let mut throttle = Throttle::new(self.rate, self.stop.clone());
        let taken = Origin::Url {
            url: String::new(),
            proxy: None,
            authority: None,
        };
        match std::mem::replace(&mut self.origin, taken) {
            Origin::Client(bundle) => Ok(Box::new(Pushed::new(bundle, gauge.clone(), throttle))),
            Origin::Url {
                url,
                proxy,
                authority,
            } => {
                let (published, counted) = (self.published.clone(), gauge.clone());
                let options = Options {
                    proxy: proxy.clone().map_or(Proxy::None, Proxy::At),
                    authority: authority.clone(),
                    // The manifest is signed, and contains the hash of every block and file.
                    verified_by_reader: true,
                    first: bundle::INDEX_AT + 8 * 1024,
                    tries: TRIES,
                    tries_to_open: if self.patient {
                        TRIES
                    } else {
                        Options::default().tries_to_open
                    },
                    restarts: RESTARTS,
                    stop: self.stop.clone(),
                    on_retry: Some(Box::new(move |text| {
                        published.update(|status, _| status.message = text.to_owned())
                    })),
                    pace: Some(Box::new(move |bytes| {
                        counted.add(bytes);
                        throttle.took(bytes);
                    })),
                    ..Options::default()
                };
                let remote = Remote::open(&url, options);
                self.origin = Origin::Url {
                    url,
                    proxy,
                    authority,
                };
                Ok(Box::new(Web::new(remote?, gauge.clone())))
            }
        }
    }

    /// Runs the upgrade once.
    fn once(&self, source: Box<dyn Source>, gauge: &Gauge) -> Result<Done, Error> {
        let started = Instant::now();
        let system = &self.system;
        let mut release = Release::open(source, system.keys()?)?;
        self.check_pin(release.manifest())?;
        let mut running = read_only(&system.places.slots[system.running.index()])?;
        let mut target = read_write(system.target_path())?;
        let mut bootstate = read_write(&system.places.bootstate)?;

        let node = system.node(medium::Medium::len(&target), &self.objections);
        let against = findings(release.manifest(), &node);
        let outline = plan::outline(release.manifest(), system, &against);
        let manifest = outline.manifest_sha256.clone();
        self.published.update(|status, extra| {
            status.to_version.clone_from(&outline.to_version);
            status.manifest.clone_from(&manifest);
            status.message.clear();
            extra.plan = None;
        });
        if let Some(reason) = in_the_way(&against, self.force) {
            self.publish_plan(&outline);
            return Err(Error::Refused(reason));
        }

        let mut disk = Disk {
            bootstate: &mut bootstate,
            slots: Slots {
                running: &mut running,
                old: &system.release.manifest,
                target: &mut target,
                slot: system.target(),
            },
        };
        let mut reporter = Reporter::new(self, gauge);
        let line = Speeds::of(gauge.fetched(), started.elapsed());
        let surveyed = Instant::now();
        let prepared = upgrade::prepare(&mut release, &mut disk.slots, &mut |progress| {
            reporter.advance(progress)
        });
        let prepared = prepared?;
        let image = release.manifest().slot.size;
        reporter.speeds = Speeds {
            line,
            slot: Speeds::of(image, surveyed.elapsed()),
        };
        let cost = prepared.plan.cost;
        reporter.left = Left {
            fetch: cost.patches + cost.frames,
            write: prepared.plan.write,
            verify: image,
        };
        let time = estimate::time(reporter.left, reporter.speeds);
        let manifest_of = |release: &Release<Box<dyn Source>>| release.manifest().clone().into_manifest();
        let shown = plan::complete(
            &outline,
            &manifest_of(&release),
            &system.release.manifest,
            &prepared.plan,
            time,
        );
        self.publish_plan(&shown);
        if self.plan_only {
            return Ok(Done::Planned);
        }
        let report = upgrade::carry_out(&mut release, &mut disk, prepared, &mut |progress| {
            reporter.advance(progress)
        });
        reporter.tell(&report?.progress);
        Ok(Done::Written { manifest })
    }

    /// Refuses every release but the requested one. A file that is replaced and opened again is checked again.
    fn check_pin(&self, bundle: &VerifiedManifest) -> Result<(), Error> {
        match self.pin {
            Some(pin) if bundle.id() != pin => Err(Error::OtherBundle {
                version: bundle.version,
                found: bundle.id(),
                pin,
            }),
            _ => Ok(()),
        }
    }

    fn publish_plan(&self, plan: &UpgradePlan) {
        self.published.update(|status, extra| {
            status.fetch_bytes = plan.fetch_bytes;
            status.write_bytes = plan.write_blocks * u64::from(plan.block_size);
            extra.plan = Some(plan.clone());
        });
    }

    fn say(&self, text: &str) {
        self.published
            .update(|status, _| status.message = text.to_owned());
    }
}

fn read_only(path: &Path) -> Result<FileMedium, Error> {
    let medium = File::open(path).and_then(FileMedium::new);
    medium.map_err(|error| Error::open(path, error))
}

fn read_write(path: &Path) -> Result<FileMedium, Error> {
    let file = File::options().read(true).write(true).open(path);
    let medium = file.and_then(FileMedium::new);
    medium.map_err(|error| Error::open_for_writing(path, error))
}

/// Publishes progress, and notices cancellation.
struct Reporter {
    published: StatusPublisher,
    gauge: Gauge,
    stop: Arc<AtomicBool>,
    told: Option<(Instant, Stage)>,
    /// When the current stage started, and what was fetched by then.
    began: (Instant, u64),
    speeds: Speeds,
    left: Left,
}

impl Reporter {
    fn new(job: &Job, gauge: &Gauge) -> Self {
        Reporter {
            published: job.published.clone(),
            gauge: gauge.clone(),
            stop: job.stop.clone(),
            told: None,
            began: (Instant::now(), 0),
            speeds: Speeds::default(),
            left: Left::default(),
        }
    }

    fn advance(&mut self, progress: Progress) -> ControlFlow<()> {
        if self.stop.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        let due = self
            .told
            .is_none_or(|(at, stage)| stage != stage_of(&progress) || at.elapsed() >= PUBLISH_EVERY);
        if due {
            self.tell(&progress);
        }
        ControlFlow::Continue(())
    }

    fn tell(&mut self, progress: &Progress) {
        let stage = stage_of(progress);
        if self.told.is_none_or(|(_, last)| last != stage) {
            self.began = (Instant::now(), self.gauge.fetched());
        }
        self.told = Some((Instant::now(), stage));
        let eta = self.time_left(progress);
        let fetched = self.gauge.fetched();
        self.published.update(|status, _| {
            if status.fetched_bytes != fetched {
                // The server answers again.
                status.message.clear();
            }
            status.stage = stage;
            status.fetched_bytes = fetched;
            status.written_bytes = progress.written;
            status.equal_bytes = progress.equal;
            (status.stage_bytes, status.stage_total_bytes) = (progress.done, progress.total);
            status.eta_ms = eta.map_or(0, |eta| u64::try_from(eta.as_millis()).unwrap_or(u64::MAX));
        });
    }

    /// Uses the current stage alone if that is more accurate than earlier measurements.
    fn time_left(&mut self, progress: &Progress) -> Option<Duration> {
        let (since, before) = self.began;
        let rest = progress.total.saturating_sub(progress.done);
        let left = match progress.stage {
            upgrade::Stage::Survey => return None,
            upgrade::Stage::Fetch => {
                let speed = Speeds::of(self.gauge.fetched() - before, since.elapsed());
                self.speeds.line = if speed > 0.0 { speed } else { self.speeds.line };
                // Bytes are written as they arrive: the connection is assumed to be slower.
                Left {
                    fetch: rest,
                    write: 0,
                    ..self.left
                }
            }
            upgrade::Stage::Verify => Left {
                fetch: 0,
                write: 0,
                verify: rest,
            },
        };
        estimate::time(left, self.speeds)
    }
}

fn stage_of(progress: &Progress) -> Stage {
    match progress.stage {
        upgrade::Stage::Survey => Stage::Surveying,
        upgrade::Stage::Fetch => Stage::Fetching,
        upgrade::Stage::Verify => Stage::Verifying,
    }
}
