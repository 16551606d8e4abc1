//! Disk images for people who use other flashers, and for clouds, with a checksum beside each.
//!
//! The flash tool's library writes the raw image: there is one writer for cards and for files. The other formats are made of it.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use flash_tool::watch::Silent;
use flash_tool::{ApplyError, BundleFacts, Options, PlanError};
use layout::{Guids, LayoutError};
use manifest::TrustedKey;
use medium::FileMedium;

use crate::{bmap, hash, qcow2};

/// How hard zstd tries: a download is made once, and unpacked as fast at any level.
const LEVEL: i32 = 12;

/// A format of disk images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Format {
    /// The bytes of the disk in a sparse file, with a block map for bmaptool.
    Raw,
    /// For QEMU and clouds, compressed.
    Qcow2,
    /// The bytes of the disk, compressed by zstd.
    #[value(name = "raw.zst")]
    RawZst,
}

impl Format {
    /// Returns what the names of such files end with.
    pub const fn extension(self) -> &'static str {
        match self {
            Format::Raw => "img",
            Format::Qcow2 => "qcow2",
            Format::RawZst => "img.zst",
        }
    }
}

/// A disk image could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DiskImageError {
    /// A file could not be read or written.
    #[error("cannot access {path}")]
    Access {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The bundle is not good.
    #[error("cannot read the bundle {path}")]
    Bundle {
        /// The bundle.
        path: PathBuf,
        /// Why.
        #[source]
        source: bundle::Error,
    },
    /// The disk cannot be laid out.
    #[error("cannot lay out the disk image")]
    Layout(#[from] LayoutError),
    /// The bundle does not fit the layout.
    #[error("cannot lay out the disk image")]
    Plan(#[from] PlanError),
    /// Writing failed.
    #[error("cannot write the disk image {path}")]
    Apply {
        /// The image.
        path: PathBuf,
        /// Why.
        #[source]
        source: ApplyError,
    },
}

/// A disk image.
pub struct DiskImage {
    /// Its format.
    pub format: Format,
    /// The file. `sha256sum --check` finds its checksum beside it, and `bmaptool` the block map of a raw one.
    pub image: PathBuf,
    /// The length of the disk, in bytes.
    pub size: u64,
}

/// Writes a bundle to new disk images in these formats, of the smallest size that holds it; the node grows it on first boot.
///
/// The same bundle gives the same bytes, so all disks made from one image bear the same disk GUID: two of them in one
/// machine cannot be distinguished. The flash tool draws a new one for each disk.
pub fn make(
    bundle: &Path,
    keys: &[TrustedKey],
    formats: &[Format],
) -> Result<Vec<DiskImage>, DiskImageError> {
    let fault = |source| DiskImageError::Bundle {
        path: bundle.to_owned(),
        source,
    };
    let file = File::open(bundle).map_err(access(bundle))?;
    let mut reader = bundle::Reader::open(BufReader::new(file), keys).map_err(fault)?;
    let facts = BundleFacts::of(&reader);
    let size = facts.least()?;
    let guids = Guids::from_seed(&facts.manifest().id().0);
    let plan = flash_tool::plan(
        &facts,
        size,
        Options {
            guids,
            config: None,
            discard: false,
        },
    )?;

    let image = bundle.with_extension(Format::Raw.extension());
    let (file, partial) = begin(&image)?;
    file.set_len(size).map_err(access(&partial))?;
    let mut medium = FileMedium::new(file).map_err(access(&partial))?;
    flash_tool::apply(&plan, &mut reader, &mut medium, &mut Silent).map_err(|source| {
        DiskImageError::Apply {
            path: image.clone(),
            source,
        }
    })?;
    drop(medium);

    let mut formats = formats.to_vec();
    formats.sort();
    formats.dedup();
    let mut images = Vec::new();
    for format in formats.iter().copied().filter(|format| *format != Format::Raw) {
        images.push(packed(&partial, size, format, bundle)?);
    }
    if !formats.contains(&Format::Raw) {
        fs::remove_file(&partial).map_err(access(&partial))?;
        return Ok(images);
    }
    fs::rename(&partial, &image).map_err(access(&image))?;
    let ranges: Vec<_> = plan
        .extents()
        .iter()
        .map(|extent| extent.start..extent.end())
        .collect();
    let mut file = File::open(&image).map_err(access(&image))?;
    let text = bmap::write(&mut file, size, &ranges).map_err(access(&image))?;
    let block_map = bundle.with_extension("img.bmap");
    fs::write(&block_map, text).map_err(access(&block_map))?;

    sign_off(&image)?;
    let raw = DiskImage {
        format: Format::Raw,
        image,
        size,
    };
    images.insert(0, raw);
    Ok(images)
}

/// Makes an image in another format of a raw one.
fn packed(raw: &Path, size: u64, format: Format, bundle: &Path) -> Result<DiskImage, DiskImageError> {
    let image = bundle.with_extension(format.extension());
    let (file, partial) = begin(&image)?;
    let mut disk = BufReader::with_capacity(1 << 20, File::open(raw).map_err(access(raw))?);
    let mut out = BufWriter::new(file);
    let written = match format {
        Format::Raw => io::copy(&mut disk, &mut out).map(drop),
        Format::Qcow2 => qcow2::write(&mut disk, size, &mut out),
        Format::RawZst => compress(&mut disk, size, &mut out),
    };
    written.and_then(|()| out.flush()).map_err(access(&partial))?;
    fs::rename(&partial, &image).map_err(access(&image))?;
    sign_off(&image)?;
    Ok(DiskImage { format, image, size })
}

fn compress(disk: &mut impl io::Read, size: u64, out: &mut impl io::Write) -> io::Result<()> {
    let mut encoder = zstd::stream::Encoder::new(out, LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(size))?;
    io::copy(disk, &mut encoder)?;
    encoder.finish().map(drop)
}

/// Opens a file that has another name until it is whole. Removed first, so that no old byte remains where nothing is written.
fn begin(image: &Path) -> Result<(File, PathBuf), DiskImageError> {
    let mut partial = image.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let _ = fs::remove_file(&partial);
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&partial);
    Ok((file.map_err(access(&partial))?, partial))
}

/// Writes the checksum of a file beside it, for `sha256sum --check`.
fn sign_off(image: &Path) -> Result<(), DiskImageError> {
    let name = image
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let line = format!("{}  {name}\n", hash::of_file(image).map_err(access(image))?);
    let checksum = image.with_file_name(format!("{name}.sha256"));
    fs::write(&checksum, line).map_err(access(&checksum))
}

fn access(path: &Path) -> impl FnOnce(io::Error) -> DiskImageError + use<> {
    let path = path.to_owned();
    move |source| DiskImageError::Access { path, source }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::Command;

    use samples::{Recipe, Signer, noise};

    use super::*;

    /// Runs other people's tools on the images; one that is not there is skipped by name.
    #[test]
    fn every_format_is_the_same_disk() {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("bedplate-test-1.2.3.bundle");
        let signer = Signer::default();
        let release = Recipe::new("1.2.3", noise(300_000, 2)).build(&signer);
        fs::write(&bundle, &release.bundle).unwrap();
        let keys = [signer.key()];
        let all = [Format::Qcow2, Format::Raw, Format::RawZst, Format::Raw];
        let images = make(&bundle, &keys, &all).unwrap();
        let formats: Vec<Format> = images.iter().map(|image| image.format).collect();
        assert_eq!(formats, [Format::Raw, Format::Qcow2, Format::RawZst]);
        let [raw, qcow2, packed] = &images[..] else {
            panic!("{formats:?}")
        };
        let disk = fs::read(&raw.image).unwrap();
        assert!(disk.len() as u64 == raw.size && packed.size == raw.size);
        assert!(raw.image.with_extension("img.bmap").exists());

        let mut unpacked = Vec::with_capacity(disk.len());
        let mut decoder = zstd::stream::Decoder::new(File::open(&packed.image).unwrap()).unwrap();
        decoder.read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == disk, "the unpacked image differs");
        for image in [qcow2, packed] {
            let len = fs::metadata(&image.image).unwrap().len();
            assert!(len < 4 << 20, "{:?} takes {len} bytes", image.format);
        }

        let path = |image: &DiskImage| image.image.to_str().unwrap().to_owned();
        judge(
            "sha256sum",
            &["--check", &format!("{}.sha256", path(qcow2))],
            folder.path(),
        );
        judge(
            "sha256sum",
            &["--check", &format!("{}.sha256", path(packed))],
            folder.path(),
        );
        judge("qemu-img", &["check", "-f", "qcow2", &path(qcow2)], folder.path());
        let compare = ["compare", "-f", "raw", "-F", "qcow2", &path(raw), &path(qcow2)];
        judge("qemu-img", &compare, folder.path());

        let alone = tempfile::tempdir().unwrap();
        let again = alone.path().join("bedplate-test-1.2.3.bundle");
        fs::copy(&bundle, &again).unwrap();
        make(&again, &keys, &[Format::Qcow2]).unwrap();
        let names = fs::read_dir(alone.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        let [bundle, image, checksum] =
            ["bundle", "qcow2", "qcow2.sha256"].map(|end| format!("bedplate-test-1.2.3.{end}"));
        assert_eq!(names, [bundle, image.clone(), checksum], "the raw image is gone");
        let same = fs::read(alone.path().join(image)).unwrap() == fs::read(&qcow2.image).unwrap();
        assert!(same, "the same bytes again");
    }

    fn judge(program: &str, arguments: &[&str], folder: &Path) {
        match Command::new(program).args(arguments).current_dir(folder).output() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                eprintln!("skipped: {program} is not there")
            }
            done => {
                let done = done.unwrap();
                let said = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
                assert!(done.status.success(), "{program} {arguments:?}: {said:?}");
            }
        }
    }
}
