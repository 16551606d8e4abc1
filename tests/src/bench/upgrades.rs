//! What upgrades cost, for three kinds of change, compared with other people's tools on the same images in the same run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use layout::Name;
use serde_json::Value;

use super::peers::{PEERS, Pair, watched};
use super::{Row, megabytes, row};
use crate::disk::Disk;
use crate::tools::{self, Tool};
use crate::workshop::{BINARIES, Workshop};

const BOARD: &str = "qemu-arm64";

/// A kind of change: how the older and the newer release are built, beyond their versions.
struct Change {
    name: &'static str,
    goal: &'static str,
    old: &'static [&'static str],
    new: &'static [&'static str],
    /// Set when the older release has an agent that is compiled otherwise.
    other_agent: bool,
}

impl Change {
    /// Builds both releases into a folder; the newer one has patches from the older.
    fn build(&self, workshop: &Workshop, folder: &Path) -> Result<[PathBuf; 2]> {
        let build = |version: &str, options: &[&str]| {
            let options = [&["--version", version], options].concat();
            workshop.build_release(BOARD, "release", &folder.join(version), &options)
        };
        let other = tools::target().join(OTHER).display().to_string();
        let agent: &[&str] = if self.other_agent {
            &[BINARIES, &other]
        } else {
            &[]
        };
        let old = build("1.0.0", &[self.old, agent].concat())?;
        let from = old.display().to_string();
        let new = build("1.1.0", &[self.new, &["--patch-from", &from]].concat())?;
        Ok([old, new])
    }
}

/// The folder of programs whose agent is compiled otherwise.
const OTHER: &str = "node-other";

/// Kinds of change.
const CHANGES: &[Change] = &[
    Change {
        name: "one file",
        goal: "goal: at most 2 %; a file of a few lines",
        old: &[],
        new: &[],
        other_agent: false,
    },
    Change {
        name: "the agent",
        goal: "the same source, compiled otherwise: nearly every function is elsewhere",
        old: &[],
        new: &[],
        other_agent: true,
    },
    Change {
        name: "monthly",
        goal: "goal: at most 12 %; kernel 6.12.107 to the lock's, and the agent compiled otherwise",
        old: &["--lock", "tests/bench/packages-older.lock.yaml"],
        new: &[],
        other_agent: true,
    },
    Change {
        name: "major jump",
        goal: "goal: at most 100 %; to another flavour of the kernel (rt)",
        old: &[],
        new: &["--tree", ".", "--tree", "tests/bench/major"],
        other_agent: false,
    },
];

/// Measures every change with our own upgrade and with every peer.
pub fn measure(workshop: &Workshop) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for change in CHANGES {
        eprintln!("upgrade: {}", change.name);
        rows.extend(one(workshop, change).with_context(|| format!("change {:?}", change.name))?);
    }
    Ok(rows)
}

/// Builds both releases of a change into a folder.
pub fn releases(workshop: &Workshop, change: &str, folder: &Path) -> Result<[PathBuf; 2]> {
    let named = CHANGES.iter().find(|known| known.name == change);
    let change = named.with_context(|| format!("there is no change {change:?}"))?;
    change.build(workshop, folder)
}

fn one(workshop: &Workshop, change: &Change) -> Result<Vec<Row>> {
    let folder = workshop
        .folder()
        .join("upgrades")
        .join(change.name.replace(' ', "-"));
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let [old, new] = change.build(workshop, &folder)?;
    let pair = Pair {
        old: folder.join("old.img"),
        new: folder.join("new.img"),
        folder: folder.clone(),
    };
    let slot = folder.join("old.slot");
    slots(workshop, &old, &pair.old, Some(&slot))?;
    slots(workshop, &new, &pair.new, None)?;
    let (ours, full) = ours(workshop, change, &new, &slot)?;
    let mut rows = vec![ours];
    for (name, measure) in PEERS {
        eprintln!("  {name}");
        let cost = measure(&pair).with_context(|| format!("measuring {name}"))?;
        let applied = cost.applied.map_or(String::new(), |applied| {
            format!(
                ", applied in {:.1} s with {} MiB",
                applied.seconds,
                applied.peak_kib / 1024
            )
        });
        rows.push(row(
            &format!("upgrade, {}: {name}", change.name),
            megabytes(cost.fetched),
            &format!("{:.1} %{applied}", percent(cost.fetched, full)),
        ));
    }
    fs::remove_dir_all(&folder)?;
    Ok(rows)
}

/// Upgrades a slot in a file with the engine that nodes use. Also returns what a whole upgrade would fetch.
fn ours(workshop: &Workshop, change: &Change, bundle: &Path, old: &Path) -> Result<(Row, u64)> {
    let target = old.with_extension("target");
    File::create(&target)?.set_len(fs::metadata(old)?.len())?;
    let install = Tool::new(tools::target().join("release/examples/install"))
        .arg(bundle)
        .arg(workshop.key("release")?.public)
        .args([old, &target]);
    let (printed, applied) = watched(&install)?;
    let report: Value = serde_json::from_str(&printed).context("the upgrade prints no JSON")?;
    let number = |field: &str| report[field].as_u64().unwrap_or_default();
    let (fetched, written) = (number("fetched"), number("written"));
    let row = row(
        &format!("upgrade, {}: bedplate", change.name),
        megabytes(fetched),
        &format!(
            "{:.1} % of a whole one ({}), {} written and read back in {:.1} s with {} MiB; {}",
            percent(fetched, number("full")),
            megabytes(number("full")),
            megabytes(written),
            applied.seconds,
            applied.peak_kib / 1024,
            change.goal,
        ),
    );
    Ok((row, number("full")))
}

/// Lays out a bundle's slot image in a file, and the whole partition in another.
fn slots(workshop: &Workshop, bundle: &Path, image: &Path, partition: Option<&PathBuf>) -> Result<()> {
    let disk: Disk = workshop.flash(bundle, &image.with_extension("disk"), None)?;
    let size = disk.manifest(::slots::Slot::A)?.slot.size;
    disk.extract(Name::SlotA, 0, size, image)?;
    if let Some(partition) = partition {
        disk.extract(Name::SlotA, 0, disk.extent(Name::SlotA)?.len, partition)?;
    }
    Ok(fs::remove_file(disk.path())?)
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}
