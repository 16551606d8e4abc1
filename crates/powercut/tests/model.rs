//! The model of a medium itself: what a sync has promised is there, and nothing is there that was never written.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use std::collections::BTreeSet;

use layout::Extent;
use medium::Medium;
use powercut::{Disk, Image, Options, Recording, SECTOR, states};
use proptest::prelude::*;

/// A medium so small that all its states can be listed.
const SECTORS: usize = 12;

/// Its two parts have separate caches.
const HALF: usize = SECTORS / 2;

/// An operation: a write of whole sectors of one value in one part, or a sync of one part or of all.
#[derive(Debug, Clone, Copy)]
enum Act {
    Write { at: usize, sectors: usize, value: u8 },
    Sync(Part),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    First,
    Second,
}

impl Part {
    fn sectors(self) -> std::ops::Range<usize> {
        match self {
            Part::All => 0..SECTORS,
            Part::First => 0..HALF,
            Part::Second => HALF..SECTORS,
        }
    }

    fn extent(self) -> Extent {
        let sectors = self.sectors();
        Extent {
            start: (sectors.start * SECTOR) as u64,
            len: (sectors.len() * SECTOR) as u64,
        }
    }
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..SECTORS, 1..4usize, 1..250u8).prop_map(|(at, sectors, value)| Act::Write {
            at,
            sectors: sectors.min((at / HALF + 1) * HALF - at),
            value,
        }),
        1 => prop_oneof![Just(Part::All), Just(Part::First), Just(Part::Second)].prop_map(Act::Sync),
    ]
}

fn record(acts: &[Act]) -> Recording {
    let disk = Disk::new(Image::new((SECTORS * SECTOR) as u64, 0));
    for act in acts {
        match *act {
            Act::Write { at, sectors, value } => {
                let bytes = vec![value; sectors * SECTOR];
                let mut all = disk.open(Part::All.extent());
                all.write_at((at * SECTOR) as u64, &bytes).unwrap();
            }
            Act::Sync(part) => disk.open(part.extent()).sync().unwrap(),
        }
    }
    disk.finish()
}

/// Reads a medium as one value per sector. Each sector must be uniform: sectors do not tear.
fn sectors(image: &Image) -> Vec<u8> {
    let bytes = image.bytes(0, SECTORS * SECTOR);
    let sectors = bytes.as_chunks::<SECTOR>().0;
    sectors
        .iter()
        .map(|sector| {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is torn");
            sector[0]
        })
        .collect()
}

/// Returns what each sector may hold, for every number of syncs that were done: from the definition alone.
fn allowed(acts: &[Act]) -> Vec<Vec<BTreeSet<u8>>> {
    let mut now = vec![BTreeSet::from([0]); SECTORS];
    let mut last = [0; SECTORS];
    let mut all = Vec::new();
    for act in acts {
        match *act {
            Act::Write { at, sectors, value } => {
                for sector in at..at + sectors {
                    now[sector].insert(value);
                    last[sector] = value;
                }
            }
            Act::Sync(part) => {
                all.push(now.clone());
                for sector in part.sectors() {
                    now[sector] = BTreeSet::from([last[sector]]);
                }
            }
        }
    }
    all.push(now);
    all
}

