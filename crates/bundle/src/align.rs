//! Finds where in the old bytes the new ones come from.
//!
//! This is the algorithm of bsdiff (Colin Percival, 2003), with a table of anchors in place of a sorted list of all
//! suffixes: it follows the old bytes as long as most of the new ones are equal, and switches to another place when that
//! explains clearly more.

use crate::steps::Step;

/// The length of the matches that are looked up: shorter ones are often accidental.
const ANCHOR: usize = 16;

/// Every second place of the old bytes is recorded: instructions and most data are at even places.
const EVERY: usize = 2;

/// The number of places that are recorded for each anchor; the last ones are kept.
const PLACES: usize = 4;

/// The most anchors that are recorded, as a power of two.
const TABLE_LOG_MAX: u32 = 21;

/// Matches are compared up to this length; what follows is found again from there.
const FAR: usize = 256;

/// Shorter matches are ignored.
const SHORT: usize = 8;

/// Another place must explain this many bytes more than the current one: each switch has a cost.
const LEAD: usize = 4;

/// Describes `new` as steps along `old`.
pub(crate) fn align(old: &[u8], new: &[u8]) -> Vec<Step> {
    let search = Search::new(old, new);
    let mut steps = Vec::new();
    // The current alignment: from `at` on, new bytes are like the old ones from `from` on.
    let (mut at, mut from) = (0, 0);
    let mut looked = 0;
    while at < new.len() {
        let turn = search.turn(looked, from as isize - at as isize);
        // Both sides compete for the bytes between the current alignment and the switch.
        let mut ahead = surplus((at..turn.at).zip(from..old.len()).map(|(n, o)| new[n] == old[o]));
        let mut back = match turn.at < new.len() {
            true => surplus(
                (at..turn.at)
                    .rev()
                    .zip((0..turn.from).rev())
                    .map(|(n, o)| new[n] == old[o]),
            ),
            false => 0,
        };
        let both = (ahead + back).saturating_sub(turn.at - at);
        if both > 0 {
            let keep = search.border(
                (at + ahead - both, from + ahead - both),
                (turn.at - back, turn.from - back),
                both,
            );
            ahead -= both - keep;
            back -= keep;
        }
        steps.push(Step {
            differing: ahead,
            fresh: turn.at - back - at - ahead,
            from,
        });
        (at, from, looked) = (turn.at - back, turn.from - back, turn.at + turn.len);
        if turn.at == new.len() {
            break;
        }
    }
    steps
}

/// A place in the new bytes where other old bytes explain more.
struct Turn {
    at: usize,
    from: usize,
    len: usize,
}

/// Old and new bytes, and where the anchors are in the old ones.
struct Search<'a> {
    old: &'a [u8],
    new: &'a [u8],
    anchors: Vec<[u32; PLACES]>,
    log: u32,
}

impl<'a> Search<'a> {
    fn new(old: &'a [u8], new: &'a [u8]) -> Self {
        let log = (old.len() / EVERY / PLACES).next_power_of_two().ilog2();
        let log = log.clamp(1, TABLE_LOG_MAX);
        let mut anchors = vec![[u32::MAX; PLACES]; 1 << log];
        for (place, bytes) in old.windows(ANCHOR).enumerate().step_by(EVERY) {
            let places = &mut anchors[hash(bytes, log)];
            places.copy_within(..PLACES - 1, 1);
            places[0] = place as u32;
        }
        Self {
            old,
            new,
            anchors,
            log,
        }
    }

    /// Searches from `at` on for a place that explains more than the old bytes at `shift`; returns the end if there is none.
    fn turn(&self, mut at: usize, shift: isize) -> Turn {
        // How many of the new bytes from `at` to `counted` are equal at `shift`.
        let (mut equal, mut counted) = (0, at);
        while at < self.new.len() {
            let (from, len) = self.longest(at, shift);
            while counted < at + len {
                equal += usize::from(self.equal(counted, shift));
                counted += 1;
            }
            if len > equal + LEAD {
                return Turn { at, from, len };
            }
            if len > 0 && len == equal {
                at += len;
                (equal, counted) = (0, at);
            } else {
                equal -= usize::from(counted > at && self.equal(at, shift));
                at += 1;
                counted = counted.max(at);
            }
        }
        Turn {
            at: self.new.len(),
            from: 0,
            len: 0,
        }
    }

