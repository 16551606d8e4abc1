//! Reads what a workload may use at most.

use crate::decode::Cursor;
use crate::v1alpha1::{WorkloadLogs, WorkloadResources};
use crate::value::{ByteSize, Processors};

/// Less memory than this runs nothing.
const LEAST_MEMORY: ByteSize = ByteSize::of(4 << 20);
const MOST_PIDS: u32 = 1 << 16;
/// A file of a log takes some pieces in which it is written.
const LOG_SIZE: (ByteSize, ByteSize) = (ByteSize::of(256 << 10), ByteSize::of(1 << 30));
const MOST_LOG_FILES: u32 = 20;

pub(super) fn resources(cursor: Cursor<'_>) -> Option<WorkloadResources> {
    let mut o = cursor.object()?;
    let usual = WorkloadResources::default();
    let memory = o.field("memory").and_then(|c| {
        let memory: ByteSize = c.parsed()?;
        if memory < LEAST_MEMORY {
            c.fault(format!(
                "{memory} is less than {LEAST_MEMORY}, which runs nothing"
            ));
        }
        Some(memory)
    });
    let cpu = o.field("cpu").and_then(|c| {
        let text = c.literal()?;
        text.parse::<Processors>()
            .inspect_err(|error| c.fault(format!("{text:?} is not {error}")))
            .ok()
    });
    let pids = o.field("pids").and_then(|c| c.number(1, MOST_PIDS));
    o.finish();
    Some(WorkloadResources {
        memory,
        cpu,
        pids: pids.unwrap_or(usual.pids),
    })
}

pub(super) fn logs(cursor: Cursor<'_>) -> Option<WorkloadLogs> {
    let mut o = cursor.object()?;
    let usual = WorkloadLogs::default();
    let max_size = o.field("maxSize").and_then(|c| {
        let size: ByteSize = c.parsed()?;
        if !(LOG_SIZE.0..=LOG_SIZE.1).contains(&size) {
            c.fault(format!("must be from {} to {}", LOG_SIZE.0, LOG_SIZE.1));
        }
        Some(size)
    });
    let max_files = o.field("maxFiles").and_then(|c| c.number(1, MOST_LOG_FILES));
    o.finish();
    Some(WorkloadLogs {
        max_size: max_size.unwrap_or(usual.max_size),
        max_files: max_files.unwrap_or(usual.max_files),
    })
}
