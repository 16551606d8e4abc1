//! Finds the pieces of an old image that are most like a piece of a new one.
//!
//! Marks are taken from both: hashes of the 16 bytes before a place, at those places where the hash has some zero bits.
//! So the content decides where a mark is, and it is found again wherever the content moved. Sixteen bytes are four
//! instructions: between two calls, whose targets differ in any rebuilt program, there often are no more.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use bundle::{SOURCES_COUNT, SOURCES_MAX, Source};

/// The old image is taken in pieces of so many bytes. Smaller ones follow the content more closely, but leave out what
/// lies between two marks.
const WINDOW: usize = 64 * 1024;

/// A piece that brings fewer marks than this is there by chance: it costs reading, and makes packing no better.
const LEAST: usize = 6;

/// A mark that is in more pieces than this tells nothing.
const MANY: usize = 16;

/// Bytes that a hash is over: what was shifted out of its 64 bits no longer counts.
const SPAN: usize = 64 / SHIFT as usize;
const SHIFT: u32 = 4;

/// Zero bits of a hash that is a mark: one place in so many (2 to the power of this) has one.
const ZEROS: u32 = 6;

/// A byte that was repeated so often makes the same hash everywhere.
const REPEATED: u32 = 8;

/// Bits of a mark that hold the number of a piece; the others hold the hash.
const PIECE_BITS: u32 = 24;

// A set of pieces never is too many sources, or too long.
const _: () = assert!(SOURCES_MAX / WINDOW <= SOURCES_COUNT);

/// The marks of an old image.
pub struct Similarity {
    /// Hash and piece, sorted.
    marks: Vec<u64>,
    len: usize,
}

impl Similarity {
    /// Takes the marks of an old image.
    pub fn to(old: &[u8]) -> Self {
        let mut marks = Vec::new();
        each_mark(old, |hash, at| {
            marks.push((hash << PIECE_BITS) | (at / WINDOW) as u64);
        });
        marks.sort_unstable();
        marks.dedup();
        Self {
            marks,
            len: old.len(),
        }
    }

    /// Chooses the pieces of the old image that have most in common with `extent`, by rising place.
    pub fn sources(&self, extent: &[u8]) -> Vec<Source> {
        let mut hashes = Vec::new();
        each_mark(extent, |hash, _| hashes.push(hash));
        hashes.sort_unstable();
        hashes.dedup();
        // For each piece, the numbers of the marks that it has in common with the extent.
        let mut pieces: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, hash) in hashes.iter().enumerate() {
            let having = self.pieces(*hash);
            if having.len() <= MANY {
                for mark in having {
                    let piece = (mark & ((1 << PIECE_BITS) - 1)) as usize;
                    pieces.entry(piece).or_default().push(number);
                }
            }
        }
        self.merge(best(&pieces, hashes.len()))
    }

    /// Finds the marks with a hash.
    fn pieces(&self, hash: u64) -> &[u64] {
        let start = self.marks.partition_point(|mark| mark >> PIECE_BITS < hash);
        let same = self.marks[start..]
            .iter()
            .take_while(|mark| **mark >> PIECE_BITS == hash);
        &self.marks[start..start + same.count()]
    }

    /// Makes sources out of pieces, one of all that touch.
    fn merge(&self, mut pieces: Vec<usize>) -> Vec<Source> {
        pieces.sort_unstable();
        let mut sources: Vec<Source> = Vec::new();
        for piece in pieces {
            let start = piece * WINDOW;
            let len = WINDOW.min(self.len - start) as u32;
            match sources.last_mut() {
                Some(last) if last.offset + u64::from(last.len) == start as u64 => last.len += len,
                _ => sources.push(Source {
                    offset: start as u64,
                    len,
                }),
            }
        }
        sources
    }
}

/// Takes repeatedly the piece with the most marks that no piece taken before has.
fn best(pieces: &BTreeMap<usize, Vec<usize>>, marks: usize) -> Vec<usize> {
    let mut covered = vec![false; marks];
    let mut queue: BinaryHeap<(usize, Reverse<usize>)> = pieces
        .iter()
        .map(|(piece, marks)| (marks.len(), Reverse(*piece)))
        .collect();
    let mut chosen = Vec::new();
    while let Some((_, Reverse(piece))) = queue.pop() {
        // What was counted when it was queued may be covered by now; it only ever becomes less.
        let gain = pieces[&piece].iter().filter(|mark| !covered[**mark]).count();
        if gain < LEAST {
            continue;
        }
        if queue.peek().is_some_and(|(next, _)| gain < *next) {
            queue.push((gain, Reverse(piece)));
            continue;
        }
        for mark in &pieces[&piece] {
            covered[*mark] = true;
        }
        chosen.push(piece);
        if chosen.len() == SOURCES_MAX / WINDOW {
            break;
        }
    }
    chosen
}

