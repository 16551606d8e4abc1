//! Decides what is changed next, from what everybody accepts and shows now. Pure.
//!
//! Nothing is remembered between two steps: a rotation that was interrupted anywhere goes on from what it finds.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde::Serialize;

/// An authority of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// Of Bedplate's own API: `machine.ca`.
    Machine,
    /// Of Kubernetes: `cluster.ca`.
    Kubernetes,
    /// Of etcd: `cluster.secrets.etcdCA`.
    Etcd,
    /// Of extensions of the Kubernetes API: `cluster.secrets.frontProxyCA`.
    FrontProxy,
}

impl Which {
    /// Every authority.
    pub const ALL: [Self; 4] = [Self::Machine, Self::Kubernetes, Self::Etcd, Self::FrontProxy];

    /// Returns its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Kubernetes => "kubernetes",
            Self::Etcd => "etcd",
            Self::FrontProxy => "front-proxy",
        }
    }
}

/// A third of a rotation. None begins before the one before it has ended everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The new authority is accepted beside the old one.
    Accept,
    /// The new one signs, and the old one is still accepted.
    Issue,
    /// The old one is not accepted any more.
    Drop,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 3] = [Self::Accept, Self::Issue, Self::Drop];

    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Issue => "issue",
            Self::Drop => "drop",
        }
    }
}

/// What a party accepts as one authority, each by its identity. The first is the one that it is known by.
pub type Accepted<I> = Vec<I>;

/// Somebody who takes part: a node, or the client itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party<I> {
    /// What it accepts.
    pub accepts: BTreeMap<Which, Accepted<I>>,
}

/// The next change: of one party, of one or several authorities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Whose.
    pub party: usize,
    /// What changes.
    pub changes: BTreeMap<Which, Phase>,
}

/// Changes what is accepted. Does nothing where that is done already. `is_new` finds the new authority.
pub fn advance<T>(accepted: &mut Vec<T>, phase: Phase, new: T, is_new: impl Fn(&T) -> bool) {
    match phase {
        Phase::Accept if accepted.iter().any(&is_new) => {}
        Phase::Accept => accepted.push(new),
        Phase::Issue => {
            accepted.retain(|one| !is_new(one));
            accepted.insert(0, new);
        }
        Phase::Drop => accepted.retain(is_new),
    }
}

/// Tells whether a phase has ended for a party.
fn has<I: PartialEq>(phase: Phase, accepted: &[I], new: &I) -> bool {
    match phase {
        Phase::Accept => accepted.contains(new),
        Phase::Issue => accepted.first() == Some(new),
        Phase::Drop => accepted.iter().all(|one| one == new),
    }
}

/// Returns the phase that an authority is in: the first that has not ended everywhere; none when all have.
pub fn phase<I: PartialEq>(parties: &[Party<I>], which: Which, new: &I) -> Option<Phase> {
    let mut lists = Phase::ALL.into_iter();
    lists.find(|phase| {
        let mut accepted = parties.iter().filter_map(|party| party.accepts.get(&which));
        !accepted.all(|accepted| has(*phase, accepted, new))
    })
}

/// Returns the next change; none when everything is done, up to and including the `last` phase. Parties take their turn in
/// their order. `new` are the new authorities: all of them are in one phase, so that each party changes once in each.
pub fn next<I: PartialEq>(parties: &[Party<I>], new: &BTreeMap<Which, I>, last: Phase) -> Option<Step> {
    let phases = new.iter().filter_map(|(which, new)| phase(parties, *which, new));
    let now = phases.min().filter(|phase| *phase <= last)?;
    parties.iter().enumerate().find_map(|(number, party)| {
        let due = |(which, new): &(&Which, &I)| {
            let accepted = party.accepts.get(which);
            phase(parties, **which, *new) == Some(now)
                && accepted.is_some_and(|accepted| !has(now, accepted, new))
        };
        let changes: BTreeMap<Which, Phase> =
            new.iter().filter(due).map(|(which, _)| (*which, now)).collect();
        (!changes.is_empty()).then_some(Step {
            party: number,
            changes,
        })
    })
}

/// Returns every change that is left, in order.
pub fn all<I: PartialEq + Clone>(parties: &[Party<I>], new: &BTreeMap<Which, I>, last: Phase) -> Vec<Step> {
    let mut parties = parties.to_vec();
    let mut steps = Vec::new();
    while let Some(step) = next(&parties, new, last) {
        carry_out(&mut parties[step.party], &step, new);
        steps.push(step);
    }
    steps
}

