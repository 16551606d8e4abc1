//! How the bytes of a patch and those of its sources become an extent.
//!
//! A program that is rebuilt differs from the previous one in many places by a little: wherever it refers to another
//! place. So a patch does not only copy equal bytes; it also holds, word by word, the difference between the new bytes
//! and those of the sources. Where little differs, the differences are mostly zeros, and where something moved, many of
//! them are the same: both compress well.
//!
//! The patch's bytes are all differences, step after step, then all literal bytes, likewise. The steps give the number of
//! each, and where in the sources the old bytes are.

use crate::FrameError;

/// The longest encoding of a patch's steps.
pub(crate) const STEPS_MAX: usize = 1 << 20;

/// The length of the words whose differences are stored, counted from the extent's start.
const WORD: usize = 4;

/// Some bytes that are old ones plus a difference, then some literal bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// Bytes that are made from old ones.
    pub differing: usize,
    /// Literal bytes after them.
    pub fresh: usize,
    /// Where in the sources the old bytes start.
    pub from: usize,
}

/// Encodes steps.
pub(crate) fn encode(steps: &[Step]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut end = 0;
    for step in steps {
        // Usually close to where the previous step ended, forward or backward.
        let way = step.from as i64 - end as i64;
        for number in [step.differing as u64, step.fresh as u64, zigzag(way)] {
            put(&mut out, number);
        }
        end = step.from + step.differing;
    }
    out
}

/// Extracts the patch's bytes from `extent`: the inverse of [`apply`].
pub(crate) fn split(steps: &[Step], sources: &[u8], extent: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(extent.len());
    let mut fresh = Vec::new();
    let mut at = 0;
    for step in steps {
        let (old, new) = (
            &sources[step.from..][..step.differing],
            &extent[at..][..step.differing],
        );
        words(at, new, old, &mut out, u32::wrapping_sub, u8::wrapping_sub);
        at += step.differing;
        fresh.extend_from_slice(&extent[at..at + step.fresh]);
        at += step.fresh;
    }
    out.extend(fresh);
    out
}

/// Makes an extent from the patch's bytes and its sources; `out` becomes as long as `bytes`.
pub(crate) fn apply(steps: &[u8], sources: &[u8], bytes: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
    // All lengths are checked before anything is made: either they add up, or nothing is made.
    let (mut differing, mut fresh) = (0usize, 0usize);
    for step in Steps::of(steps) {
        let step = step?;
        if step
            .from
            .checked_add(step.differing)
            .is_none_or(|end| end > sources.len())
        {
            return Err(FrameError::Patch("it reads beyond its sources"));
        }
        differing = differing.saturating_add(step.differing);
        fresh = fresh.saturating_add(step.fresh);
    }
    if differing.checked_add(fresh) != Some(bytes.len()) {
        return Err(FrameError::Patch(
            "its steps make fewer or more bytes than its extent",
        ));
    }
    let (mut differences, mut fresh) = bytes.split_at(differing);
    for step in Steps::of(steps) {
        let step = step?;
        let (now, later) = differences.split_at(step.differing);
        let old = &sources[step.from..][..step.differing];
        words(out.len(), now, old, out, u32::wrapping_add, u8::wrapping_add);
        differences = later;
        let (now, later) = fresh.split_at(step.fresh);
        out.extend_from_slice(now);
        fresh = later;
    }
    Ok(())
}

/// Appends `word(a, b)` for the words of two slices that start at place `at` of the extent, and `byte(a, b)` at the ends.
fn words(
    at: usize,
    a: &[u8],
    b: &[u8],
    out: &mut Vec<u8>,
    word: impl Fn(u32, u32) -> u32,
    byte: impl Fn(u8, u8) -> u8,
) {
    let before = (at.next_multiple_of(WORD) - at).min(a.len());
    let (a_before, a) = a.split_at(before);
    let (b_before, b) = b.split_at(before);
    out.extend(a_before.iter().zip(b_before).map(|(a, b)| byte(*a, *b)));
    let (a, a_after) = a.as_chunks::<WORD>();
    let (b, b_after) = b.as_chunks::<WORD>();
    for (a, b) in a.iter().zip(b) {
        out.extend(word(u32::from_le_bytes(*a), u32::from_le_bytes(*b)).to_le_bytes());
    }
    out.extend(a_after.iter().zip(b_after).map(|(a, b)| byte(*a, *b)));
}