/// Calls `found` with the hash and the place of each mark.
fn each_mark(data: &[u8], mut found: impl FnMut(u64, usize)) {
    let (mut hash, mut last, mut same) = (0u64, 0u8, 0u32);
    // This loop runs for every byte of two images: it stays free of calls, for a debug build's sake.
    let mut at = 0;
    while at < data.len() {
        let byte = data[at];
        hash = (hash << SHIFT).wrapping_add(TABLE[byte as usize]);
        same = if byte == last { same + 1 } else { 0 };
        last = byte;
        if hash >> (64 - ZEROS) == 0 && same < REPEATED && at + 1 >= SPAN {
            // The zero bits tell nothing: mixed, all bits that are kept do.
            found(hash.wrapping_mul(MIX) >> PIECE_BITS, at);
        }
        at += 1;
    }
}

/// An odd number without a pattern: the golden ratio's digits.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// A number without a pattern for each byte.
static TABLE: [u64; 256] = table();

const fn table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut state = 0u64;
    let mut at = 0;
    while at < table.len() {
        // splitmix64
        state = state.wrapping_add(MIX);
        let mut number = state;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        table[at] = number ^ (number >> 31);
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use samples::noise;

    fn ends(sources: &[Source]) -> Vec<(u64, u64)> {
        let ends = sources.iter();
        ends.map(|source| (source.offset, source.offset + u64::from(source.len)))
            .collect()
    }

    #[test]
    fn what_moved_is_found() {
        let old = noise(40 * WINDOW, 1);
        let similarity = Similarity::to(&old);
        let piece = &old[10 * WINDOW + WINDOW / 2..12 * WINDOW + WINDOW / 2];
        let other = &old[30 * WINDOW..31 * WINDOW];
        let sources = similarity.sources(&[&noise(999, 2), piece, &noise(50, 3), other].concat());
        let window = WINDOW as u64;
        assert_eq!(
            ends(&sources),
            [(10 * window, 13 * window), (30 * window, 31 * window)]
        );
    }

    #[test]
    fn rebuilt_code_is_found() {
        // Every eighth instruction calls somewhere, and all targets moved.
        let build = |shift: u32| {
            let mut code = noise(8 * WINDOW, 1);
            for call in code.chunks_exact_mut(32) {
                let target = u32::from_le_bytes([call[0], call[1], call[2], call[3]]);
                call[..4].copy_from_slice(&target.wrapping_add(shift).to_le_bytes());
            }
            code
        };
        let sources = Similarity::to(&build(0)).sources(&build(0x1234));
        assert_eq!(ends(&sources), [(0, 8 * WINDOW as u64)]);
    }

    #[test]
    fn what_is_new_or_everywhere_has_no_source() {
        let old = [
            noise(20 * WINDOW, 1),
            vec![0; 20 * WINDOW],
            b"all alike; ".repeat(100_000),
        ]
        .concat();
        let similarity = Similarity::to(&old);
        assert_eq!(similarity.sources(&noise(10 * WINDOW, 9)), []);
        assert_eq!(similarity.sources(&vec![0; 10 * WINDOW]), []);
        assert_eq!(similarity.sources(&b"all alike; ".repeat(1000)), []);
        assert_eq!(similarity.sources(b"short"), []);
        assert_eq!(Similarity::to(b"").sources(&noise(WINDOW, 1)), []);
    }

    #[test]
    fn the_last_piece_ends_with_the_image() {
        let old = noise(2 * WINDOW + 8192, 1);
        let sources = Similarity::to(&old).sources(&old[2 * WINDOW..]);
        assert_eq!(ends(&sources), [(2 * WINDOW as u64, old.len() as u64)]);
    }

    #[test]
    fn of_too_much_the_most_is_taken() {
        let most = SOURCES_MAX / WINDOW;
        let old = noise((most + 20) * WINDOW, 1);
        // A little of each piece, but of the last three even less.
        let mut extent = Vec::new();
        for piece in 0..most + 20 {
            let len = if piece < most + 17 { 4096 } else { 2048 };
            extent.extend_from_slice(&old[piece * WINDOW..][..len]);
        }
        let sources = Similarity::to(&old).sources(&extent);
        let total: u64 = sources.iter().map(|source| u64::from(source.len)).sum();
        assert_eq!(total, SOURCES_MAX as u64);
        assert!(sources.is_sorted_by_key(|source| source.offset));
    }
}
