//! What a node does next about the address. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// How long before the end of its lease a node has given the address up: the kernel needs a moment.
const MARGIN: Duration = Duration::from_secs(1);
/// How long to wait for the kernel to remove the address before the lease is given back all the same: it ends soon.
const REMOVING: Duration = Duration::from_secs(3);

/// A lease that etcd has granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    /// Its number.
    pub id: i64,
    /// How long it lasts from when it was asked for.
    pub life: Duration,
    /// When it was asked for, or last renewed.
    pub asked: Instant,
}

impl Lease {
    /// Returns when the address must be gone.
    fn ends(&self) -> Instant {
        self.asked + self.life.saturating_sub(MARGIN)
    }

    /// Returns when it is renewed: there is time for several tries.
    fn renewed(&self) -> Instant {
        self.asked + self.life / 3
    }
}

/// How a node stands to the address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It does not have it.
    #[default]
    Without,
    /// It has it.
    Holds(Lease),
    /// It gives it up, since then: first the address is removed, then the lease is given back, so that no two have it.
    GivesUp(Lease, Instant),
}

impl Standing {
    /// Returns true if the interface is to have the address.
    pub(crate) fn has_address(&self) -> bool {
        matches!(self, Standing::Holds(_))
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing, until something changes or a second has passed.
    Wait,
    /// See who has it, and take it if nobody does.
    Try,
    /// Renew the lease.
    Renew(Lease),
    /// Give the lease back.
    Release(Lease),
}

/// What etcd answered to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The lease is granted or renewed.
    Granted(Lease),
    /// Another node has it, or the lease is over.
    Others,
    /// Nothing that helps.
    Failed,
}

/// Decides what to do next. A node is fit while it may have the address; `there` tells whether its interface has it still.
pub(crate) fn next(standing: &mut Standing, fit: bool, there: bool, now: Instant) -> Step {
    if let Standing::Holds(lease) = *standing
        && !fit
    {
        *standing = Standing::GivesUp(lease, now);
    }
    match *standing {
        Standing::Holds(lease) | Standing::GivesUp(lease, _) if now >= lease.ends() => {
            *standing = Standing::Without;
            Step::Wait
        }
        Standing::Holds(lease) if now >= lease.renewed() => Step::Renew(lease),
        Standing::Holds(_) => Step::Wait,
        Standing::GivesUp(lease, since) if !there || now >= since + REMOVING => Step::Release(lease),
        Standing::GivesUp(..) => Step::Wait,
        // Not while the address is still there from the last time.
        Standing::Without if fit && !there => Step::Try,
        Standing::Without => Step::Wait,
    }
}

