//! Rollouts: the document, and a simulated run.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use manifest::{Digest, TrustedKey};
use rollout::{
    Bundle, Follow, Halt, Member, Moment, Next, NodeState, POSITIONS, PreviousAttempt, Rollout, Turn, follow,
    next, position, verify,
};
use slots::Version;

use crate::sample::Signer;

/// An accepted rollout has one form; a signature makes it one that may be acted upon; and its run respects waves, the
/// number of concurrent nodes, and the number of tolerated failures.
pub fn rollout(data: &[u8]) {
    if let Ok(rollout) = Rollout::parse_unverified(data) {
        document(&rollout);
    }
    if let Ok(course) = Course::arbitrary_take_rest(Unstructured::new(data)) {
        course.run();
    }
}

fn document(rollout: &Rollout) {
    let text = rollout.to_text().expect("what was read can be written");
    let again = Rollout::parse_unverified(text.as_bytes()).expect("what was written can be read");
    assert_eq!(again, *rollout);
    assert_eq!(
        again.to_text().ok().as_deref(),
        Some(&text[..]),
        "one rollout, one form"
    );
    assert_eq!(rollout.follows(rollout), Ok(()));
    assert!(rollout.pause() <= Duration::from_secs(30 * 86400));
    for node in ["", "a", "node1"] {
        assert!(position(&rollout.seed, node) < POSITIONS);
        assert!(rollout.wave(node) < rollout.waves.len());
        followed(rollout, node);
    }

    let (signer, nobody) = (Signer::number(1), Signer::number(2));
    let signature = signer.sign(text.as_bytes());
    let keys = [signer.key()];
    assert!(verify(text.as_bytes(), signature.as_bytes(), &keys).is_ok_and(|verified| *verified == *rollout));
    let other = [TrustedKey {
        id: signer.key().id,
        key: nobody.key().key,
    }];
    assert!(verify(text.as_bytes(), signature.as_bytes(), &other).is_err());
    let changed = text.replacen("serial\": ", "serial\": 1", 1);
    assert!(verify(changed.as_bytes(), signature.as_bytes(), &keys).is_err());
}

/// A node that follows by itself starts when its wave is open, not before, and never when the rollout is stopped or has
/// ended.
fn followed(rollout: &Rollout, name: &str) {
    let begins_at = |clock: Option<Moment>| {
        let node = NodeState {
            name,
            board: &rollout.bundle.board,
            version: Version::new(0, 0, 0),
            manifest: Digest::of(b"another"),
            on_trial: false,
            clock,
            before: PreviousAttempt::Never,
        };
        follow(rollout, &node) == Follow::Begin
    };
    let opens = rollout.opens(rollout.wave(name));
    assert!(!begins_at(None));
    assert!(!begins_at(rollout.ends));
    assert_eq!(
        begins_at(opens),
        opens.is_some() && !rollout.stopped && rollout.bundle.manifest != Digest::of(b"another")
    );
    let early = opens
        .and_then(|opens| opens.unix().checked_sub(1))
        .map(Moment::from_unix);
    assert!(early.is_none_or(|early| !begins_at(Some(early))));
}

/// A fleet, and the outcome for each node.
#[derive(Debug, Arbitrary)]
struct Course {
    waves: Vec<u8>,
    nodes: Vec<Node>,
    parallel: u8,
    max_failure_percent: u8,
    pause: bool,
    /// The document is stopped after this many steps.
    stopped_after: Option<u8>,
    /// Which of the running nodes finishes next, step by step.
    ends: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
struct Node {
    wave: u8,
    already: bool,
    fails: bool,
}

impl Course {
    fn run(&self) {
        let mut rollout = self.rollout();
        let count = rollout.waves.len();
        let nodes = &self.nodes[..self.nodes.len().min(24)];
        let mut members: Vec<Member> = nodes
            .iter()
            .map(|node| Member {
                wave: usize::from(node.wave) % count,
                turn: if node.already {
                    Turn::Already
                } else {
                    Turn::Pending
                },
            })
            .collect();
        let parallel = usize::from(self.parallel % 5);
        let (mut paused, mut ends) = (None, self.ends.iter());
        // Each node starts and finishes, and each wave may be waited for.
        for step in 0..3 * members.len() + count + 2 {
            if self.stopped_after.is_some_and(|after| usize::from(after) <= step) {
                (rollout.stopped, rollout.reason) = (true, "enough".to_owned());
            }
            let running = in_turn(&members, Turn::Running);
            match next(&rollout, &members, parallel, paused) {
                Next::Begin(node) => {
                    self.check_begin(&rollout, &members, node);
                    assert!(running.len() < parallel.max(1), "not too many at a time");
                    members[node].turn = Turn::Running;
                }
                Next::Wait => {
                    let which = usize::from(*ends.next().unwrap_or(&0)) % running.len();
                    let node = running[which];
                    members[node].turn = if nodes[node].fails {
                        Turn::Failed
                    } else {
                        Turn::Upgraded
                    };
                }
                Next::Pause(wave) => {
                    assert!(
                        self.pause && paused.is_none_or(|before| before < wave),
                        "a pause is made once"
                    );
                    paused = Some(wave);
                }
                Next::Halt(halt) => {
                    assert!(running.is_empty() && !in_turn(&members, Turn::Pending).is_empty());
                    assert!(matches!(halt, Halt::Stopped(_)) == rollout.stopped);
                    return;
                }
                Next::End => {
                    assert!(running.is_empty() && in_turn(&members, Turn::Pending).is_empty());
                    return;
                }
            }
        }
        panic!("the rollout does not end");
    }

    fn check_begin(&self, rollout: &Rollout, members: &[Member], node: usize) {
        let member = members[node];
        assert!(member.turn == Turn::Pending && !rollout.stopped);
        for before in members.iter().filter(|before| before.wave < member.wave) {
            let had_its_turn = !matches!(before.turn, Turn::Pending | Turn::Running);
            assert!(had_its_turn, "a wave starts when those before it are done");
        }
        for wave in 0..=member.wave {
            let here: Vec<_> = members.iter().filter(|member| member.wave == wave).collect();
            let failed = here.iter().filter(|member| member.turn == Turn::Failed).count();
            let tolerated = failed * 100 <= usize::from(rollout.max_failure_percent) * here.len();
            assert!(tolerated, "no node starts after too many failures");
        }
    }

    fn rollout(&self) -> Rollout {
        let bundle = Bundle {
            url: "https://example.org/x.bundle".to_owned(),
            manifest: Digest::of(b"manifest"),
            version: Version::new(1, 2, 3),
            board: "board".to_owned(),
        };
        let mut rollout = Rollout::new("fuzz", bundle, "seed");
        rollout.waves = self
            .waves
            .iter()
            .map(|percent| percent % 100)
            .filter(|percent| *percent > 0)
            .collect();
        rollout.waves.truncate(15);
        rollout.waves.push(100);
        rollout.waves.sort_unstable();
        rollout.waves.dedup();
        rollout.max_failure_percent = self.max_failure_percent % 101;
        rollout.pause_seconds = u64::from(self.pause);
        rollout.to_text().expect("the rollout is sound");
        rollout
    }
}

fn in_turn(members: &[Member], turn: Turn) -> Vec<usize> {
    let all = members.iter().enumerate();
    all.filter(|(_, member)| member.turn == turn)
        .map(|(number, _)| number)
        .collect()
}
