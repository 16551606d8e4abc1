//! What flashing costs, compared with the tools that people use, on the same disk in the same run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::loop_disk::LoopDisk;
use super::peers::watched;
use super::throttle::{Speed, Throttle};
use super::upgrades::releases;
use super::{BOOTED_BOARD, Row, megabytes, row};
use crate::tools::Tool;
use crate::workshop::Workshop;

/// How slow the disk is made: not at all, and as a good SD card is.
const SETTINGS: [(&str, Option<Speed>); 2] = [
    ("unthrottled", None),
    (
        "30 MB/s writes, 100 MB/s reads",
        Some(Speed {
            write: 30_000_000,
            read: 100_000_000,
        }),
    ),
];

/// The size of the disk, in bytes: room for both slots.
const DISK: u64 = 2 << 30;

/// What is flashed.
struct Systems {
    folder: PathBuf,
    key: PathBuf,
    raw: PathBuf,
    /// An older release, a patch and a month before, and the one that is flashed.
    before: [(&'static str, PathBuf); 2],
    now: PathBuf,
}

/// What one run of a tool took.
struct Taken {
    seconds: f64,
    cpu: f64,
    peak_kib: u64,
    written: u64,
    printed: String,
}

/// Writes the same system with every tool, one right after the other, on a fast disk and on a slow one.
pub fn measure(workshop: &Workshop) -> Result<Vec<Row>> {
    let systems = Systems::build(workshop)?;
    let mut rows = Vec::new();
    for (name, speed) in SETTINGS {
        rows.extend(
            systems
                .measure(name, speed)
                .with_context(|| format!("flashing, {name}"))?,
        );
    }
    fs::remove_dir_all(&systems.folder)?;
    Ok(rows)
}

impl Systems {
    fn build(workshop: &Workshop) -> Result<Systems> {
        let folder = workshop.folder().join("flash");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let [patch, _] = releases(workshop, "the agent", &folder.join("patch"))?;
        let [month, _] = releases(workshop, "monthly", &folder.join("month"))?;
        let raw = workshop.build_disk_image(BOOTED_BOARD, &folder.join("raw"))?;
        let pack = |program: Tool| program.arg(&raw).run();
        pack(Tool::new("gzip").args(["--keep", "--force"]))?;
        pack(Tool::new("zstd").args(["-q", "--keep", "--force", "-T0", "-9"]))?;
        Ok(Systems {
            folder,
            key: workshop.key("release")?.public,
            raw,
            before: [("a patch", patch), ("a month", month)],
            now: workshop.bundle(BOOTED_BOARD)?,
        })
    }

    fn measure(&self, setting: &str, speed: Option<Speed>) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut add = |what: &str, taken: &Taken, more: &str| {
            rows.push(row(
                &format!("flashing, {setting}: {what}"),
                format!("{:.1} s", taken.seconds),
                &format!(
                    "{} written, {:.1} s of CPU, {} MiB{more}",
                    megabytes(taken.written),
                    taken.cpu,
                    taken.peak_kib / 1024
                ),
            ));
        };
        let dd = |disk: &Path| {
            let dd = Tool::new("dd").args(["bs=4M", "conv=fsync", "status=none"]);
            dd.arg(named("if=", &self.raw)).arg(named("of=", disk))
        };
        add("dd, nothing verified", &self.once(speed, None, dd)?, "");
        let mut best = f64::INFINITY;
        for suffix in ["", ".gz", ".zst"] {
            let image = PathBuf::from(format!("{}{suffix}", self.raw.display()));
            let copy = |disk: &Path| {
                let copy = Tool::new("bmaptool").args(["copy", "--bmap"]);
                copy.arg(self.raw.with_extension("img.bmap"))
                    .arg(&image)
                    .arg(disk)
            };
            let taken = self.once(speed, None, copy)?;
            add(
                &format!("bmaptool, .img{suffix}, the source verified"),
                &taken,
                "",
            );
            best = best.min(taken.seconds);
        }
        let first = self.once(speed, None, |disk| self.flash(&self.now, disk))?;
        let more = format!(
            "; {:.2} of bmaptool's best; {}",
            first.seconds / best,
            limit(&first)?
        );
        add("bedplate-flash, all verified and read back", &first, &more);
        for (name, older) in &self.before {
            let next = self.once(speed, Some(older), |disk| self.flash(&self.now, disk))?;
            let share = next.seconds / first.seconds;
            let more = format!("; {share:.2} of the first; {}", limit(&next)?);
            add(
                &format!("bedplate-flash, over the release of {name} before"),
                &next,
                &more,
            );
        }
        Ok(rows)
    }

    /// Runs a tool on a disk that holds something else, or an older release.
    fn once(
        &self,
        speed: Option<Speed>,
        older: Option<&Path>,
        tool: impl Fn(&Path) -> Tool,
    ) -> Result<Taken> {
        let used = fs::metadata(&self.raw)?.len();
        let disk = LoopDisk::new(self.folder.join("disk.img"), DISK, used)?;
        if let Some(older) = older {
            self.flash(older, disk.device()).run()?;
        }
        // Other writes still on their way would be counted, too; and what was written must not be in memory.
        Tool::new("sync").run()?;
        fs::write("/proc/sys/vm/drop_caches", "1")?;
        // The image is warm for all of them.
        for source in [&self.raw, &self.now] {
            fs::read(source)?;
        }
        let before = disk.written()?;
        let _slow = speed
            .map(|speed| Throttle::new(&disk.numbers()?, speed))
            .transpose()?;
        let (printed, applied) = watched(&tool(disk.device()))?;
        Ok(Taken {
            seconds: applied.seconds,
            cpu: applied.cpu,
            peak_kib: applied.peak_kib,
            written: disk.written()? - before,
            printed,
        })
    }

    fn flash(&self, bundle: &Path, disk: &Path) -> Tool {
        let flash = Tool::ours("bedplate-flash").args(["--yes", "--output", "json", "--key"]);
        flash.arg(&self.key).arg(bundle).arg(disk)
    }
}

/// Returns which stage the flash tool waited for.
fn limit(taken: &Taken) -> Result<String> {
    let report: Value = serde_json::from_str(&taken.printed).context("bedplate-flash prints no JSON")?;
    let limit = report["report"]["limitedBy"]
        .as_str()
        .context("it says nothing of a limit")?;
    Ok(format!("limited by {limit}"))
}

fn named(option: &str, path: &Path) -> String {
    format!("{option}{}", path.display())
}
