//! Carries randomness from one boot to the next: boards without a generator start with none.

use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use sha2::{Digest as _, Sha256};
use sys::entropy::{RandomPool, SEED_LEN};
use zeroize::Zeroizing;

const FILE: &str = "random-seed";

/// Replaces the saved seed, and gives the old one to the pool.
///
/// The old one is mixed in before the new one is drawn, and hashed into it besides: a chain of seeds never knows less than
/// its last link, even where the pool has nothing of its own yet. And it is counted only when the new one is on the disk:
/// one seed must never start two boots. Returns whether there was one.
pub fn refresh(state: &Path, pool: &dyn RandomPool) -> Result<bool, Error> {
    let path = state.join(FILE);
    let old = read(&path)?;
    if let Some(old) = &old {
        pool.mix(old)?;
    }
    replace(&path, old.as_deref(), pool)?;
    let Some(old) = old else { return Ok(false) };
    pool.credit(&old)?;
    Ok(true)
}

/// Saves a new seed when the machine stops, so that the next boot starts from all that this one gathered.
pub fn save(state: &Path, pool: &dyn RandomPool) -> Result<(), Error> {
    replace(&state.join(FILE), None, pool)
}

/// Waits until the pool is good for keys, and tells when that takes time. Every key is made after this.
///
/// With a saved seed, the firmware's (the kernel's EFI stub passes it on) or a generator in the machine there is nothing to
/// wait for. Else the kernel gathers randomness from its own timing while somebody waits, for about a second.
pub async fn wait(pool: Arc<dyn RandomPool>, tell: impl Fn(&str)) -> Result<(), Error> {
    if pool.is_seeded()? {
        return Ok(());
    }
    tell("no keys are made yet: the kernel is still gathering random numbers");
    let waited = tokio::task::spawn_blocking(move || pool.wait()).await;
    waited.map_err(|_| Error::Gone)??;
    tell("the kernel has random numbers for keys now");
    Ok(())
}

fn replace(path: &Path, old: Option<&[u8; SEED_LEN]>, pool: &dyn RandomPool) -> Result<(), Error> {
    let mut hash = Sha256::new();
    hash.update(b"bedplate random seed\0");
    hash.update(old.unwrap_or(&[0; SEED_LEN]));
    hash.update(Zeroizing::new(pool.draw()?).as_slice());
    let new: Zeroizing<[u8; SEED_LEN]> = Zeroizing::new(hash.finalize().into());
    sys::durable::write(path, new.as_slice(), 0o600).map_err(Error::Write)
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
    /// The kernel does not play along.
    #[error(transparent)]
    Pool(#[from] sys::Error),
    /// Whoever waited has gone: the machine stops.
    #[error("the machine stops before there were random numbers")]
    Gone,
}

fn read(path: &Path) -> Result<Option<Zeroizing<[u8; SEED_LEN]>>, Error> {
    match fs::read(path).map(Zeroizing::new) {
        Ok(bytes) => Ok(bytes.as_slice().try_into().ok().map(Zeroizing::new)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Read(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Mutex;

    use super::*;

    /// A pool that gives the same numbers on every boot, as one of a board without a generator may, and notes what is
    /// done to it together with what the file holds then.
    struct Poor {
        file: PathBuf,
        done: Mutex<Vec<(&'static str, Vec<u8>)>>,
        seeded: Mutex<bool>,
    }

    impl Poor {
        fn new(state: &Path) -> Self {
            Self {
                file: state.join(FILE),
                done: Mutex::default(),
                seeded: Mutex::new(false),
            }
        }

        fn note(&self, what: &'static str) {
            let held = fs::read(&self.file).unwrap_or_default();
            self.done.lock().unwrap().push((what, held));
        }

        fn order(&self) -> Vec<&'static str> {
            self.done.lock().unwrap().iter().map(|(what, _)| *what).collect()
        }
    }

    impl RandomPool for Poor {
        fn mix(&self, _: &[u8; SEED_LEN]) -> sys::Result<()> {
            self.note("mix");
            Ok(())
        }
        fn credit(&self, _: &[u8; SEED_LEN]) -> sys::Result<()> {
            self.note("credit");
            Ok(())
        }
        fn draw(&self) -> sys::Result<[u8; SEED_LEN]> {
            self.note("draw");
            Ok([7; SEED_LEN])
        }
        fn is_seeded(&self) -> sys::Result<bool> {
            Ok(*self.seeded.lock().unwrap())
        }
        fn wait(&self) -> sys::Result<()> {
            self.note("wait");
            *self.seeded.lock().unwrap() = true;
            Ok(())
        }
    }

    #[test]
    fn a_seed_is_mixed_in_before_the_next_is_drawn_and_counted_when_that_is_on_the_disk() {
        let state = tempfile::tempdir().unwrap();
        let pool = Poor::new(state.path());
        assert!(!refresh(state.path(), &pool).unwrap(), "nothing is saved yet");
        let first = fs::read(&pool.file).unwrap();
        assert!(refresh(state.path(), &pool).unwrap());
        assert_eq!(pool.order(), ["draw", "mix", "draw", "credit"]);
        let done = pool.done.lock().unwrap();
        assert_eq!(done[2].1, first, "drawn while the old one is there still");
        assert_eq!(done[3].1.len(), SEED_LEN);
        assert_ne!(done[3].1, first, "counted when the new one is there already");
    }

    #[test]
    fn a_chain_of_seeds_never_repeats_whatever_the_pool_knows() {
        let state = tempfile::tempdir().unwrap();
        let pool = Poor::new(state.path());
        let mut seen = Vec::new();
        for _ in 0..5 {
            refresh(state.path(), &pool).unwrap();
            let seed = fs::read(&pool.file).unwrap();
            assert_ne!(seed, [7; SEED_LEN], "never what was drawn alone");
            assert!(!seen.contains(&seed));
            seen.push(seed);
        }
    }

    #[test]
    fn a_seed_of_the_wrong_length_is_not_used() {
        let state = tempfile::tempdir().unwrap();
        let pool = Poor::new(state.path());
        fs::write(&pool.file, b"short").unwrap();
        assert!(!refresh(state.path(), &pool).unwrap());
        assert_eq!(pool.order(), ["draw"]);
    }

    #[tokio::test]
    async fn keys_wait_for_a_pool_that_is_not_seeded_and_people_are_told() {
        let state = tempfile::tempdir().unwrap();
        let pool = Arc::new(Poor::new(state.path()));
        let told = Mutex::new(Vec::new());
        let tell = |text: &str| told.lock().unwrap().push(text.to_owned());
        wait(pool.clone(), tell).await.unwrap();
        assert_eq!(pool.order(), ["wait"]);
        assert_eq!(told.lock().unwrap().len(), 2);
        wait(pool.clone(), tell).await.unwrap();
        assert_eq!(told.lock().unwrap().len(), 2, "seeded: nothing to tell");
        assert_eq!(pool.order(), ["wait"]);
    }
}
