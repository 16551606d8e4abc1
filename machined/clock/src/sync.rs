//! Keeps the clock in step with the servers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use machine_config::MachineConfig;
use state::kinds::clock::Origin;
use state::kinds::{Dhcp6Lease, DhcpLease, NODE, NetworkStatus, TimeFrom, TimeStatus};
use state::{Action, Controller, ControllerError, Resource, Store, chain};
use sys::clock::Clock;

use super::discipline::{Adjustment, Claim, Now, Sample, Verdict, adjust, pause, pause_in_doubt, weigh};
use super::last_known::{Restored, save};
use super::servers;
use super::sntp::{TimeSource, unix_seconds};

/// How often the time is saved: what a power cut takes from a board without a clock, at most.
const SAVE_EVERY: Duration = Duration::from_secs(3600);
/// How long a clock that nobody answered counts as in step: a board's crystal drifts less than a second in it.
const HOLDOVER: Duration = Duration::from_secs(6 * 3600);

/// Keeps the clock in step with the configured servers. Sole owner of `TimeStatus`.
///
/// Without an answer it tells why and tries again; it never guesses a time.
pub struct TimeSync<S> {
    source: S,
    clock: Arc<dyn Clock>,
    saved: PathBuf,
    restored: Restored,
    last_save: Option<Duration>,
    asked: Asked,
    /// Set when a server has told the time in this boot.
    told: bool,
}

/// What came of asking these servers so far. Other servers start from scratch.
#[derive(Default)]
struct Asked {
    servers: Vec<String>,
    network_ready: bool,
    failures: u32,
    successes: u32,
    /// When to ask again, and when an answer came last, on the clock that never jumps.
    next: Duration,
    last: Option<Duration>,
    followed: Option<Sample>,
    last_sync_unix: Option<u64>,
    /// A time that would move the clock far, and waits to be confirmed.
    claim: Option<Claim>,
    reason: Option<String>,
}

impl<S: TimeSource> TimeSync<S> {
    /// Makes the controller of a clock that was restored already; `saved` is where the time is kept for the next start.
    pub fn new(source: S, clock: Arc<dyn Clock>, saved: PathBuf, restored: Restored) -> Self {
        Self {
            source,
            clock,
            saved,
            restored,
            last_save: None,
            asked: Asked::default(),
            told: false,
        }
    }

    /// Asks every server, and follows what they say.
    async fn ask(&mut self) -> Result<(), ControllerError> {
        let answers = join_all(self.asked.servers.iter().map(|server| self.source.ask(server))).await;
        let mut samples = Vec::new();
        let mut problems = Vec::new();
        for answer in answers {
            match answer {
                Ok(sample) => samples.push(sample),
                Err(error) => problems.push(chain(&error)),
            }
        }
        let answered = samples.len();
        let now = self.clock.now();
        let (since_boot, in_step) = (self.clock.since_boot(), self.asked.last.is_some());
        let clocks = Now {
            wall: now,
            since_boot,
        };
        let claim = &mut self.asked.claim;
        let sample = match weigh(samples, clocks, self.restored.bounds, in_step, claim) {
            Verdict::Follow(sample) => sample,
            Verdict::Doubt {
                sample,
                rounds,
                needed,
            } => {
                let reason = in_doubt(&sample, rounds, needed);
                if rounds == 1 {
                    tracing::warn!("{reason}");
                }
                self.asked.failures = 0;
                self.asked.reason = Some(reason);
                return Ok(());
            }
            Verdict::Useless => {
                if answered > 0 {
                    problems.push(
                        "an answer was too late, from before this image was built, or decades after"
                            .to_owned(),
                    );
                }
                self.asked.failures = self.asked.failures.saturating_add(1);
                self.asked.successes = 0;
                self.asked.reason = Some(problems.join("; "));
                return Ok(());
            }
        };
        match adjust(now, sample.offset_micros) {
            Adjustment::Slew(micros) => self.clock.slew(micros)?,
            Adjustment::Step(to) => {
                self.clock.set(to)?;
                tracing::info!(
                    "the clock was {} s off and was set by {}",
                    sample.offset_micros / 1_000_000,
                    sample.server
                );
                // A clock that was wrong was also saved wrong.
                self.last_save = None;
            }
        }
        self.told = true;
        self.asked.failures = 0;
        self.asked.successes = self.asked.successes.saturating_add(1);
        self.asked.last = Some(self.clock.since_boot());
        self.asked.last_sync_unix = Some(unix_seconds(self.clock.now()));
        self.asked.followed = Some(sample);
        self.asked.reason = None;
        Ok(())
    }

