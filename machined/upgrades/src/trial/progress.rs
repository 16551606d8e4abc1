//! The stage of the running system on trial, for its diary.

use std::collections::BTreeMap;
use std::time::Duration;

use state::kinds::{BootStatus, HealthStatus};

use super::diary::{Diary, TrialStage};
use super::diary_writer::DiaryWriter;
use super::places::Places;
use super::record::manifest_in;

/// Keeps the diary of the running system.
#[derive(Default)]
pub struct Progress {
    writer: Option<DiaryWriter>,
    version: Option<String>,
    furthest: TrialStage,
    /// A diary that cannot be written is reported once: reports are in the kernel's log, which the diary contains.
    failed: bool,
}

impl Progress {
    /// Records the state of the trial; with a reason it is the last entry. A failure is only reported: a
    /// system is not judged by its diary.
    pub async fn note(
        &mut self,
        places: &Places,
        boot: &BootStatus,
        health: &HealthStatus,
        now: Duration,
        reason: &str,
    ) {
        let Some(slot) = boot.slot else { return };
        self.furthest = self
            .furthest
            .max(reached(&boot.stamps, health.keepable_since().is_some()));
        if self.version.is_none() {
            let manifest = manifest_in(&places.slots[slot.index()], boot.manifest.as_deref());
            self.version = manifest.map(|manifest| manifest.version.to_string());
        }
        let mut diary = Diary {
            slot,
            manifest: boot.manifest.clone().unwrap_or_default(),
            version: self.version.clone().unwrap_or_default(),
            boot_id: boot.boot_id.clone(),
            stage: self.furthest,
            uptime_ms: 0,
            checks: Vec::new(),
            reason: reason.to_owned(),
            log: String::new(),
        };
        diary.set_health(health);
        let mut writer = self
            .writer
            .take()
            .unwrap_or_else(|| DiaryWriter::new(places.diary()));
        let write = tokio::task::spawn_blocking(move || {
            let noted = writer.note(now, diary);
            (writer, noted)
        });
        let error = match write.await {
            Ok((writer, noted)) => {
                self.writer = Some(writer);
                noted.err().map(|error| error.to_string())
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = error.filter(|_| !self.failed) {
            self.failed = true;
            tracing::warn!("the diary of this trial cannot be written: {error}");
        }
    }
}

/// Returns the furthest stage in the timings of a boot.
fn reached(stamps: &BTreeMap<String, u64>, healthy: bool) -> TrialStage {
    let stages = [
        ("storage", TrialStage::Storage),
        ("network", TrialStage::Network),
        ("services", TrialStage::Services),
    ];
    let stamped = stages
        .iter()
        .filter(|(moment, _)| stamps.contains_key(*moment))
        .map(|(_, stage)| *stage);
    let healthy = healthy.then_some(TrialStage::Healthy);
    stamped.chain(healthy).max().unwrap_or(TrialStage::Root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_furthest_stage_counts() {
        let stamps = |moments: &[&str]| moments.iter().map(|moment| ((*moment).to_owned(), 1)).collect();
        assert_eq!(reached(&stamps(&["mounts", "root"]), false), TrialStage::Root);
        assert_eq!(
            reached(&stamps(&["network", "storage"]), false),
            TrialStage::Network
        );
        assert_eq!(
            reached(&stamps(&["storage", "services"]), false),
            TrialStage::Services
        );
        assert_eq!(reached(&stamps(&["storage"]), true), TrialStage::Healthy);
    }
}
