//! Writers that remember what etcd acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::etcdctl::Etcdctl;
use super::{Lab, Member};

/// The keys that are written. Nothing of Kubernetes is there.
const KEYS: &str = "e2e-writer/";
/// How long to wait after a member did not take a write.
const BREATH: Duration = Duration::from_millis(200);
/// Until everything can be read.
const READ: Duration = Duration::from_secs(60);

/// Writers, one for each control plane.
pub struct Writers {
    etcd: Etcdctl,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Written>>,
}

/// What a writer knows.
#[derive(Default)]
struct Written {
    acknowledged: Vec<String>,
    unknown: usize,
}

/// How much was written.
pub struct Count {
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// Writes of which nobody knows.
    pub unknown: usize,
}

impl Writers {
    /// Begins to write.
    pub fn start(lab: &Lab, etcd: &Etcdctl) -> Writers {
        let stop = Arc::<AtomicBool>::default();
        let threads = lab.planes().map(|plane| {
            let (etcd, plane, stop) = (etcd.clone(), plane.clone(), stop.clone());
            thread::spawn(move || write(&etcd, &plane, &stop))
        });
        let threads = threads.collect();
        Writers {
            etcd: etcd.clone(),
            stop,
            threads,
        }
    }

    /// Stops, and checks on every control plane that all is there that was acknowledged, and that all have the same.
    pub fn verify(mut self, lab: &Lab) -> Result<Count> {
        let written = self.end()?;
        let count = Count {
            acknowledged: written.iter().map(|one| one.acknowledged.len()).sum(),
            unknown: written.iter().map(|one| one.unknown).sum(),
        };
        ensure!(count.acknowledged > 0, "nothing was acknowledged at all");
        for plane in lab.planes() {
            let found = self.read(plane)?;
            for key in written.iter().flat_map(|one| &one.acknowledged) {
                match found.get(key) {
                    Some(value) if *value == value_of(key) => {}
                    other => bail!("{}: {key} was acknowledged, and is {other:?}", plane.name),
                }
            }
        }
        let planes: Vec<&Member> = lab.planes().collect();
        let revision = self.etcd.revision(planes[0])?;
        // A follower may be a moment behind.
        lab.until(READ, || {
            let hashes = planes.iter().map(|plane| self.etcd.hash(plane, revision));
            let hashes: Vec<u64> = hashes.collect::<Result<_>>()?;
            ensure!(
                hashes.iter().all(|hash| *hash == hashes[0]),
                "the members differ at revision {revision}: {hashes:?}"
            );
            Ok(())
        })?;
        Ok(count)
    }

    fn end(&mut self) -> Result<Vec<Written>> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.threads.drain(..).map(|thread| thread.join().ok());
        ended.map(|written| written.context("a writer failed")).collect()
    }

    /// Reads everything that was written, by agreement of a quorum.
    fn read(&self, plane: &Member) -> Result<BTreeMap<String, String>> {
        let printed = self
            .etcd
            .on(plane)
            .args(["get", "--prefix", KEYS])
            .within(READ)
            .run()?;
        let lines: Vec<&str> = printed.lines().collect();
        let pairs = lines.as_chunks::<2>().0.iter();
        Ok(pairs
            .map(|[key, value]| ((*key).to_owned(), (*value).to_owned()))
            .collect())
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        let _ended = self.end();
    }
}

/// Writes one key after the other, each once.
fn write(etcd: &Etcdctl, plane: &Member, stop: &AtomicBool) -> Written {
    let mut written = Written::default();
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("{KEYS}{}/{number}", plane.name);
        let put = etcd.on(plane).args(["put", &key, &value_of(&key)]);
        // Only what it says it has done counts.
        if put.run().is_ok_and(|printed| printed.trim() == "OK") {
            written.acknowledged.push(key);
        } else {
            written.unknown += 1;
            thread::sleep(BREATH);
        }
    }
    written
}

/// Returns the value that a key has.
fn value_of(key: &str) -> String {
    format!("the value of {key}")
}