    fn status(&self, servers: Vec<String>, servers_from: Origin, reason: Option<String>) -> TimeStatus {
        let age = self
            .asked
            .last
            .map(|last| self.clock.since_boot().saturating_sub(last));
        let synchronised = age.is_some_and(|age| age < HOLDOVER);
        let followed = self.asked.followed.as_ref();
        TimeStatus {
            synchronised,
            source: if followed.is_some() {
                TimeFrom::Ntp
            } else {
                self.restored.source
            },
            server: followed
                .filter(|_| synchronised)
                .map(|sample| sample.server.clone()),
            offset_nanos: followed.map_or(0, |sample| sample.offset_micros.saturating_mul(1000)),
            last_sync_unix: self.asked.last_sync_unix,
            servers,
            servers_from,
            reason,
        }
    }

    /// Saves the time, when it is due. That it cannot is no reason not to keep it.
    fn save_when_due(&mut self) {
        let now = self.clock.since_boot();
        if self.last_save.is_some_and(|last| now - last < SAVE_EVERY) {
            return;
        }
        self.last_save = Some(now);
        // A clock that no server has set tells nothing that has certainly passed.
        let time = if self.told {
            self.clock.now()
        } else {
            self.restored.passed(now)
        };
        if let Err(error) = save(time, &self.saved) {
            tracing::warn!("{}", chain(&error));
        }
    }

    fn until(&self, due: Duration) -> Duration {
        due.saturating_sub(self.clock.since_boot())
    }
}

/// Saves the time when the node stops, if a server has told it in this boot. Else what was saved last stays.
pub fn save_at_end(store: &Store, clock: &dyn Clock, path: &Path) {
    let status = store.get::<TimeStatus>(NODE);
    if status.is_none_or(|status| status.source != TimeFrom::Ntp) {
        return;
    }
    if let Err(error) = save(clock.now(), path) {
        tracing::warn!("{}", chain(&error));
    }
}

/// Returns for people why an answer is not followed yet.
fn in_doubt(sample: &Sample, rounds: u32, needed: u32) -> String {
    let (seconds, way) = (
        sample.offset_micros.unsigned_abs() / 1_000_000,
        if sample.offset_micros > 0 {
            "behind"
        } else {
            "ahead"
        },
    );
    let server = &sample.server;
    format!(
        "{server} says that the clock is {seconds} s {way}; it is asked again before that is believed ({rounds} of {needed})"
    )
}

