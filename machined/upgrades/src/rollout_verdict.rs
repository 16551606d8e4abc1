//! Whether the rollout that began an upgrade still wants it: asked when the node is about to restart.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use manifest::Digest;
use tokio::sync::Notify;

use super::handle::UpgradeHandle;
use super::history::Entry;

/// For so long a look counts. After that it is looked anew.
const COUNTS: Duration = Duration::from_secs(60);

/// What a document says of this node, as if its upgrade were to begin now.
#[derive(Debug, Clone)]
pub(super) struct RolloutVerdict {
    /// Names the rollout.
    pub rollout: String,
    /// The release that it names.
    pub manifest: Digest,
    /// Why the node would not begin; none when it would.
    pub refusal: Option<String>,
}

/// What the last look came to.
#[derive(Debug, Clone)]
pub(super) struct PollResult {
    /// Where it looked.
    pub url: String,
    /// When, on the clock that never jumps.
    pub ended: Duration,
    /// What was read, or why nothing was.
    pub found: Result<RolloutVerdict, String>,
}

/// Keeps the last word since the node started, and rings for another. The follower notes it, the keeper asks for it.
#[derive(Default)]
pub(super) struct LastVerdict {
    word: Mutex<Option<PollResult>>,
    asked: AtomicBool,
    bell: Arc<Notify>,
}

/// Why an upgrade is held.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HoldReason {
    /// In a sentence.
    pub text: String,
    /// Set when another look may tell otherwise at once.
    pub ask: bool,
}

impl LastVerdict {
    /// Returns what rings when another look is asked for.
    pub fn bell(&self) -> Arc<Notify> {
        self.bell.clone()
    }

    /// Takes note of the last look; of none, when nothing was looked at yet.
    pub fn note(&self, word: Option<PollResult>) {
        *self.word.lock().unwrap_or_else(PoisonError::into_inner) = word;
    }

    /// Returns once if a poll is requested.
    pub fn take_poll_request(&self) -> bool {
        self.asked.swap(false, Ordering::Relaxed)
    }

    fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
        self.bell.notify_one();
    }
}

impl UpgradeHandle {
    /// Returns why an upgrade that a rollout began is held, though it could go on. Any other is not.
    pub(super) fn hold_reason(&self, entry: &Entry) -> Option<HoldReason> {
        let pin = entry.pin()?;
        let feed = self.config().rollout;
        let shared = &self.shared;
        let word = shared.word.word.lock().unwrap_or_else(PoisonError::into_inner);
        let url = feed.as_ref().map(|feed| feed.url.as_str());
        hold_reason(pin, url, word.as_ref(), shared.context.clock.since_boot())
    }

    /// Returns the same, and requests a poll if that may help.
    pub(super) fn hold_or_poll(&self, entry: &Entry) -> Option<String> {
        let HoldReason { text, ask } = self.hold_reason(entry)?;
        if ask {
            self.shared.word.ask();
        }
        Some(text)
    }
}

/// Decides. Pure. In doubt an upgrade is held: nothing but a document that was just read lets it go on.
fn hold_reason(
    pin: Digest,
    url: Option<&str>,
    word: Option<&PollResult>,
    now: Duration,
) -> Option<HoldReason> {
    let held = |text: String, ask: bool| Some(HoldReason { text, ask });
    let Some(url) = url else {
        return held(
            "the machine config names no rollout any more: take it back with `bedplate upgrade cancel`"
                .to_owned(),
            false,
        );
    };
    let unread = "the rollout has yet to be looked at once more".to_owned();
    let Some(word) = word.filter(|word| word.url == url) else {
        return held(unread, true);
    };
    let old = now.saturating_sub(word.ended) > COUNTS;
    match &word.found {
        Err(error) => held(format!("the rollout cannot be read: {error}"), old),
        Ok(said) if said.manifest != pin => held(
            format!("rollout {} names another release by now", said.rollout),
            false,
        ),
        Ok(said) => match &said.refusal {
            Some(why) => held(format!("rollout {}: {why}", said.rollout), false),
            None if old => held(unread, true),
            None => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://a/rollout.json";
    const PIN: Digest = Digest([7; 32]);

    fn word(found: Result<(u8, Option<&str>), &str>) -> PollResult {
        PollResult {
            url: URL.into(),
            ended: Duration::from_secs(100),
            found: found
                .map(|(manifest, refusal)| RolloutVerdict {
                    rollout: "one".into(),
                    manifest: Digest([manifest; 32]),
                    refusal: refusal.map(Into::into),
                })
                .map_err(Into::into),
        }
    }

    #[test]
    fn only_a_document_that_was_just_read_lets_it_go_on() {
        let fine = word(Ok((7, None)));
        let elsewhere = PollResult {
            url: "https://a/other".into(),
            ..fine.clone()
        };
        let stopped = word(Ok((7, Some("it is stopped: batch 7"))));
        let another = word(Ok((8, None)));
        let unread = word(Err("no answer"));
        let once_more = Some(("yet to be looked at", true));
        let cases = [
            (Some(URL), Some(&fine), 160, None),
            (Some(URL), Some(&fine), 161, once_more),
            (Some(URL), None, 100, once_more),
            (Some(URL), Some(&elsewhere), 100, once_more),
            (
                Some(URL),
                Some(&stopped),
                100,
                Some(("is stopped: batch 7", false)),
            ),
            (
                Some(URL),
                Some(&stopped),
                900,
                Some(("is stopped: batch 7", false)),
            ),
            (Some(URL), Some(&another), 100, Some(("another release", false))),
            (Some(URL), Some(&unread), 100, Some(("no answer", false))),
            (Some(URL), Some(&unread), 161, Some(("no answer", true))),
            (None, Some(&fine), 100, Some(("names no rollout", false))),
        ];
        for (url, word, now, expected) in cases {
            let found = hold_reason(PIN, url, word, Duration::from_secs(now));
            let (text, ask) = expected.unzip();
            assert_eq!(found.as_ref().map(|found| found.ask), ask, "{word:?} at {now}");
            let told = found.map(|found| found.text).unwrap_or_default();
            assert!(told.contains(text.unwrap_or_default()), "{told}");
        }
    }
}
