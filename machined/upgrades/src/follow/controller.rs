//! Follows the rollout in the machine config.

use std::sync::Arc;
use std::time::Duration;

use crate::follow::error::PollError;
use async_trait::async_trait;
use backend::StartUpgrade;
use backend::UpgradeSource;
use machine_config::MachineConfig;
use manifest::Digest;
use rollout::{Follow, Moment, NodeState, PreviousAttempt, Rollout, follow, verify};
use slots::SlotState;
use state::kinds::upgrade::Mode;
use state::kinds::{
    BootStatus, HostNameStatus, NODE, NameSource, RolloutSeen, RolloutState, RolloutStatus, TimeFrom,
    TimeStatus, TrialStatus,
};
use state::{Action, Controller, ControllerError, Resource, Store};
use tokio::sync::Notify;

use super::feed::Feed;
use super::fetch::{Ask, Fetch, Texts, Web};
use super::poll::Poller;
use super::previous_attempt::previous_attempt;
use super::seen_versions::SeenVersions;
use super::status::shown;
use crate::UpgradeHandle;
use crate::handle::Request;
use crate::preflight::RunningSystem;
use crate::rollout_verdict::{PollResult, RolloutVerdict};

const NAME: &str = "rollout-follower";
/// The polling interval of an upgrade in progress.
const LOOK_AT_WORK: Duration = Duration::from_secs(10);

/// Polls the signed rollout in the machine config, and starts the node's upgrade when its wave is open. Sole owner
/// of [`RolloutStatus`].
///
/// It starts only right after a poll, so that a stop that was published before is seen.
pub struct RolloutFollower {
    handle: UpgradeHandle,
    poller: Poller,
    seen: SeenVersions,
    feed: Option<Feed>,
    /// The last reported state: an event reports a change, not a poll.
    told: RolloutStatus,
}

impl RolloutFollower {
    /// Makes the controller; reads which versions were seen before.
    pub fn new(handle: UpgradeHandle) -> Self {
        Self::with(handle, Arc::new(Web))
    }

    pub(super) fn with(handle: UpgradeHandle, fetch: Arc<dyn Fetch>) -> Self {
        let context = &handle.shared.context;
        let (seen, wrong) = SeenVersions::open(&context.state);
        if let Some(error) = wrong {
            let text = format!("the list of seen rollouts starts empty, because it cannot be read: {error}");
            context.events.warning(NAME, text);
        }
        RolloutFollower {
            poller: Poller::new(fetch, context.power.clone(), handle.shared.word.bell()),
            seen,
            feed: None,
            told: RolloutStatus::default(),
            handle,
        }
    }

    /// Takes the result of a poll; returns true if there is a version that may be acted upon.
    fn take(&mut self, feed: &mut Feed, system: &RunningSystem) -> bool {
        // The result from an address that is no longer configured is dropped.
        let Some((_, found)) = self.poller.take().filter(|(url, _)| *url == feed.url) else {
            return false;
        };
        let found = found.and_then(|texts| self.believe(&feed.url, &texts, system));
        feed.looked(found, self.handle.unix(), self.handle.since_boot())
    }

    /// Returns the rollout, if a key that is trusted for releases signed it and no newer version was seen.
    fn believe(&mut self, url: &str, texts: &Texts, system: &RunningSystem) -> Result<Rollout, PollError> {
        let verified = verify(&texts.document, &texts.signatures, system.keys()?)?;
        self.seen.remember(url, &verified)?;
        Ok((*verified).clone())
    }

    /// Returns the result of the last poll, for the check before a restart. `said` is of the newest version.
    fn pass_on(&self, feed: &Feed, said: Option<RolloutVerdict>) {
        let word = feed.ended.and_then(|ended| {
            let found = match (&feed.error, said) {
                (Some(error), _) => Err(error.clone()),
                (None, said) => Ok(said?),
            };
            let url = feed.url.clone();
            Some(PollResult { url, ended, found })
        });
        self.handle.shared.word.note(word);
    }

    /// Decides, and starts the upgrade if it is time. Returns the node's state.
    async fn act(&self, rollout: &Rollout, node: &NodeState<'_>, fresh: bool) -> (RolloutState, String) {
        let decided = follow(rollout, node);
        if decided != Follow::Begin || !fresh {
            return shown(&decided);
        }
        // A refusal of the job would count as an attempt.
        if let [first, ..] = self.handle.objections().as_slice() {
            return (RolloutState::Waiting, format!("the node is unhealthy: {first}"));
        }
        let window = self.handle.config().window.is_some();
        let request = Request {
            start: StartUpgrade {
                source: UpgradeSource::Url(rollout.bundle.url.clone()),
                mode: if window { Mode::Window } else { Mode::Now },
                plan_only: false,
                force: false,
                rate_limit: None,
                who: format!("rollout {}, serial {}", rollout.id, rollout.serial),
            },
            pushed: None,
            pin: Some(rollout.bundle.manifest),
            resumed: None,
        };
        match self.handle.begin(request).await {
            Ok(_) => (RolloutState::Underway, rollout::Wait::Underway.to_string()),
            Err(refusal) => (
                RolloutState::Waiting,
                format!("the node cannot start the upgrade: {refusal}"),
            ),
        }
    }

    /// Polls if it is time; returns when to poll next.
    async fn look_when_due(&mut self, feed: &Feed) -> Action {
        if self.poller.is_polling() {
            return Action::WaitForChange;
        }
        let left = feed.due.saturating_sub(self.handle.since_boot());
        if !left.is_zero() {
            let works = self.handle.busy().await.is_some();
            return Action::After(if works { left.min(LOOK_AT_WORK) } else { left });
        }
        let config = self.handle.config();
        self.poller.begin(Ask {
            url: feed.url.clone(),
            proxy: config.proxy.as_ref().map(ToString::to_string),
            authority: config.ca.as_ref().map(ToString::to_string),
            stop: Arc::default(),
        });
        Action::WaitForChange
    }