#[async_trait]
impl<S: TimeSource> Controller for TimeSync<S> {
    fn name(&self) -> &'static str {
        "time-sync"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            MachineConfig::KIND,
            DhcpLease::KIND,
            Dhcp6Lease::KIND,
            NetworkStatus::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[TimeStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let config = store.get::<MachineConfig>(NODE);
        let Some((servers, origin)) = servers::choose(config.as_ref(), &store.list(), &store.list()) else {
            self.asked = Asked::default();
            let reason = "machine.time.enabled is false".to_owned();
            store.put(
                self.name(),
                NODE,
                self.status(Vec::new(), Origin::Config, Some(reason)),
            )?;
            self.save_when_due();
            return Ok(Action::After(SAVE_EVERY));
        };
        let ready = store
            .get::<NetworkStatus>(state::kinds::NODE)
            .is_some_and(|network| network.ready);
        if self.asked.servers != servers {
            // Who was followed until now still counts for a while: only what is asked is new.
            let Asked {
                last,
                followed,
                last_sync_unix,
                ..
            } = std::mem::take(&mut self.asked);
            self.asked = Asked {
                servers: servers.clone(),
                last,
                followed,
                last_sync_unix,
                ..Asked::default()
            };
        }
        if ready && !self.asked.network_ready {
            // The network has just come up: what failed without it is tried at once.
            (self.asked.failures, self.asked.next) = (0, Duration::ZERO);
        }
        self.asked.network_ready = ready;
        if !ready {
            let reason = "the network is not ready".to_owned();
            store.put(self.name(), NODE, self.status(servers, origin, Some(reason)))?;
            self.save_when_due();
            return Ok(Action::After(SAVE_EVERY));
        }
        if self.until(self.asked.next).is_zero() {
            let asked = self.ask().await;
            let failures = self.asked.failures.max(asked.is_err().into());
            let pause = match self.asked.claim {
                Some(_) if failures == 0 => pause_in_doubt(self.asked.last.is_some()),
                _ => pause(failures, self.asked.successes),
            };
            self.asked.next = self.clock.since_boot() + pause;
            asked?;
        }
        store.put(
            self.name(),
            NODE,
            self.status(servers, origin, self.asked.reason.clone()),
        )?;
        self.save_when_due();
        Ok(Action::After(
            self.until(self.asked.next).max(Duration::from_millis(100)),
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;
    use std::time::SystemTime;

    use sys::clock::RecordingClock;

    use super::super::bounds::Bounds;
    use super::super::sntp::SntpError;
    use super::*;

    const BUILT: u64 = 1_700_000_000;

    /// A source of answers from a list; none means no reply.
    #[derive(Clone, Default)]
    struct Scripted(Arc<Mutex<VecDeque<i64>>>);

    #[async_trait]
    impl TimeSource for Scripted {
        async fn ask(&self, server: &str) -> Result<Sample, SntpError> {
            let server = server.to_owned();
            match self.0.lock().unwrap().pop_front() {
                Some(offset_micros) => Ok(Sample {
                    server,
                    offset_micros,
                    delay: Duration::from_millis(5),
                }),
                None => Err(SntpError::Silent { server }),
            }
        }
    }

    struct Bench {
        _dir: tempfile::TempDir,
        answers: Scripted,
        clock: Arc<RecordingClock>,
        store: Store,
        sync: TimeSync<Scripted>,
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn bench(answers: &[i64]) -> Bench {
        let dir = tempfile::TempDir::new().unwrap();
        let (answers, clock) = (
            Scripted(Arc::new(Mutex::new(answers.iter().copied().collect()))),
            Arc::new(RecordingClock::at(at(BUILT))),
        );
        let restored = Restored {
            source: TimeFrom::Build,
            bounds: Bounds::of_image(at(BUILT)),
            passed: at(BUILT),
            at: Duration::ZERO,
        };
        let store = Store::new();
        network(&store, true);
        let sync = TimeSync::new(answers.clone(), clock.clone(), dir.path().join("clock"), restored);
        Bench {
            _dir: dir,
            answers,
            clock,
            store,
            sync,
        }
    }

    fn network(store: &Store, ready: bool) {
        store
            .put(
                "t",
                state::kinds::NODE,
                NetworkStatus {
                    ready,
                    ..NetworkStatus::default()
                },
            )
            .unwrap();
    }

    impl Bench {
        async fn step(&mut self) -> (TimeStatus, Duration) {
            let action = self.sync.reconcile(&self.store).await.unwrap();
            let Action::After(pause) = action else {
                panic!("it always has a next time")
            };
            (self.store.get(NODE).unwrap(), pause)
        }
    }

    #[tokio::test]
    async fn the_first_answer_sets_the_clock_and_later_ones_slew_it() {
        let mut bench = bench(&[3_600_000_000, -40_000]);
        let (status, pause) = bench.step().await;
        assert!(status.synchronised && status.reason.is_none());
        assert_eq!(
            (status.source, status.server.as_deref()),
            (TimeFrom::Ntp, Some(servers::DEFAULT_SERVER))
        );
        assert_eq!(status.last_sync_unix, Some(BUILT + 3600));
        assert_eq!(
            (bench.clock.now(), pause),
            (at(BUILT + 3600), Duration::from_secs(64))
        );
        bench.clock.advance(pause);
        let (status, _) = bench.step().await;
        assert_eq!(status.offset_nanos, -40_000_000);
        assert_eq!(bench.clock.now(), at(BUILT + 3664) - Duration::from_millis(40));
    }

    #[tokio::test]
    async fn nobody_answers() {
        let mut bench = bench(&[]);
        let mut pauses = Vec::new();
        for _ in 0..4 {
            let (status, pause) = bench.step().await;
            assert!(!status.synchronised);
            assert_eq!(status.source, TimeFrom::Build);
            assert_eq!(
                status.reason.as_deref(),
                Some("time server time.cloudflare.com did not answer")
            );
            pauses.push(pause.as_secs());
            bench.clock.advance(pause);
        }
        assert_eq!(pauses, [2, 4, 8, 16]);
        assert_eq!(bench.clock.now(), at(BUILT + 30), "the clock was left alone");
    }

    #[tokio::test]
    async fn without_a_network_nobody_is_asked_and_with_it_at_once() {
        let mut bench = bench(&[1_000_000]);
        network(&bench.store, false);
        assert_eq!(
            bench.step().await.0.reason.as_deref(),
            Some("the network is not ready")
        );
        assert_eq!(bench.answers.0.lock().unwrap().len(), 1);
        network(&bench.store, true);
        assert!(bench.step().await.0.synchronised);
    }

    #[tokio::test]
    async fn a_server_that_falls_silent_is_missed_after_hours_only() {
        let mut bench = bench(&[1_000_000]);
        bench.step().await;
        bench.clock.advance(Duration::from_secs(3600));
        let (status, _) = bench.step().await;
        assert!(status.synchronised && status.reason.is_some());
        bench.clock.advance(HOLDOVER);
        let (status, _) = bench.step().await;
        assert_eq!(
            (status.synchronised, status.server, status.source),
            (false, None, TimeFrom::Ntp)
        );
    }

    #[tokio::test]
    async fn an_answer_from_before_the_image_is_refused() {
        let mut bench = bench(&[-10_000_000]);
        let (status, _) = bench.step().await;
        assert!(status.reason.unwrap().contains("before this image was built"));
        assert_eq!(bench.clock.now(), at(BUILT));
    }

    const MONTH: i64 = 30 * 86_400 * 1_000_000;

    /// Asks until the answers run out, and returns how long that took.
    async fn ask_all(bench: &mut Bench) -> Duration {
        let begun = bench.clock.since_boot();
        while !bench.answers.0.lock().unwrap().is_empty() {
            let (_, pause) = bench.step().await;
            bench.clock.advance(pause);
        }
        bench.clock.since_boot() - begun
    }

    #[tokio::test]
    async fn one_answer_of_a_month_ahead_moves_nothing() {
        let mut bench = bench(&[5_000_000, MONTH, 0]);
        bench.step().await;
        bench.clock.advance(Duration::from_secs(64));
        let (status, pause) = bench.step().await;
        assert_eq!(bench.clock.now(), at(BUILT + 5 + 64));
        assert!(status.synchronised, "it still follows what it followed");
        let reason = status.reason.unwrap();
        assert!(
            reason.ends_with(
                "says that the clock is 2592000 s behind; it is asked again before that is believed (1 of 8)"
            ),
            "{reason}"
        );
        bench.clock.advance(pause);
        let (status, _) = bench.step().await;
        assert_eq!((status.reason, status.synchronised), (None, true));
        assert_eq!(bench.clock.now(), at(BUILT + 5 + 64) + pause);
    }

    #[tokio::test]
    async fn a_lie_that_was_believed_heals_before_the_next_look_of_ten_minutes() {
        // At the start nothing is known: three answers suffice, and three of the truth take them back.
        let mut bench = bench(&[MONTH; 3]);
        assert!(ask_all(&mut bench).await < Duration::from_secs(120));
        let truth = bench.clock.now() - Duration::from_micros(MONTH.unsigned_abs());
        assert!(truth < at(BUILT + 120), "the lie was believed: {truth:?}");
        bench.answers.0.lock().unwrap().extend([-MONTH; 3]);
        let took = ask_all(&mut bench).await;
        assert!(took < Duration::from_secs(600), "{took:?}");
        let now = bench.clock.now();
        assert!(now < truth + took + Duration::from_secs(1), "{now:?}");
    }

    #[tokio::test]
    async fn a_board_that_lay_in_a_drawer_finds_the_time_within_seconds() {
        let mut bench = bench(&[5 * MONTH; 3]);
        bench.step().await;
        let mut waited = Duration::ZERO;
        while !bench.store.get::<TimeStatus>(NODE).unwrap().synchronised {
            bench.clock.advance(Duration::from_secs(2));
            waited += Duration::from_secs(2);
            bench.step().await;
        }
        assert_eq!(waited, Duration::from_secs(4));
    }

    #[tokio::test]
    async fn a_clock_decades_ahead_comes_back_and_is_never_saved() {
        let mut bench = bench(&[]);
        let year_2099 = 4_080_000_000;
        bench.clock.set(at(year_2099)).unwrap();
        let saved = |bench: &Bench| std::fs::read_to_string(&bench.sync.saved).unwrap();
        bench.step().await;
        assert_eq!(saved(&bench), format!("{BUILT}\n"), "what has passed for certain");
        // As sntpc folds it: the nearest to the clock, which is an era too late.
        let off = i64::try_from(BUILT + 1000).unwrap() - i64::try_from(year_2099).unwrap() + (1 << 32);
        bench.answers.0.lock().unwrap().extend([off * 1_000_000; 3]);
        ask_all(&mut bench).await;
        let now = bench.clock.now();
        assert!((at(BUILT + 1000)..at(BUILT + 1200)).contains(&now), "{now:?}");
        assert_eq!(saved(&bench), format!("{}\n", BUILT + 1000 + 6));
    }

    #[tokio::test]
    async fn other_servers_are_asked_at_once() {
        let mut bench = bench(&[]);
        bench.step().await;
        let mut config = state::testkit::config();
        config.machine.time.servers = vec!["a.example".parse().unwrap(), "b.example".parse().unwrap()];
        bench.store.put("t", NODE, config.clone()).unwrap();
        bench.answers.0.lock().unwrap().extend([5, 6]);
        let (status, _) = bench.step().await;
        assert_eq!(
            (status.servers.len(), status.servers_from, status.synchronised),
            (2, Origin::Config, true)
        );
        config.machine.time.enabled = false;
        bench.store.put("t", NODE, config).unwrap();
        assert_eq!(
            bench.step().await.0.reason.as_deref(),
            Some("machine.time.enabled is false")
        );
    }

    #[tokio::test]
    async fn the_time_is_saved_at_once_after_a_step_and_hourly() {
        let mut bench = bench(&[3_600_000_000, 0, 0]);
        let saved = |bench: &Bench| std::fs::read_to_string(&bench.sync.saved).unwrap();
        bench.step().await;
        assert_eq!(saved(&bench), format!("{}\n", BUILT + 3600));
        bench.clock.advance(Duration::from_secs(600));
        bench.step().await;
        assert_eq!(saved(&bench), format!("{}\n", BUILT + 3600));
        bench.clock.advance(Duration::from_secs(3000));
        bench.step().await;
        assert_eq!(saved(&bench), format!("{}\n", BUILT + 7200));
    }
}
