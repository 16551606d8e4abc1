//! Reads a record of which there are two copies.

use std::io;

use crate::Medium;

/// Reads both copies. One that cannot be read is left zero: the other one may be valid, and writing is what repairs the
/// first.
///
/// # Errors
///
/// Fails when neither can be read.
pub fn read_copies(
    medium: &mut dyn Medium,
    copies: &mut [impl AsMut<[u8]>; 2],
    offsets: [u64; 2],
) -> io::Result<()> {
    let mut faults = Vec::new();
    for (copy, offset) in copies.iter_mut().zip(offsets) {
        let copy = copy.as_mut();
        if let Err(error) = medium.read_at(offset, copy) {
            copy.fill(0);
            faults.push(error);
        }
    }
    match faults.pop().filter(|_| !faults.is_empty()) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}