fn quiet() -> Options {
    Options {
        noise: false,
        ..Options::from_env().samples(20)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_sector_holds_what_was_synced_or_something_newer(acts in proptest::collection::vec(act(), 0..14)) {
        let allowed = allowed(&acts);
        let (states, tally) = states(&record(&acts), &quiet());
        prop_assert_eq!(tally.distinct, states.len() as u64);
        prop_assert!(tally.generated >= tally.distinct);
        for state in &states {
            for (sector, value) in sectors(&state.image).into_iter().enumerate() {
                prop_assert!(
                    allowed[state.syncs][sector].contains(&value),
                    "sector {} holds {}: {}", sector, value, state.how
                );
            }
        }
        let distinct: BTreeSet<_> = states.iter().map(|state| sectors(&state.image)).collect();
        prop_assert_eq!(distinct.len(), states.len(), "no state is shown twice");
    }

    #[test]
    fn every_prefix_every_tear_and_every_subset_is_among_them(acts in proptest::collection::vec(act(), 0..9)) {
        let (states, _) = states(&record(&acts), &quiet());
        let found: BTreeSet<_> = states.iter().map(|state| sectors(&state.image)).collect();
        let (mut durable, mut now) = (vec![0; SECTORS], vec![0; SECTORS]);
        let mut pending: Vec<std::ops::Range<usize>> = Vec::new();
        let mut values = Vec::new();
        // A sync of everything at the end covers what is still pending.
        for act in acts.into_iter().chain([Act::Sync(Part::All)]) {
            match act {
                Act::Write { at, sectors, value } => {
                    for kept in 0..=sectors {
                        let (mut front, mut back) = (now.clone(), now.clone());
                        front[at..at + kept].fill(value);
                        back[at + sectors - kept..at + sectors].fill(value);
                        prop_assert!(found.contains(&front) && found.contains(&back));
                    }
                    now[at..at + sectors].fill(value);
                    pending.push(at..at + sectors);
                    values.push(value);
                }
                Act::Sync(part) => {
                    for subset in 0..1_u32 << pending.len() {
                        let kept = || (0..pending.len()).filter(|index| subset >> index & 1 == 1);
                        let (mut applied, mut turned) = (durable.clone(), durable.clone());
                        kept().for_each(|index| applied[pending[index].clone()].fill(values[index]));
                        kept().rev().for_each(|index| turned[pending[index].clone()].fill(values[index]));
                        prop_assert!(found.contains(&applied) && found.contains(&turned));
                    }
                    durable[part.sectors()].copy_from_slice(&now[part.sectors()]);
                    let waits = pending.iter().map(|range| !part.sectors().contains(&range.start)).collect::<Vec<_>>();
                    let mut waiting = waits.iter();
                    pending.retain(|_| *waiting.next().unwrap());
                    let mut waiting = waits.iter();
                    values.retain(|_| *waiting.next().unwrap());
                }
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_states(acts in proptest::collection::vec(act(), 0..40), seed: u64) {
        let options = Options { seed, exhaustive: 3, ..quiet() };
        let list = || states(&record(&acts), &options).0.iter().map(|state| state.image.digest()).collect::<Vec<_>>();
        prop_assert_eq!(list(), list());
    }
}

#[test]
fn of_many_writes_each_is_lost_and_kept_alone() {
    let acts: Vec<Act> = (0..SECTORS)
        .map(|at| Act::Write {
            at,
            sectors: 1,
            value: at as u8 + 1,
        })
        .collect();
    let (states, _) = states(&record(&acts), &quiet());
    let found: BTreeSet<_> = states.iter().map(|state| sectors(&state.image)).collect();
    for sector in 0..SECTORS {
        let all = || (1..=SECTORS as u8).collect::<Vec<_>>();
        let (mut lost, mut alone) = (all(), vec![0; SECTORS]);
        lost[sector] = 0;
        alone[sector] = sector as u8 + 1;
        assert!(found.contains(&lost) && found.contains(&alone), "{sector}");
    }
}

#[test]
fn noise_is_only_where_the_write_stopped() {
    let acts = [
        Act::Write {
            at: 0,
            sectors: 4,
            value: 1,
        },
        Act::Sync(Part::First),
        Act::Write {
            at: 2,
            sectors: 3,
            value: 2,
        },
    ];
    let options = Options {
        noise: true,
        ..quiet()
    };
    let (states, _) = states(&record(&acts), &options);
    let noisy = states.iter().filter(|state| {
        let bytes = state.image.bytes(0, SECTORS * SECTOR);
        let torn = |sector: &[u8; SECTOR]| sector.iter().any(|byte| *byte != sector[0]);
        let torn: Vec<usize> = bytes
            .as_chunks::<SECTOR>()
            .0
            .iter()
            .enumerate()
            .filter(|(_, sector)| torn(sector))
            .map(|(at, _)| at)
            .collect();
        if state.syncs == 1 {
            assert!(
                torn.iter().all(|at| (2..5).contains(at)),
                "{}: {torn:?}",
                state.how
            );
        }
        !torn.is_empty()
    });
    assert_eq!(noisy.count(), 7, "one for each sector of each write");
}