    /// Finds the longest run of old bytes that is equal to the new ones at `at`: where, and how long. Those at `shift` win a
    /// tie.
    fn longest(&self, at: usize, shift: isize) -> (usize, usize) {
        let Some(anchor) = self.new.get(at..at + ANCHOR) else {
            return (0, 0);
        };
        let followed = at.checked_add_signed(shift);
        let others = self.anchors[hash(anchor, self.log)].iter();
        let others = others
            .filter(|place| **place != u32::MAX)
            .map(|place| *place as usize);
        let (mut best, mut most) = (0, SHORT - 1);
        for place in followed.into_iter().chain(others) {
            let Some(old) = self.old.get(place..) else {
                continue;
            };
            let pairs = old.iter().zip(&self.new[at..]).take(FAR);
            let len = pairs.take_while(|(old, new)| old == new).count();
            if len > most {
                (best, most) = (place, len);
            }
        }
        if most < SHORT { (0, 0) } else { (best, most) }
    }

    fn equal(&self, at: usize, shift: isize) -> bool {
        let old = at.checked_add_signed(shift).and_then(|place| self.old.get(place));
        old == Some(&self.new[at])
    }

    /// Divides `len` new bytes that two alignments claim, each given by its new and old place: returns how many of them go
    /// to the first.
    fn border(&self, first: (usize, usize), second: (usize, usize), len: usize) -> usize {
        let (mut lead, mut most, mut border) = (0isize, 0isize, 0);
        for number in 0..len {
            lead += isize::from(self.new[first.0 + number] == self.old[first.1 + number]);
            lead -= isize::from(self.new[second.0 + number] == self.old[second.1 + number]);
            if lead > most {
                (most, border) = (lead, number + 1);
            }
        }
        border
    }
}

/// Returns the length at which equal pairs outnumber the others by most.
fn surplus(pairs: impl Iterator<Item = bool>) -> usize {
    let (mut lead, mut most, mut len) = (0isize, 0isize, 0);
    for (number, equal) in pairs.enumerate() {
        lead += if equal { 1 } else { -1 };
        if lead > most {
            (most, len) = (lead, number + 1);
        }
    }
    len
}

