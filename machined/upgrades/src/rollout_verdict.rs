//! Checks, before the node restarts, that the rollout which started an upgrade still wants it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use manifest::Digest;
use tokio::sync::Notify;

/// How long a poll counts. After that the document is polled again.
const COUNTS: Duration = Duration::from_secs(60);

/// What a document decides for this node, as if its upgrade were to start now.
#[derive(Debug, Clone)]
pub(super) struct RolloutVerdict {
    /// The name of the rollout.
    pub rollout: String,
    /// The release in it.
    pub manifest: Digest,
    /// Why the node would not start; none when it would.
    pub refusal: Option<String>,
}

/// The result of the last poll.
#[derive(Debug, Clone)]
pub(super) struct PollResult {
    /// The polled address.
    pub url: String,
    /// When it ended, on the monotonic clock.
    pub ended: Duration,
    /// The verdict, or why the document could not be read.
    pub found: Result<RolloutVerdict, String>,
}

/// The last poll since the node started, and the bell for another. The follower sets it, the controller checks it.
#[derive(Default)]
pub(super) struct LastVerdict {
    word: Mutex<Option<PollResult>>,
    asked: AtomicBool,
    bell: Arc<Notify>,
}

/// Why an upgrade is held back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HoldReason {
    /// The reason, in a sentence.
    pub text: String,
    /// Set when another poll may change that at once.
    pub ask: bool,
}

impl LastVerdict {
    /// Returns the bell that rings when another poll is requested.
    pub fn bell(&self) -> Arc<Notify> {
        self.bell.clone()
    }

    /// Sets the last poll, if there was one.
    pub fn note(&self, word: Option<PollResult>) {
        *self.word.lock().unwrap_or_else(PoisonError::into_inner) = word;
    }

    /// Returns the last poll.
    pub fn last(&self) -> Option<PollResult> {
        self.word.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns once if a poll is requested.
    pub fn take_poll_request(&self) -> bool {
        self.asked.swap(false, Ordering::Relaxed)
    }

    /// Requests another poll.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
        self.bell.notify_one();
    }
}

/// Decides. Pure. In doubt an upgrade is held back: only a document that was just read lets it continue.
pub(super) fn hold_reason(
    pin: Digest,
    url: Option<&str>,
    word: Option<&PollResult>,
    now: Duration,
) -> Option<HoldReason> {
    let held = |text: String, ask: bool| Some(HoldReason { text, ask });
    let Some(url) = url else {
        return held(
            "the machine config has no rollout any more: cancel it with `bedplate upgrade cancel`".to_owned(),
            false,
        );
    };
    let unread = "the rollout has yet to be polled again".to_owned();
    let Some(word) = word.filter(|word| word.url == url) else {
        return held(unread, true);
    };
    let old = now.saturating_sub(word.ended) > COUNTS;
    match &word.found {
        Err(error) => held(format!("the rollout cannot be read: {error}"), old),
        Ok(said) if said.manifest != pin => held(
            format!("rollout {} is for another release by now", said.rollout),
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
        let once_more = Some(("yet to be polled", true));
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
            (None, Some(&fine), 100, Some(("has no rollout", false))),
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
