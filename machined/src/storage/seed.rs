//! Carries randomness from one boot to the next: boards without a generator start with none.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use sys::entropy::SEED_LEN;

use super::identity::write_durably;

const FILE: &str = "random-seed";

/// Replaces the saved seed, and hands the old one to `credit`.
///
/// The new seed is on the disk before the old one is used: one seed must never start two boots.
pub fn refresh(
    state: &Path,
    credit: impl FnOnce(&[u8; SEED_LEN]) -> Result<(), sys::Error>,
) -> Result<bool, Error> {
    let path = state.join(FILE);
    let old = read(&path)?;
    write_durably(&path, &fresh()?).map_err(Error::Write)?;
    let Some(old) = old else { return Ok(false) };
    credit(&old)?;
    Ok(true)
}

/// Saves a new seed when the machine stops, so that the next boot starts from all that this one gathered.
pub fn save(state: &Path) -> Result<(), Error> {
    write_durably(&state.join(FILE), &fresh()?).map_err(Error::Write)
}

/// Says why the seed was not carried on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The old seed cannot be read.
    #[error("cannot read the saved random seed")]
    Read(#[source] io::Error),
    /// A new one cannot be saved.
    #[error("cannot save a new random seed")]
    Write(#[source] io::Error),
    /// The kernel does not take it.
    #[error(transparent)]
    Credit(#[from] sys::Error),
}

fn read(path: &Path) -> Result<Option<[u8; SEED_LEN]>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(bytes.try_into().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Read(error)),
    }
}

/// This early the pool may not be ready: `/dev/urandom` does not wait for it, and what it lacks the old seed adds.
fn fresh() -> Result<[u8; SEED_LEN], Error> {
    let mut seed = [0; SEED_LEN];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut seed))
        .map_err(Error::Read)?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_used_once_and_replaced_before() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join(FILE);
        assert!(!refresh(state.path(), |_| panic!("nothing is saved yet")).unwrap());
        let first = fs::read(&path).unwrap();
        let used = refresh(state.path(), |seed| {
            assert_eq!(seed[..], first[..]);
            assert_ne!(
                fs::read(&path).unwrap(),
                first,
                "the new one must be there already"
            );
            Ok(())
        });
        assert!(used.unwrap());
    }

    #[test]
    fn a_seed_of_the_wrong_length_is_not_credited() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join(FILE), b"short").unwrap();
        assert!(!refresh(state.path(), |_| panic!("too short")).unwrap());
    }
}
