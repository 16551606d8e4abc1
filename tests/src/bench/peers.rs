//! What other people's tools would fetch for the same change of the same image, and what it costs them to apply it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::tools::Tool;

const LIMIT: Duration = Duration::from_secs(30 * 60);
const BLOCK: usize = 4096;

/// What an upgrade costs.
pub struct Cost {
    /// Bytes that are fetched.
    pub fetched: u64,
    /// Seconds and peak memory in KiB to apply it, where the tool can be watched doing so.
    pub applied: Option<Applied>,
}

/// How long a program ran, for how long it had a processor, and how much memory it took at most.
#[derive(Clone, Copy)]
pub struct Applied {
    pub seconds: f64,
    pub cpu: f64,
    pub peak_kib: u64,
}

/// A tool that is measured: its name, and how.
pub type Peer = (&'static str, fn(&Pair) -> Result<Cost>);

/// Two images, and a folder for what is made of them.
pub struct Pair {
    pub old: PathBuf,
    pub new: PathBuf,
    pub folder: PathBuf,
}

/// Every peer. RAUC and desync are counted, not run: see the functions.
pub const PEERS: &[Peer] = &[
    ("zstd -19 --patch-from, whole image", zstd_patch),
    ("xdelta3 -9, whole image", xdelta3),
    ("casync, zstd chunks of 16 to 256 KiB", casync),
    ("zchunk", zchunk),
    ("block index of 4 KiB, as RAUC's", blocks),
];

/// Runs a program, and returns its output, times and memory.
pub fn watched(tool: &Tool) -> Result<(String, Applied)> {
    let report = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    let printed = tool.timed(report.path()).within(LIMIT).run()?;
    let said = fs::read_to_string(report.path())?;
    let mut numbers = said.split_whitespace();
    let mut number = || numbers.next().and_then(|word| word.parse::<f64>().ok());
    let mut applied = || {
        Some(Applied {
            seconds: number()?,
            peak_kib: number()? as u64,
            cpu: number()? + number()?,
        })
    };
    Ok((printed, applied().context("`time` says nothing")?))
}

fn zstd_patch(pair: &Pair) -> Result<Cost> {
    let (patch, out) = (pair.folder.join("image.zst"), pair.folder.join("out.img"));
    let from = format!("--patch-from={}", pair.old.display());
    let pack = Tool::new("zstd").args(["-q", "-f", "-19", "--long=31", "-T0", &from]);
    pack.arg(&pair.new).arg("-o").arg(&patch).within(LIMIT).run()?;
    let apply = Tool::new("zstd").args(["-q", "-f", "-d", "--long=31", "--memory=2048MB", &from]);
    let (_, applied) = watched(&apply.arg(&patch).arg("-o").arg(&out))?;
    same(&pair.new, &out)?;
    cost(&patch, Some(applied))
}

fn xdelta3(pair: &Pair) -> Result<Cost> {
    let (patch, out) = (pair.folder.join("image.vcdiff"), pair.folder.join("out.img"));
    let pack = Tool::new("xdelta3").args(["-e", "-f", "-9", "-B", "536870912", "-s"]);
    pack.args([&pair.old, &pair.new, &patch]).within(LIMIT).run()?;
    let apply = Tool::new("xdelta3").args(["-d", "-f", "-B", "536870912", "-s"]);
    let (_, applied) = watched(&apply.args([&pair.old, &patch, &out]))?;
    same(&pair.new, &out)?;
    cost(&patch, Some(applied))
}

/// Chunks of the new image that the old one does not have, and the index.
fn casync(pair: &Pair) -> Result<Cost> {
    let store = |name: &str| pair.folder.join(format!("{name}.castr"));
    let index = |name: &str| pair.folder.join(format!("{name}.caibx"));
    for (name, image) in [("old", &pair.old), ("new", &pair.new)] {
        let make = Tool::new("casync").args(["make", "--compression=zstd"]);
        let make = make.arg(named("--store=", &store(name)));
        make.arg(index(name)).arg(image).within(LIMIT).run()?;
    }
    let known: HashSet<_> = files(&store("old"))?.into_iter().map(|(name, _)| name).collect();
    let fresh = files(&store("new"))?;
    let chunks: u64 = fresh
        .iter()
        .filter(|(name, _)| !known.contains(name))
        .map(|(_, len)| len)
        .sum();
    let out = pair.folder.join("out.img");
    fs::remove_file(&out).ok();
    let apply = Tool::new("casync")
        .args(["extract"])
        .arg(named("--store=", &store("new")));
    let (_, applied) = watched(&apply.arg(named("--seed=", &pair.old)).arg(index("new")).arg(&out))?;
    same(&pair.new, &out)?;
    Ok(Cost {
        fetched: chunks + fs::metadata(index("new"))?.len(),
        applied: Some(applied),
    })
}

/// zchunk reports itself what it would fetch.
fn zchunk(pair: &Pair) -> Result<Cost> {
    let packed = |name: &str| pair.folder.join(format!("{name}.zck"));
    for (name, image) in [("old", &pair.old), ("new", &pair.new)] {
        Tool::new("zck")
            .arg("-o")
            .arg(packed(name))
            .arg(image)
            .within(LIMIT)
            .run()?;
    }
    let size = Tool::new("zck_delta_size").args([packed("old"), packed("new")]);
    let said = size.run()?;
    let fetched = delta_of(&said).with_context(|| format!("zck_delta_size says {said:?}"))?;
    Ok(Cost {
        fetched,
        applied: None,
    })
}

/// Reads `Would download N of M bytes`.
fn delta_of(said: &str) -> Option<u64> {
    let after = said.split("download").nth(1)?;
    after.split_whitespace().find_map(|word| word.parse().ok())
}

/// Blocks of 4 KiB whose SHA-256 the old image does not have, as one zstd stream, and 32 bytes of index a block: what
/// RAUC's adaptive updates would fetch at the very least. RAUC fetches them one by one.
fn blocks(pair: &Pair) -> Result<Cost> {
    let mut known = HashSet::new();
    each_block(&pair.old, |block| {
        known.insert(block.to_vec());
        Ok(())
    })?;
    let (missing, packed) = (pair.folder.join("missing"), pair.folder.join("missing.zst"));
    let mut file = File::create(&missing)?;
    let mut count = 0;
    each_block(&pair.new, |block| {
        count += 1;
        if known.insert(block.to_vec()) {
            file.write_all(block)?;
        }
        Ok(())
    })?;
    let pack = Tool::new("zstd").args(["-q", "-f", "-19", "-T0"]);
    pack.arg(&missing).arg("-o").arg(&packed).within(LIMIT).run()?;
    Ok(Cost {
        fetched: fs::metadata(&packed)?.len() + count * 32,
        applied: None,
    })
}

fn each_block(path: &Path, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut block = [0; BLOCK];
    for _ in 0..fs::metadata(path)?.len() / BLOCK as u64 {
        file.read_exact(&mut block)?;
        each(&block)?;
    }
    Ok(())
}

/// Lists the files under a folder with their lengths.
fn files(folder: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            for (name, len) in files(&entry.path())? {
                found.push((Path::new(&entry.file_name()).join(name), len));
            }
        } else {
            found.push((entry.file_name().into(), entry.metadata()?.len()));
        }
    }
    Ok(found)
}

fn cost(patch: &Path, applied: Option<Applied>) -> Result<Cost> {
    Ok(Cost {
        fetched: fs::metadata(patch)?.len(),
        applied,
    })
}

fn same(wanted: &Path, made: &Path) -> Result<()> {
    let equal = Tool::new("cmp").arg("-s").args([wanted, made]).end()?.success;
    ensure!(equal, "{} was not made again", wanted.display());
    Ok(())
}

fn named(option: &str, path: &Path) -> String {
    format!("{option}{}", path.display())
}