/// Takes what etcd answered.
pub(crate) fn answered(standing: &mut Standing, step: Step, answer: Answer) {
    match (step, answer) {
        (Step::Try | Step::Renew(_), Answer::Granted(lease)) => *standing = Standing::Holds(lease),
        (Step::Renew(_), Answer::Others) | (Step::Release(_), _) => *standing = Standing::Without,
        // Until the lease ends there is time for another try.
        (Step::Renew(_) | Step::Try, _) | (Step::Wait, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIFE: Duration = Duration::from_secs(6);
    /// How long a node may be busy with a step, and how long its kernel takes for an address.
    const TICK: Duration = Duration::from_millis(500);

    /// etcd: who has the key, by which lease, and until when.
    #[derive(Default)]
    struct Etcd {
        held: Option<(usize, i64, Instant)>,
        next: i64,
    }

    struct Node {
        standing: Standing,
        fit: bool,
        reaches_etcd: bool,
        /// What the interface has: it follows one step later.
        there: bool,
    }

    impl Etcd {
        fn expire(&mut self, now: Instant) {
            self.held = self.held.filter(|(_, _, ends)| now < *ends);
        }

        fn call(&mut self, node: usize, step: Step, reached: bool, answered: bool, now: Instant) -> Answer {
            if !reached {
                return Answer::Failed;
            }
            let ends = now + LIFE;
            let lease = |id| Lease {
                id,
                life: LIFE,
                asked: now,
            };
            let answer = match step {
                Step::Try => match self.held {
                    Some(_) => Answer::Others,
                    None => {
                        self.next += 1;
                        self.held = Some((node, self.next, ends));
                        Answer::Granted(lease(self.next))
                    }
                },
                Step::Renew(old) => match &mut self.held {
                    Some((_, id, until)) if *id == old.id => {
                        *until = ends;
                        Answer::Granted(lease(old.id))
                    }
                    _ => Answer::Others,
                },
                Step::Release(old) => {
                    self.held = self.held.filter(|(_, id, _)| *id != old.id);
                    Answer::Others
                }
                Step::Wait => Answer::Failed,
            };
            // Carried out, and the answer is lost.
            if answered { answer } else { Answer::Failed }
        }
    }

    fn run(nodes: &mut [Node], etcd: &mut Etcd, answers: bool, now: Instant) {
        etcd.expire(now);
        for (number, node) in nodes.iter_mut().enumerate() {
            let step = next(&mut node.standing, node.fit, node.there, now);
            if step != Step::Wait {
                let answer = etcd.call(number, step, node.reaches_etcd, answers, now);
                answered(&mut node.standing, step, answer);
            }
        }
    }

    /// Whatever breaks, no two nodes have the address, and as soon as nothing is broken one has it within seconds.
    fn check(events: Vec<(usize, u8, u8)>) -> Result<(), TestCaseError> {
        let (mut now, mut etcd) = (Instant::now(), Etcd::default());
        let mut nodes: Vec<Node> = (0..3)
            .map(|_| Node {
                standing: Standing::default(),
                fit: true,
                reaches_etcd: true,
                there: false,
            })
            .collect();
        let healed = (0..40).map(|_| (9, 0, 1));
        let mut since_healed = Duration::ZERO;
        for (index, (node, what, ticks)) in events.iter().copied().chain(healed).enumerate() {
            if index == events.len() {
                nodes
                    .iter_mut()
                    .for_each(|node| (node.fit, node.reaches_etcd) = (true, true));
            }
            if let Some(node) = nodes.get_mut(node) {
                match what {
                    0 => node.fit = !node.fit,
                    _ => node.reaches_etcd = !node.reaches_etcd,
                }
            }
            for _ in 0..ticks {
                now += TICK;
                if index >= events.len() {
                    since_healed += TICK;
                }
                run(&mut nodes, &mut etcd, what != 2, now);
                nodes
                    .iter_mut()
                    .for_each(|node| node.there = node.standing.has_address());
                let holders = nodes.iter().filter(|node| node.there).count();
                prop_assert!(holders <= 1, "{holders} have it after event {index}");
            }
            if since_healed > LIFE + 4 * TICK {
                prop_assert_eq!(nodes.iter().filter(|node| node.there).count(), 1);
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn no_two_nodes_have_it_and_one_has_it_soon(events in proptest::collection::vec((0_usize..3, 0_u8..3, 0_u8..20), 0..30)) {
            check(events)?;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_cannot_renew_gives_up_before_its_lease_ends() {
        let now = Instant::now();
        let lease = Lease {
            id: 7,
            life: LIFE,
            asked: now,
        };
        let mut standing = Standing::Holds(lease);
        assert_eq!(next(&mut standing, true, true, now), Step::Wait);
        let later = now + Duration::from_secs(2);
        assert_eq!(next(&mut standing, true, true, later), Step::Renew(lease));
        answered(&mut standing, Step::Renew(lease), Answer::Failed);
        assert!(standing.has_address());
        assert_eq!(next(&mut standing, true, true, now + LIFE - MARGIN), Step::Wait);
        assert!(!standing.has_address());
    }

    #[tokio::test(start_paused = true)]
    async fn the_address_is_gone_before_the_lease_is_given_back() {
        let now = Instant::now();
        let lease = Lease {
            id: 7,
            life: LIFE,
            asked: now,
        };
        let mut standing = Standing::Holds(lease);
        assert_eq!(next(&mut standing, false, true, now), Step::Wait);
        assert!(!standing.has_address());
        assert_eq!(
            next(&mut standing, true, true, now),
            Step::Wait,
            "it does not turn around"
        );
        assert_eq!(next(&mut standing, false, false, now), Step::Release(lease));
        answered(&mut standing, Step::Release(lease), Answer::Failed);
        assert_eq!(standing, Standing::Without);
    }
}