/// Decodes steps, one after the other.
struct Steps<'a> {
    bytes: &'a [u8],
    end: usize,
}

impl<'a> Steps<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, end: 0 }
    }

    fn step(&mut self) -> Option<Step> {
        let differing = take(&mut self.bytes)? as usize;
        let fresh = take(&mut self.bytes)? as usize;
        let way = take(&mut self.bytes)?;
        let way = i64::from(way >> 1) ^ -i64::from(way & 1);
        let from = usize::try_from(self.end as i64 + way).ok()?;
        self.end = from.checked_add(differing)?;
        Some(Step {
            differing,
            fresh,
            from,
        })
    }
}

impl Iterator for Steps<'_> {
    type Item = Result<Step, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let step = self.step();
        if step.is_none() {
            self.bytes = &[];
        }
        Some(step.ok_or(FrameError::Patch("its steps are damaged")))
    }
}

/// Writes a number, seven bits per byte, lowest first.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads a number of at most 32 bits.
fn take(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0u64;
    for place in 0..5 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return u32::try_from(number).ok();
        }
    }
    None
}

/// Maps numbers of either sign so that small ones come first.
fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn step(differing: usize, fresh: usize, from: usize) -> Step {
        Step {
            differing,
            fresh,
            from,
        }
    }

    #[test]
    fn words_differ_by_the_same_wherever_they_point() {
        let table = |base: u32| {
            (0..100u32)
                .flat_map(|n| (base + n * 70_001).to_le_bytes())
                .collect::<Vec<u8>>()
        };
        let bytes = split(&[step(400, 0, 0)], &table(0), &table(0x1234));
        assert!(
            bytes
                .as_chunks::<4>()
                .0
                .iter()
                .all(|word| *word == [0x34, 0x12, 0, 0])
        );
    }

    #[test]
    fn steps_of_the_wrong_length_are_refused() {
        let sources = [7; 100];
        let refused = |steps: &[Step], bytes: usize| {
            let mut out = Vec::new();
            let error = apply(&encode(steps), &sources, &vec![0; bytes], &mut out).unwrap_err();
            assert!(out.is_empty());
            error.to_string()
        };
        assert!(refused(&[step(10, 0, 91)], 10).contains("sources"));
        assert!(refused(&[step(10, 0, 0), step(0, 5, 101)], 15).contains("sources"));
        assert!(refused(&[step(10, 5, 0)], 14).contains("fewer or more"));
        assert!(refused(&[step(10, 5, 0)], 16).contains("fewer or more"));
        assert!(refused(&[], 1).contains("fewer or more"));
        let mut out = Vec::new();
        for damaged in [
            &[1, 2][..],
            &[0x80; 9],
            &[0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0],
            &[1, 0, 1],
        ] {
            let error = apply(damaged, &sources, &[0], &mut out).unwrap_err().to_string();
            assert!(error.contains("damaged"), "{damaged:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn apply_is_the_inverse_of_split(
            sources in proptest::collection::vec(any::<u8>(), 1..300),
            seeds in proptest::collection::vec((0usize..40, 0usize..20, any::<prop::sample::Index>()), 0..12),
            extent in proptest::collection::vec(any::<u8>(), 720),
        ) {
            let mut steps = Vec::new();
            for (differing, fresh, from) in seeds {
                let from = from.index(sources.len());
                steps.push(step(differing.min(sources.len() - from), fresh, from));
            }
            let len = steps.iter().map(|step| step.differing + step.fresh).sum();
            let bytes = split(&steps, &sources, &extent[..len]);
            let mut out = Vec::new();
            apply(&encode(&steps), &sources, &bytes, &mut out).unwrap();
            prop_assert_eq!(&out, &extent[..len]);
        }

        #[test]
        fn garbage_never_panics_and_makes_no_more(
            steps in proptest::collection::vec(any::<u8>(), 0..100), len in 0usize..100,
        ) {
            let mut out = Vec::new();
            let done = apply(&steps, &[7; 50], &vec![1; len], &mut out);
            prop_assert_eq!(out.len(), if done.is_ok() { len } else { 0 });
        }
    }
}