fn carry_out<I: PartialEq + Clone>(party: &mut Party<I>, step: &Step, new: &BTreeMap<Which, I>) {
    for (which, phase) in &step.changes {
        if let Some(accepted) = party.accepts.get_mut(which) {
            advance(accepted, *phase, new[which].clone(), |one| *one == new[which]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OLD: u8 = 0;

    /// The parties of a cluster that nothing was rotated in: a client, control planes, and workers.
    fn cluster(control_planes: usize, workers: usize) -> Vec<Party<u8>> {
        let party = |all: &[Which]| Party {
            accepts: all.iter().map(|which| (*which, vec![OLD])).collect(),
        };
        let mut parties = vec![party(&[Which::Machine])];
        parties.extend(std::iter::repeat_n(party(&Which::ALL), control_planes));
        let of_workers = [Which::Machine, Which::Kubernetes];
        parties.extend(std::iter::repeat_n(party(&of_workers), workers));
        parties
    }

    fn to(new: u8) -> BTreeMap<Which, u8> {
        Which::ALL.into_iter().map(|which| (which, new)).collect()
    }

    /// Each pair of parties trusts what the other shows: by what it has now, or had before its last change.
    fn all_trust(parties: &[Party<u8>], shown: &[BTreeMap<Which, Vec<u8>>]) -> Result<(), TestCaseError> {
        for (a, shown) in shown.iter().enumerate() {
            for (b, party) in parties.iter().enumerate() {
                for (which, shown) in shown {
                    let Some(accepted) = party.accepts.get(which) else {
                        continue;
                    };
                    for one in shown {
                        prop_assert!(
                            accepted.contains(one),
                            "{b} does not trust {a}: {which:?}, {parties:?}"
                        );
                    }
                }
            }
        }
        Ok(())
    }

    /// What everybody shows who has all certificates from the authority that signs.
    fn settled(parties: &[Party<u8>]) -> Vec<BTreeMap<Which, Vec<u8>>> {
        let first = |party: &Party<u8>| {
            let accepts = party.accepts.iter();
            accepts
                .map(|(which, accepted)| (*which, vec![accepted[0]]))
                .collect()
        };
        parties.iter().map(first).collect()
    }

    proptest! {
        /// Stopped after any number of steps, and taken up again by a client that may have lost the new keys: everybody trusts
        /// everybody all the time, and in the end only the last new authorities are left.
        #[test]
        fn everybody_trusts_everybody_after_any_prefix_of_steps(
            planes in 1_usize..4,
            workers in 0_usize..4,
            cuts in proptest::collection::vec(0_usize..40, 0..4),
        ) {
            let mut parties = cluster(planes, workers);
            let mut shown = settled(&parties);
            for (number, cut) in cuts.iter().copied().chain([usize::MAX]).enumerate() {
                let new = to(number as u8 + 1);
                let mut left = cut;
                while let Some(step) = next(&parties, &new, Phase::Drop).filter(|_| left > 0) {
                    left -= 1;
                    carry_out(&mut parties[step.party], &step, &new);
                    // While it takes the change, it shows what it had, and what it gets.
                    for (which, accepted) in &parties[step.party].accepts {
                        shown[step.party].get_mut(which).unwrap().push(accepted[0]);
                    }
                    all_trust(&parties, &shown)?;
                    shown = settled(&parties);
                    all_trust(&parties, &shown)?;
                }
            }
            let last = cuts.len() as u8 + 1;
            for party in &parties {
                for accepted in party.accepts.values() {
                    prop_assert_eq!(accepted, &vec![last]);
                }
            }
        }
    }

    #[test]
    fn each_party_takes_one_change_per_phase_and_control_planes_come_before_workers() {
        let (parties, new) = (cluster(2, 1), to(1));
        let steps = all(&parties, &new, Phase::Drop);
        let found: Vec<(usize, Phase)> = steps
            .iter()
            .map(|step| (step.party, *step.changes.values().next().unwrap()))
            .collect();
        let expected: Vec<(usize, Phase)> = Phase::ALL
            .into_iter()
            .flat_map(|phase| (0..4).map(move |party| (party, phase)))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(steps[3].changes.len(), 2, "a worker has two authorities");
        let accepted = all(&parties, &new, Phase::Accept);
        assert_eq!(accepted.len(), 4, "and nothing signs yet");
        let one = BTreeMap::from([(Which::Etcd, 1)]);
        assert_eq!(
            all(&parties, &one, Phase::Drop).len(),
            6,
            "only control planes have it"
        );
        assert_eq!(all(&cluster(1, 1), &to(OLD), Phase::Drop), [], "it is done");
    }
}
