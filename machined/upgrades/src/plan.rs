//! The plan in the API.

use std::collections::BTreeSet;
use std::time::Duration;

use api::v1alpha1 as api;
use manifest::{Manifest, Part, VerifiedManifest};
use upgrade::{Choice, ExtentSource, Plan};

use super::preflight::{Finding, RunningSystem};

/// The block size of the hash tree.
const BLOCK: u64 = 4096;

/// Returns what is known before there is a plan: which release it is, and what is against it.
pub(super) fn outline(
    bundle: &VerifiedManifest,
    system: &RunningSystem,
    findings: &[Finding],
) -> api::UpgradePlan {
    api::UpgradePlan {
        from_version: system.release.manifest.version.to_string(),
        to_version: bundle.version.to_string(),
        board: bundle.board.clone(),
        manifest_sha256: bundle.id().to_string(),
        slot: system.target().to_string(),
        block_size: BLOCK as u32,
        findings: findings.iter().map(show_finding).collect(),
        ..api::UpgradePlan::default()
    }
}

/// Completes an outline with a plan.
pub(super) fn complete(
    outline: &api::UpgradePlan,
    bundle: &Manifest,
    old: &Manifest,
    plan: &Plan,
    time: Option<Duration>,
) -> api::UpgradePlan {
    let from = bundle
        .patches_from(&old.slot.verity.root_hash)
        .map(|set| set.version.to_string());
    let patches_from = from.filter(|_| plan.cost.patches > 0).unwrap_or_default();
    api::UpgradePlan {
        fetches: fetches(plan),
        fetch_bytes: plan.cost.total(),
        full_bytes: plan.full,
        write_blocks: plan.write / BLOCK,
        equal_blocks: plan.kept / BLOCK,
        copied_blocks: plan.copied / BLOCK,
        time_ms: time.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        reason: reason(plan, &patches_from),
        patches_from,
        parts: bundle
            .slot
            .parts
            .iter()
            .map(|part| show_part(part, plan))
            .collect(),
        ..outline.clone()
    }
}

fn show_finding(finding: &Finding) -> api::UpgradeFinding {
    let level = if finding.can_be_forced {
        api::FindingLevel::Refusal
    } else {
        api::FindingLevel::Final
    };
    api::UpgradeFinding {
        level: level.into(),
        code: finding.code.to_owned(),
        text: finding.text.clone(),
    }
}

fn fetches(plan: &Plan) -> Vec<api::PlannedFetch> {
    let patches = plan
        .extents
        .iter()
        .filter(|extent| matches!(extent.source, ExtentSource::Patch(_)))
        .count();
    let frames: BTreeSet<usize> = plan
        .extents
        .iter()
        .flat_map(|extent| match &extent.source {
            ExtentSource::Frames(frames) => frames.as_slice(),
            ExtentSource::Copy | ExtentSource::Patch(_) => &[],
        })
        .copied()
        .collect();
    let kinds = [
        (api::FetchKind::Patches, plan.cost.patches, patches),
        (api::FetchKind::Frames, plan.cost.frames, frames.len()),
        (api::FetchKind::Tree, plan.cost.tree, 1),
        (api::FetchKind::Overhead, plan.cost.overhead, 1),
    ];
    let needed = kinds.into_iter().filter(|(_, bytes, _)| *bytes > 0);
    needed
        .map(|(kind, bytes, count)| api::PlannedFetch {
            kind: kind.into(),
            bytes,
            count: count as u64,
        })
        .collect()
}

fn reason(plan: &Plan, patches_from: &str) -> String {
    match plan.choice {
        Choice::Nothing => "the slot holds this release already".to_owned(),
        Choice::Patches => format!("the bundle has patches from {patches_from}, which is running: they cost least"),
        Choice::Blocks => "the bundle has no patches from the running release, but shares blocks with it".to_owned(),
        Choice::InOrder => {
            "the server does not support ranges: the bundle comes from its start, and its patches are at its end"
                .to_owned()
        }
        Choice::Whole => "the bundle shares nothing with the slots".to_owned(),
    }
}

/// Returns how much of the work is for a part. An extent that several parts share is divided by its bytes.
fn show_part(part: &Part, plan: &Plan) -> api::PlannedPart {
    let end = (part.offset + part.size).next_multiple_of(BLOCK);
    let (mut write, mut fetch) = (0, 0);
    for extent in &plan.extents {
        let shared = end
            .min(extent.offset + extent.len)
            .saturating_sub(part.offset.max(extent.offset));
        write += shared;
        let share = u128::from(extent.fetch) * u128::from(shared) / u128::from(extent.len.max(1));
        fetch += u64::try_from(share).unwrap_or(u64::MAX);
    }
    let blocks = (end - part.offset) / BLOCK;
    let write_blocks = (write / BLOCK).min(blocks);
    api::PlannedPart {
        name: part.name.clone(),
        size_bytes: part.size,
        fetch_bytes: fetch,
        write_blocks,
        equal_blocks: blocks - write_blocks,
    }
}

#[cfg(test)]
mod tests {
    use manifest::{Digest, PartKind};
    use upgrade::{Cost, Extent};

    use super::*;

    #[test]
    fn extents_are_divided_among_the_parts_they_touch() {
        let extent = |offset, len, source, fetch| Extent {
            offset,
            len,
            source,
            fetch,
        };
        let plan = Plan {
            extents: vec![
                extent(0, 40960, ExtentSource::Patch(0), 1000),
                extent(40960, 8192, ExtentSource::Frames(vec![1, 2]), 300),
            ],
            cost: Cost {
                overhead: 70,
                tree: 0,
                patches: 1000,
                frames: 300,
            },
            full: 10_000,
            write: 49_152,
            kept: 0,
            copied: 0,
            choice: Choice::Patches,
        };
        let part = |offset, size| Part {
            kind: PartKind::Root,
            name: "root".into(),
            offset,
            size,
            sha256: Digest([0; 32]),
        };
        let first = show_part(&part(0, 20_000), &plan);
        assert_eq!(
            (first.fetch_bytes, first.write_blocks, first.equal_blocks),
            (500, 5, 0)
        );
        let second = show_part(&part(20_480, 60_000), &plan);
        assert_eq!(
            (second.fetch_bytes, second.write_blocks, second.equal_blocks),
            (800, 7, 8)
        );
        let kinds: Vec<(i32, u64)> = fetches(&plan)
            .iter()
            .map(|fetch| (fetch.kind, fetch.count))
            .collect();
        let expected = [
            api::FetchKind::Patches,
            api::FetchKind::Frames,
            api::FetchKind::Overhead,
        ]
        .map(i32::from);
        assert_eq!(kinds, [(expected[0], 1), (expected[1], 2), (expected[2], 1)]);
    }
}
