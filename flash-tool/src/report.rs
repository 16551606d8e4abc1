//! The report of a flash, in numbers.

use std::time::Instant;

use serde::Serialize;

use crate::limit::{Busy, Limit};
use crate::plan::Release;
use crate::watch::Stage;

/// The report of a flash. A value of this type means that the medium was read back and verified.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The release.
    pub release: Release,
    /// The disk's GUID, by which the node finds it.
    pub disk: String,
    /// Bytes that the plan covers.
    pub planned: u64,
    /// Bytes that were written.
    pub written: u64,
    /// Bytes that were equal and not written.
    pub equal: u64,
    /// Bytes that were read from the medium: to compare, and to read back.
    pub read: u64,
    /// Seconds from start to end.
    pub seconds: f64,
    /// What took longest.
    pub limited_by: Option<Limit>,
    /// The stages, in order.
    pub stages: Vec<StageReport>,
}

/// The report of one stage.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StageReport {
    /// The stage.
    pub stage: Stage,
    /// Its duration, including waiting for the medium.
    pub seconds: f64,
    /// Bytes read from the bundle.
    pub bundle_read: u64,
    /// Bytes read from the medium.
    pub read: u64,
    /// Bytes written to the medium.
    pub written: u64,
    /// Bytes that were equal and not written.
    pub equal: u64,
}

/// Measures the time of stages.
pub(crate) struct Clockwork {
    started: Instant,
    stages: Vec<StageReport>,
    /// Where the time goes, whatever the stage.
    pub busy: Busy,
}

impl Clockwork {
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            stages: Vec::new(),
            busy: Busy::default(),
        }
    }

    /// Records a stage that started at `began` and ends now, with its numbers.
    pub fn note(&mut self, stage: Stage, began: Instant, numbers: Numbers) {
        let seconds = began.elapsed().as_secs_f64();
        let Numbers {
            bundle_read,
            read,
            written,
            equal,
        } = numbers;
        self.stages.push(StageReport {
            stage,
            seconds,
            bundle_read,
            read,
            written,
            equal,
        });
    }

    /// Makes the report.
    pub fn report(self, release: Release, disk: String, planned: u64) -> Report {
        let sum = |number: fn(&StageReport) -> u64| self.stages.iter().map(number).sum();
        Report {
            release,
            disk,
            planned,
            written: sum(|stage| stage.written),
            equal: sum(|stage| stage.equal),
            read: sum(|stage| stage.read),
            seconds: self.started.elapsed().as_secs_f64(),
            limited_by: self.busy.longest(),
            stages: self.stages,
        }
    }
}

/// The numbers of a stage.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Numbers {
    pub bundle_read: u64,
    pub read: u64,
    pub written: u64,
    pub equal: u64,
}
