//! Finding what of some wanted content is not on a medium.

use std::ops::Range;

use crate::Source;

/// Bytes are compared in blocks of this size.
const BLOCK: usize = 4096;

/// A block of zeros, which says nothing about what the medium holds.
const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Equal blocks between differing ones are written as well when they are no longer than this: on a card, two short
/// writes cost more than one that is slightly longer.
const BRIDGE: usize = 16 * 1024;

/// After this many bytes without one equal block, the medium is assumed to hold unrelated content.
const PATIENCE: u64 = 16 * 1024 * 1024;

/// How many bytes of each piece are then still read, to notice if that assumption is wrong.
const PROBE: usize = 64 * 1024;

/// Compares a medium with wanted content, piece by piece.
///
/// Its results depend only on the medium and the wanted bytes: an interrupted run is completed by another one, without a journal.
#[derive(Debug, Default)]
pub struct Comparison {
    read: u64,
    /// Bytes compared since a block was last found equal.
    missed: u64,
    buffer: Vec<u8>,
}

impl Comparison {
    /// Returns how many bytes were read from the medium.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// Returns the runs of `wanted` that must be written at `offset` of the medium. If there are none, every byte was read and is
    /// equal; otherwise some may be equal, too.
    pub fn differing(
        &mut self,
        source: &mut (impl Source + ?Sized),
        offset: u64,
        wanted: &[u8],
    ) -> Vec<Range<usize>> {
        let probe = if self.missed < PATIENCE {
            wanted.len()
        } else {
            PROBE.min(wanted.len())
        };
        let (mut differing, known) = self.compare(source, offset, wanted, 0..probe);
        if known {
            self.missed = 0;
        } else {
            self.missed += wanted.len() as u64;
        }
        if known || differing.is_empty() {
            differing.extend(self.compare(source, offset, wanted, probe..wanted.len()).0);
        } else {
            differing.push(probe..wanted.len());
        }
        bridged(differing)
    }

    /// Finds the blocks of `wanted` that differ from the medium, and whether any block is known from it.
    ///
    /// Zeros are on every new medium: they may be equal, but say nothing. What cannot be read differs: writing it again is
    /// what repairs a card.
    fn compare(
        &mut self,
        source: &mut (impl Source + ?Sized),
        offset: u64,
        wanted: &[u8],
        range: Range<usize>,
    ) -> (Vec<Range<usize>>, bool) {
        self.buffer.resize(range.len(), 0);
        let read = source.read_bytes(offset + range.start as u64, &mut self.buffer);
        if read.is_err() {
            return (vec![range], false);
        }
        self.read += range.len() as u64;
        let mut differing = Vec::new();
        let mut known = false;
        let mut start = range.start;
        for (want, have) in wanted[range].chunks(BLOCK).zip(self.buffer.chunks(BLOCK)) {
            if want != have {
                differing.push(start..start + want.len());
            } else if !known {
                known = want != &ZEROS[..want.len()];
            }
            start += want.len();
        }
        (differing, known)
    }
}

/// Joins runs that are close together, and drops empty ones.
fn bridged(runs: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for run in runs.into_iter().filter(|run| !run.is_empty()) {
        match joined.last_mut() {
            Some(last) if run.start - last.end <= BRIDGE => last.end = run.end,
            _ => joined.push(run),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_runs_are_joined_and_far_ones_are_not() {
        let k = 1024;
        assert_eq!(
            bridged(vec![
                0..4 * k,
                4 * k..8 * k,
                24 * k..28 * k,
                60 * k..64 * k,
                64 * k..64 * k
            ]),
            [0..28 * k, 60 * k..64 * k]
        );
    }
}
