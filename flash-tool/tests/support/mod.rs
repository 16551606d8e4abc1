//! Small signed bundles, media that live in memory and fail on demand, and a machine config.

#![allow(dead_code, reason = "each test file uses a part")]
#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

pub mod fleet;
pub mod followed;
pub mod program;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Cursor};
use std::path::PathBuf;

use bundle::{ImageName, Reader, Writer};
use flash_tool::config::Injected;
use flash_tool::plan::Plan;
use flash_tool::watch::Silent;
use flash_tool::{ApplyError, BundleFacts, Options, apply, plan};
#[allow(unused_imports, reason = "each test file uses a part")]
pub use followed::Followed;
use layout::{Guids, Table};
use manifest::model::Version;
use manifest::{Arch, Disk, Image, Manifest, PartKind, TrustedKey};
use medium::Medium;
use samples::Signer;
#[allow(unused_imports, reason = "each test file uses a part")]
pub use samples::{CONFIG, noise};

pub const MIB: u64 = 1024 * 1024;

/// The content of a bundle.
#[derive(Clone)]
pub struct Recipe {
    pub root: Vec<u8>,
    pub slot_size: u64,
    pub first_partition: u64,
    pub bootcode: Option<(u64, Vec<u8>)>,
    pub esp: bool,
    /// The ESP as a whole, in place of bytes that are no file system.
    pub volume: Option<Vec<u8>>,
    /// One more image: its name, its offset when it belongs to no partition, its bytes.
    pub other: Option<(&'static str, Option<u64>, Vec<u8>)>,
    pub hybrid: bool,
    /// A byte of the system that is another one than its hash tree was made of.
    pub spoiled: Option<usize>,
    pub board: &'static str,
    pub version: Version,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            root: [noise(300_000, 1), vec![0; 200_000], noise(50_000, 2)].concat(),
            slot_size: 4 * MIB,
            first_partition: MIB,
            bootcode: Some((32768, noise(9000, 3))),
            esp: true,
            volume: None,
            other: None,
            hybrid: true,
            spoiled: None,
            board: "test",
            version: Version {
                major: 1,
                minor: 2,
                patch: 3,
            },
        }
    }
}

/// A signed bundle and the key for it.
pub struct Sample {
    pub dir: tempfile::TempDir,
    pub bytes: Vec<u8>,
    pub bundle: PathBuf,
    pub key_file: PathBuf,
    pub key: TrustedKey,
    pub slot: Vec<u8>,
    pub manifest: Manifest,
}

impl Sample {
    pub fn reader(&self) -> Reader<File> {
        Reader::open(File::open(&self.bundle).unwrap(), &[self.key]).unwrap()
    }

    pub fn facts(&self) -> BundleFacts {
        BundleFacts::of(&self.reader())
    }
}

pub fn sample(recipe: &Recipe) -> Sample {
    sample_by(&Signer::default(), recipe)
}

pub fn sample_by(signer: &Signer, recipe: &Recipe) -> Sample {
    let (mut slot, slot_image) = samples::slot_image(&[
        (PartKind::Kernel, "vmlinuz", &noise(9000, 11)),
        (PartKind::Initramfs, "initramfs", &b"0707010".repeat(3000)),
        (PartKind::Root, "root.erofs", &recipe.root),
    ]);
    if let Some(at) = recipe.spoiled {
        slot[at] ^= 1;
    }
    let mut writer = Writer::new(Cursor::new(Vec::new())).frame_len(65536).level(1);
    writer.add(ImageName::SLOT, 0, &mut &slot[..]).unwrap();
    if let Some(volume) = &recipe.volume {
        writer.add(ImageName::ESP, 0, &mut &volume[..]).unwrap();
    } else if recipe.esp {
        writer
            .add(
                ImageName::ESP,
                0,
                &mut &[&noise(512, 4)[..], &[0; 130_560]].concat()[..],
            )
            .unwrap();
        writer
            .add(ImageName::ESP, 5 * MIB, &mut &b"loader".repeat(5000)[..])
            .unwrap();
    }
    if let Some((_, code)) = &recipe.bootcode {
        writer.add(ImageName::BOOTCODE, 0, &mut &code[..]).unwrap();
    }
    if let Some((name, _, data)) = &recipe.other {
        writer.add(name.parse().unwrap(), 0, &mut &data[..]).unwrap();
    }
    let sealed = writer.seal();
    let image = |name, offset, size| Image {
        name,
        offset,
        size,
        sha256: sealed.sha256(name),
    };
    let mut images = vec![image(ImageName::SLOT, None, slot.len() as u64)];
    images.extend(recipe.esp.then(|| {
        let len = recipe
            .volume
            .as_ref()
            .map_or(128 * MIB, |volume| volume.len() as u64);
        image(ImageName::ESP, None, len)
    }));
    images.extend(
        recipe
            .bootcode
            .as_ref()
            .map(|(at, code)| image(ImageName::BOOTCODE, Some(*at), code.len() as u64)),
    );
    images.extend(
        recipe
            .other
            .as_ref()
            .map(|(name, at, data)| image(name.parse().unwrap(), *at, data.len() as u64)),
    );
    let manifest = Manifest {
        format: 1,
        board: recipe.board.into(),
        arch: Arch::Arm64,
        version: recipe.version,
        created: 1_700_000_000,
        overlays: vec!["base".into()],
        locked: true,
        cmdline: "console=ttyAMA0".into(),
        disk: Disk {
            slot_size: recipe.slot_size,
            first_partition: recipe.first_partition,
            hybrid_mbr: recipe.hybrid,
        },
        images,
        slot: slot_image,
        index: sealed.index(),
        device_trees: None,
        keys: Vec::new(),
        floor: Version::default(),
        patches: Vec::new(),
    };
    let json = manifest.to_json().unwrap();
    let mut bytes = Vec::new();
    sealed
        .write(&mut bytes, &json, signer.sign(&json).as_bytes())
        .unwrap();

    let dir = tempfile::tempdir().unwrap();
    let (bundle, key_file) = (dir.path().join("test.bundle"), dir.path().join("test.pub"));
    fs::write(&bundle, &bytes).unwrap();
    fs::write(&key_file, signer.key().to_line()).unwrap();
    Sample {
        dir,
        bytes,
        bundle,
        key_file,
        key: signer.key(),
        slot,
        manifest,
    }
}