    /// Publishes the node's state, and reports changes.
    fn publish(&mut self, store: &Store, status: RolloutStatus) -> Result<(), ControllerError> {
        let events = &self.handle.shared.context.events;
        let serial = |status: &RolloutStatus| {
            status
                .document
                .as_ref()
                .map(|seen| (seen.id.clone(), seen.serial))
        };
        let old = &self.told;
        let news = (status.state, &status.why, serial(&status)) != (old.state, &old.why, serial(old));
        if let Some(seen) = status.document.as_ref().filter(|_| news) {
            let text = format!("rollout {}, serial {}: {}", seen.id, seen.serial, status.why);
            match status.state {
                RolloutState::Over => events.warning(NAME, text),
                _ => events.info(NAME, text),
            }
        }
        match (&status.error, &old.error) {
            (Some(error), before) if before.as_ref() != Some(error) => {
                events.warning(NAME, format!("the rollout cannot be read: {error}"));
            }
            (None, Some(_)) => events.info(NAME, "the rollout can be read again"),
            _ => {}
        }
        let sentence = status.sentence();
        let published = &self.handle.shared.published;
        published.update(|_, extra| extra.rollout = sentence);
        self.told = status.clone();
        store.put(NAME, NODE, status)?;
        Ok(())
    }

    /// Stops following.
    fn forget(&mut self, store: &Store) -> Result<Action, ControllerError> {
        (self.feed, self.told) = (None, RolloutStatus::default());
        let published = &self.handle.shared.published;
        published.update(|_, extra| extra.rollout.clear());
        store.remove::<RolloutStatus>(NAME, NODE)?;
        Ok(Action::WaitForChange)
    }
}

/// Returns what a rollout would make the node do if it had not started: an upgrade in progress has already started.
fn say(rollout: &Rollout, node: &NodeState<'_>) -> RolloutVerdict {
    let before = PreviousAttempt::Never;
    let decided = follow(
        rollout,
        &NodeState {
            before,
            ..node.clone()
        },
    );
    RolloutVerdict {
        rollout: rollout.id.clone(),
        manifest: rollout.bundle.manifest,
        refusal: (decided != Follow::Begin).then(|| shown(&decided).1),
    }
}

/// Returns the time, if the clock is synchronized with a server; or the machine's own clock, where the config says that no
/// server is to be asked.
fn clock(store: &Store, config: &MachineConfig, unix: u64) -> Option<Moment> {
    let status: TimeStatus = store.get(state::kinds::NODE)?;
    let own = !config.machine.time.enabled && status.source == TimeFrom::Rtc;
    (status.synchronised || own).then(|| Moment::from_unix(unix))
}

#[async_trait]
impl Controller for RolloutFollower {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            MachineConfig::KIND,
            HostNameStatus::KIND,
            TimeStatus::KIND,
            TrialStatus::KIND,
            BootStatus::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[RolloutStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let config: Option<MachineConfig> = store.get(NODE);
        let Some((config, wanted)) =
            config.and_then(|config| Some((config.clone(), config.machine.upgrades.rollout?)))
        else {
            return self.forget(store);
        };
        // Without a name of its own a node has no position.
        let name: Option<HostNameStatus> = store.get(state::kinds::NODE);
        let Some(name) = name.filter(|status| status.source != NameSource::Default) else {
            return Ok(Action::WaitForChange);
        };
        let name = name.name.as_str();
        let system = self.handle.system().await?;
        let now = self.handle.since_boot();

        let same = self.feed.take().filter(|feed| feed.url == wanted.url.as_str());
        let mut feed = same.unwrap_or_else(|| {
            let newest = self.seen.newest(wanted.url.as_str()).cloned();
            Feed::new(&wanted, name, newest, now)
        });
        feed.set_interval(wanted.interval.duration(), now);
        if self.handle.shared.word.take_poll_request() {
            feed.due = now;
        }
        let fresh = self.take(&mut feed, &system);

        let mut status = RolloutStatus {
            url: remote::shown(&feed.url),
            looked_unix: feed.looked,
            error: feed.error.clone(),
            ..RolloutStatus::default()
        };
        if let Some(rollout) = &feed.newest {
            let clock = clock(store, &config, self.handle.unix());
            let release = &system.release;
            let entries = self.handle.shared.history.entries();
            let standing = NodeState {
                name,
                board: &release.manifest.board,
                version: release.manifest.version,
                manifest: Digest::of(&release.json),
                on_trial: matches!(system.record().slot(system.running), SlotState::Trial { .. }),
                clock,
                before: previous_attempt(&entries, &rollout.bundle.manifest, feed.interval, clock),
            };
            self.pass_on(&feed, Some(say(rollout, &standing)));
            status.document = Some(RolloutSeen::of(rollout, name));
            (status.state, status.why) = self.act(rollout, &standing, fresh).await;
        } else {
            self.pass_on(&feed, None);
        }
        self.publish(store, status)?;
        let action = self.look_when_due(&feed).await;
        self.feed = Some(feed);
        Ok(action)
    }

    fn wake(&self) -> Option<Arc<Notify>> {
        Some(self.poller.bell())
    }
}

impl UpgradeHandle {
    fn unix(&self) -> u64 {
        u64::try_from(self.now_ms() / 1000).unwrap_or(0)
    }

    fn since_boot(&self) -> Duration {
        self.shared.context.clock.since_boot()
    }
}