/// Hashes an anchor to `log` bits.
fn hash(anchor: &[u8], log: u32) -> usize {
    let (words, _) = anchor.as_chunks::<8>();
    let mixed = words.iter().fold(0u64, |hash, word| {
        (hash.rotate_left(29) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    (mixed >> (64 - log)) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use samples::noise;

    use super::*;

    fn step(differing: usize, fresh: usize, from: usize) -> Step {
        Step {
            differing,
            fresh,
            from,
        }
    }

    #[test]
    fn equal_bytes_are_one_step() {
        let old = noise(100_000, 1);
        assert_eq!(align(&old, &old), [step(100_000, 0, 0)]);
        assert_eq!(
            align(&old, &old[5000..9000]),
            [step(0, 0, 0), step(4000, 0, 5000)]
        );
    }

    #[test]
    fn small_changes_are_passed_over() {
        let old = noise(10_000, 1);
        let mut new = old.clone();
        for at in (20..10_000).step_by(24) {
            new[at] ^= 1;
            new[at + 1] ^= 0x55;
        }
        assert_eq!(align(&old, &new), [step(10_000, 0, 0)]);
    }

    #[test]
    fn what_moved_is_followed_and_what_is_new_is_fresh() {
        let old = noise(20_000, 1);
        let fresh = noise(1000, 2);
        let new = [&old[..5000], &fresh, &old[5000..12_000], &old[2000..4000]].concat();
        let steps = align(&old, &new);
        // A byte may be equal by accident, on either side of a border.
        let close = |is: usize, should: usize| is.abs_diff(should) < 4;
        assert_eq!(steps.len(), 3, "{steps:?}");
        assert!(
            close(steps[0].differing, 5000) && close(steps[0].fresh, 1000),
            "{steps:?}"
        );
        assert!(
            close(steps[1].from, 5000) && close(steps[1].differing, 7000),
            "{steps:?}"
        );
        assert!(
            close(steps[2].from, 2000) && close(steps[2].differing, 2000),
            "{steps:?}"
        );
    }

    #[test]
    fn nothing_old_makes_all_fresh() {
        for old in [&b""[..], b"short", &noise(5000, 7)] {
            let steps = align(old, &noise(3000, 2));
            let fresh: usize = steps.iter().map(|step| step.fresh).sum();
            assert!(fresh > 2990, "{steps:?}");
        }
        assert_eq!(align(b"old", b""), []);
    }

    #[test]
    fn monotony_takes_no_more_time() {
        // Matches are long everywhere, and none is ever the longest.
        let old = [vec![0; 1 << 19], vec![1], vec![0; 1 << 19]].concat();
        let new = [
            vec![0; 1 << 18],
            vec![2],
            vec![0; 1 << 18],
            vec![3],
            vec![0; 1 << 18],
        ]
        .concat();
        let steps = align(&old, &new);
        let made: usize = steps.iter().map(|step| step.differing + step.fresh).sum();
        assert_eq!(made, new.len());
        assert!(steps.len() < 10);
    }

    /// Makes bytes of six words of different lengths.
    fn text(words: &[usize]) -> Vec<u8> {
        words
            .iter()
            .flat_map(|word| noise(12 + 5 * word, *word as u64))
            .collect()
    }

    #[test]
    fn a_match_may_end_before_what_was_counted() {
        // Rare in random tests: the current alignment is as good as a match that is shorter than an earlier one.
        let old = [1, 1, 3, 1, 5, 1, 1, 2, 1, 0, 1, 0, 3, 5, 5, 1, 0, 0];
        let new = [
            0, 5, 4, 2, 4, 1, 3, 1, 1, 1, 2, 4, 0, 3, 1, 3, 1, 0, 0, 1, 3, 4, 1, 0, 5, 0, 1, 1, 0, 1, 1, 4,
            4, 3, 4, 2, 2, 2,
        ];
        let (old, mut new) = (text(&old), text(&new));
        new[419] ^= 1;
        new[448] ^= 1;
        let made: usize = align(&old, &new)
            .iter()
            .map(|step| step.differing + step.fresh)
            .sum();
        assert_eq!(made, new.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn steps_make_all_of_the_new_out_of_the_old(
            alphabet in 1u8..5,
            old in proptest::collection::vec(any::<u8>(), 0..400),
            pieces in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..200, any::<u8>()), 0..8),
        ) {
            let old: Vec<u8> = old.iter().map(|byte| byte % alphabet).collect();
            let mut new = Vec::new();
            for (from, len, between) in pieces {
                let from = from.index(old.len() + 1);
                new.extend_from_slice(&old[from..old.len().min(from + len)]);
                new.push(between);
            }
            let steps = align(&old, &new);
            let made: usize = steps.iter().map(|step| step.differing + step.fresh).sum();
            prop_assert_eq!(made, new.len());
            prop_assert!(steps.iter().all(|step| step.from + step.differing <= old.len()));
        }

        #[test]
        fn repetitions_are_taken_too(
            old in proptest::collection::vec(0usize..6, 0..80),
            new in proptest::collection::vec(0usize..6, 0..80),
            changes in proptest::collection::vec(any::<prop::sample::Index>(), 0..30),
        ) {
            let (old, mut new) = (text(&old), text(&new));
            for change in changes {
                let at = change.index(new.len() + 1);
                new.get_mut(at).into_iter().for_each(|byte| *byte ^= 1);
            }
            let steps = align(&old, &new);
            let made: usize = steps.iter().map(|step| step.differing + step.fresh).sum();
            prop_assert_eq!(made, new.len());
            prop_assert!(steps.iter().all(|step| step.from + step.differing <= old.len()));
        }
    }
}
