//! Measures the disk of etcd, before etcd starts.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use kubernetes::tuning::SLOWEST;
use state::kinds::{ClusterMember, EtcdDisk, NODE, Volume, VolumeState, VolumeStatus};
use state::{Action, Controller, ControllerError, Resource, Store};

use crate::places::{Places, failed, folder};

const NAME: &str = "etcd-disk";
/// How many flushes are measured, unless they take too long.
const FLUSHES: usize = 200;
/// How long the measurement may take.
const LIMIT: Duration = Duration::from_secs(8);
/// The bytes of a write: about what etcd writes at a time into its log.
const WRITE: [u8; 2300] = [0x5a; 2300];

/// Measures once in each boot how long a flush to etcd's disk takes. Sole owner of [`EtcdDisk`].
pub struct EtcdDiskController {
    places: Places,
}

impl EtcdDiskController {
    /// Makes the controller.
    pub fn new(places: Places) -> Self {
        Self { places }
    }
}

#[async_trait]
impl Controller for EtcdDiskController {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[ClusterMember::KIND, VolumeStatus::KIND]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[EtcdDisk::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let member: Option<ClusterMember> = store.get(NODE);
        let volume: Option<VolumeStatus> = store.get(Volume::Data.partition());
        let ready = volume.is_some_and(|volume| matches!(volume.state, VolumeState::Ready { .. }));
        let wanted = ready && member.is_some_and(|member| member.control_plane);
        if !wanted || store.get::<EtcdDisk>(NODE).is_some() {
            return Ok(Action::WaitForChange);
        }
        folder(&self.places.beside)?;
        let path = self.places.beside.join("measured");
        let measured = tokio::task::spawn_blocking(move || measure(&path).map_err(|error| (path, error)));
        let times = measured
            .await?
            .map_err(|(path, error)| failed("measure", &path, error))?;
        let flush = percentile_99(times);
        tracing::info!(
            "a flush of etcd's disk takes {} ms (99th percentile)",
            flush.as_millis()
        );
        let disk = EtcdDisk {
            flush_micros: u64::try_from(flush.as_micros()).unwrap_or(u64::MAX),
            problem: problem(flush),
        };
        store.put(NAME, NODE, disk)?;
        Ok(Action::WaitForChange)
    }
}

/// Measures how long flushes take, in a file that is removed.
fn measure(path: &Path) -> io::Result<Vec<Duration>> {
    let mut file = File::create(path)?;
    let begun = Instant::now();
    let mut times = Vec::with_capacity(FLUSHES);
    while times.len() < FLUSHES && (times.is_empty() || begun.elapsed() < LIMIT) {
        let before = Instant::now();
        file.write_all(&WRITE)?;
        file.sync_data()?;
        times.push(before.elapsed());
    }
    fs::remove_file(path)?;
    Ok(times)
}

/// Returns the time that 99 of 100 do not exceed.
fn percentile_99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let index = (times.len() * 99).div_ceil(100).saturating_sub(1);
    times.get(index).copied().unwrap_or_default()
}

/// Says that a disk is too slow.
fn problem(flush: Duration) -> Option<String> {
    (flush > SLOWEST).then(|| {
        format!(
            "a flush of etcd's disk takes {} ms (99th percentile), and etcd needs {} ms or less; use a faster card or disk",
            flush.as_millis(),
            SLOWEST.as_millis()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_percentile_leaves_out_the_worst_of_a_hundred() {
        let times = |of: std::ops::RangeInclusive<u64>| of.map(Duration::from_millis).collect();
        assert_eq!(percentile_99(times(1..=100)), Duration::from_millis(99));
        assert_eq!(percentile_99(times(1..=200)), Duration::from_millis(198));
        assert_eq!(percentile_99(times(7..=7)), Duration::from_millis(7));
        assert_eq!(percentile_99(Vec::new()), Duration::ZERO);
    }

    #[test]
    fn a_disk_is_measured_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("measured");
        let times = measure(&path).unwrap();
        assert!(!times.is_empty() && times.len() <= FLUSHES);
        assert!(!path.exists());
    }

    #[test]
    fn only_a_disk_that_is_too_slow_is_told() {
        assert_eq!(problem(SLOWEST), None);
        let told = problem(Duration::from_millis(812)).unwrap();
        assert!(
            told.contains("takes 812 ms (99th percentile), and etcd needs 500 ms or less"),
            "{told}"
        );
    }
}
