//! Assigns nodes to waves.

use manifest::Digest;

use crate::Rollout;

/// The number of positions: a node's position is below this.
pub const POSITIONS: u16 = 10_000;

/// Returns the position of a node in the order of a rollout: the first eight bytes of SHA-256(seed || name), as a
/// big-endian number, modulo 10000.
///
/// It depends on nothing else: adding and removing nodes does not move the others.
pub fn position(seed: &str, node: &str) -> u16 {
    let hash = Digest::of(&[seed.as_bytes(), node.as_bytes()].concat());
    let first = u64::from_be_bytes(std::array::from_fn(|index| hash.0[index]));
    let position = first % u64::from(POSITIONS);
    u16::try_from(position).expect("a remainder of 10000 fits")
}

impl Rollout {
    /// Returns the wave, counted from 0, of the node with this name.
    pub fn wave(&self, node: &str) -> usize {
        let position = position(&self.seed, node);
        let reaches = |percent: &u8| position < u16::from(*percent) * (POSITIONS / 100);
        self.waves
            .iter()
            .position(reaches)
            .expect("the last wave reaches every position: it has 100 percent")
    }
}