pub fn options(config: Option<&str>) -> Options {
    let parse = |text: &str| {
        Injected::parse("node.yaml".as_ref(), text.to_owned().into(), &Default::default()).unwrap()
    };
    Options {
        guids: Guids::from_seed(b"test"),
        config: config.map(parse),
        discard: false,
    }
}

/// A size that is large enough, but not whole MiB.
pub const MEDIUM: u64 = 300 * MIB + 5 * 512;

pub fn planned(sample: &Sample, config: Option<&str>) -> Plan {
    plan(&sample.facts(), MEDIUM, options(config)).unwrap()
}

pub fn flash(plan: &Plan, sample: &Sample, medium: &mut Memory) -> Result<flash_tool::Report, ApplyError> {
    apply(plan, &mut sample.reader(), medium, &mut Silent)
}

pub fn has_table(medium: &Memory) -> bool {
    Table::read(&mut AsFile::new(medium)).is_ok()
}

/// A sparse medium that records its writes, and fails on demand.
#[derive(Clone, Default)]
pub struct Memory {
    pub len: u64,
    pub blocks: BTreeMap<u64, Vec<u8>>,
    /// The value of blocks that were never written.
    pub fill: u8,
    pub writes: Vec<(u64, u64)>,
    /// The number of writes that still succeed; `None` is all.
    pub writes_left: Option<usize>,
    /// Blocks that lose their writes.
    pub dead: Vec<u64>,
    pub syncs: usize,
}

const BLOCK: u64 = 4096;

impl Memory {
    pub fn new(len: u64) -> Self {
        Self {
            len,
            ..Self::default()
        }
    }

    pub fn read(&self, offset: u64, len: u64) -> Vec<u8> {
        let mut out = vec![0; len as usize];
        self.clone_range(offset, &mut out);
        out
    }

    fn clone_range(&self, offset: u64, out: &mut [u8]) {
        let mut at = 0;
        while at < out.len() {
            let place = offset + at as u64;
            let start = (place % BLOCK) as usize;
            let len = (BLOCK as usize - start).min(out.len() - at);
            match self.blocks.get(&(place / BLOCK)) {
                Some(block) => out[at..at + len].copy_from_slice(&block[start..start + len]),
                None => out[at..at + len].fill(self.fill),
            }
            at += len;
        }
    }
}

impl Medium for Memory {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        assert!(offset + out.len() as u64 <= self.len, "read beyond the end");
        self.clone_range(offset, out);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        assert!(offset + bytes.len() as u64 <= self.len, "write beyond the end");
        match &mut self.writes_left {
            Some(0) => return Err(io::Error::other("the power is gone")),
            Some(left) => *left -= 1,
            None => {}
        }
        self.writes.push((offset, bytes.len() as u64));
        let mut at = 0;
        while at < bytes.len() {
            let place = offset + at as u64;
            let start = (place % BLOCK) as usize;
            let len = (BLOCK as usize - start).min(bytes.len() - at);
            if !self.dead.contains(&(place / BLOCK)) {
                let fill = self.fill;
                let block = self
                    .blocks
                    .entry(place / BLOCK)
                    .or_insert_with(|| vec![fill; BLOCK as usize]);
                block[start..start + len].copy_from_slice(&bytes[at..at + len]);
            }
            at += len;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.syncs += 1;
        if self.writes_left == Some(0) {
            Err(io::Error::other("the power is gone"))
        } else {
            Ok(())
        }
    }

    fn drop_cache(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file view of a memory.
#[derive(Debug)]
pub struct AsFile<'a> {
    memory: &'a Memory,
    at: u64,
}

impl<'a> AsFile<'a> {
    pub fn new(memory: &'a Memory) -> Self {
        Self { memory, at: 0 }
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len)
    }
}

impl io::Read for AsFile<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = out.len().min((self.memory.len - self.at) as usize);
        self.memory.clone_range(self.at, &mut out[..len]);
        self.at += len as u64;
        Ok(len)
    }
}

impl io::Seek for AsFile<'_> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.at = match to {
            io::SeekFrom::Start(at) => at,
            io::SeekFrom::End(by) => self.memory.len.checked_add_signed(by).unwrap(),
            io::SeekFrom::Current(by) => self.at.checked_add_signed(by).unwrap(),
        };
        Ok(self.at)
    }
}
