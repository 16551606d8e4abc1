//! Unpacks a bundle into files that other tools can read.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bundle::{ImageName, Reader};
use fatfs::{FileSystem, FsOptions};
use manifest::{Manifest, TrustedKey};

use super::job::{CheckError, Job, Outcome};
use crate::loader;
use crate::process;

/// A bundle's parts as files in a scratch folder.
pub struct Subject {
    /// What the bundle says of itself; its signature holds.
    pub manifest: Manifest,
    /// The slot image.
    pub slot: PathBuf,
    /// The EFI system partition; its free space is filled with a pattern, which must not matter.
    pub esp: PathBuf,
    /// The root file system.
    pub erofs: PathBuf,
    /// The root's files.
    pub root: PathBuf,
    /// Where all this is.
    pub scratch: tempfile::TempDir,
}

impl Subject {
    /// Unpacks a bundle. Every frame's hash is checked on the way.
    pub fn unpack(job: &Job<'_>) -> Result<Subject, CheckError> {
        let access = |path: &Path| {
            let path = path.to_owned();
            move |source| CheckError::Access { path, source }
        };
        let fault = |source| CheckError::Bundle {
            path: job.bundle.to_owned(),
            source,
        };
        let file = File::open(job.bundle).map_err(access(job.bundle))?;
        let mut reader = Reader::open(BufReader::new(file), job.keys).map_err(fault)?;
        let manifest: Manifest = (**reader.manifest()).clone();
        let scratch = tempfile::tempdir().map_err(access(Path::new("a temporary folder")))?;
        let mut unpack = |image: ImageName, name: &str, fill: u8| -> Result<PathBuf, CheckError> {
            let path = scratch.path().join(name);
            let file = File::create(&path).map_err(access(&path))?;
            let size = manifest.image(image).map_or(0, |image| image.size);
            if fill != 0 {
                io::copy(&mut io::repeat(fill).take(size), &mut &file).map_err(access(&path))?;
            }
            let mut data = Vec::new();
            for frame in reader.index().of(image).to_vec() {
                reader
                    .frame(&frame, &mut data)
                    .map_err(|source| CheckError::Damaged {
                        path: job.bundle.to_owned(),
                        source,
                    })?;
                file.write_all_at(&data, frame.raw_offset)
                    .map_err(access(&path))?;
            }
            Ok(path)
        };
        let slot = unpack(ImageName::SLOT, "slot.img", 0)?;
        let esp = unpack(ImageName::ESP, "esp.img", 0xa5)?;
        let erofs = scratch.path().join("root.erofs");
        let part = manifest.root();
        copy_range(&slot, part.offset, part.size, &erofs).map_err(access(&erofs))?;
        let root = scratch.path().join("root");
        let mut extract = job.erofs.command("fsck.erofs");
        extract
            .arg(format!("--extract={}", root.display()))
            .args(["--overwrite", "--preserve-perms"])
            .arg(&erofs);
        process::output(&mut extract)
            .map_err(io::Error::other)
            .map_err(access(&root))?;
        Ok(Subject {
            manifest,
            slot,
            esp,
            erofs,
            root,
            scratch,
        })
    }

    /// Checks that the loader on the ESP holds exactly the keys that were named.
    pub fn loader_keys(&self, keys: &[TrustedKey]) -> Outcome {
        match self
            .read_loader()
            .map_err(|error| error.to_string())
            .and_then(|loader| loader::keys(&loader).map_err(|error| error.to_string()))
        {
            Ok(found) if keys.iter().all(|key| found.contains(key)) => {
                Outcome::Passed(format!("{} keys", found.len()))
            }
            Ok(_) => Outcome::Failed("the loader does not trust all of the keys named with --key".into()),
            Err(error) => Outcome::Failed(error),
        }
    }

    fn read_loader(&self) -> io::Result<Vec<u8>> {
        let name = match self.manifest.arch {
            manifest::Arch::Arm64 => board::Arch::Arm64.efi_default(),
            manifest::Arch::Amd64 => board::Arch::Amd64.efi_default(),
        };
        // fatfs asks for a medium that can be written; the copy in the scratch folder may be.
        let medium = File::options().read(true).write(true).open(&self.esp)?;
        let volume = FileSystem::new(medium, FsOptions::new())?;
        let mut data = Vec::new();
        volume
            .root_dir()
            .open_file(&format!("EFI/BOOT/{name}"))?
            .read_to_end(&mut data)?;
        Ok(data)
    }
}

/// Copies a range of one file into a new one.
pub fn copy_range(from: &Path, start: u64, len: u64, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    source.seek(SeekFrom::Start(start))?;
    let mut target = fs::File::create(to)?;
    let copied = io::copy(&mut source.take(len), &mut target)?;
    if copied == len {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
