//! Reads the partition, and compares it with the release that runs.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use fat::Volume;
use firmware_files::{
    Difference, FILES, FirmwareFiles, Found, LIST, LONGEST_LIST, ListError, Listed, Trial, compare, faults,
    render,
};
use manifest::Digest;
use medium::{FileMedium, Medium};
use sha2::{Digest as _, Sha256};

use crate::memory::Memory;
use crate::places::Places;

/// The most bytes of unknown files that are read: what else is there is reported without a hash.
const MOST_BYTES: u64 = 256 << 20;

/// Why the partition was not compared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SurveyError {
    /// The release has no list, or one that cannot be read.
    #[error("cannot read {} of the running release", path.display())]
    Release {
        path: PathBuf,
        #[source]
        source: text::LoadError,
    },
    /// The release's list is not one.
    #[error(transparent)]
    List(#[from] ListError),
    /// A file of the release is not the one that its list names.
    #[error("{} of the running release is not what its list says", path.display())]
    Own { path: PathBuf },
    /// A file of the release cannot be read.
    #[error("cannot read {} of the running release", path.display())]
    ReadOwn {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The partition cannot be opened.
    #[error("cannot open the EFI system partition {}", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// What the loader is asked cannot be read or written.
    #[error("cannot ask the loader to have firmware files tried")]
    Mark(#[source] io::Error),
    /// The partition has no volume that can be followed.
    #[error("cannot read the EFI system partition")]
    Volume(#[from] fat::Error),
}

/// What a release wants on the partition.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The list of the release.
    pub list: FirmwareFiles,
    /// The files, with the lines of the machine config in the firmware's configuration.
    pub files: Vec<Listed>,
    /// The content of that configuration, with these lines.
    pub config: Option<(String, Vec<u8>)>,
    /// The same without them, as the release has it.
    plain: Option<Listed>,
    /// What is wrong with the lines. The configuration is then neither compared nor written.
    pub faults: Vec<String>,
}

/// The result of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Survey {
    /// What differs, by path.
    pub differences: Vec<(String, Difference)>,
    /// The version of the release whose files were on the partition when it was last in order; empty if that is not known.
    pub installed: String,
    /// The files of that moment: the board was started with them, but for those that are written without a trial.
    pub known: Vec<Listed>,
    /// Files that the firmware tries, or tried.
    pub tried: Vec<Found>,
}

impl Wanted {
    /// Reads what the running release wants.
    pub(crate) fn read(places: &Places, lines: &[String]) -> Result<Wanted, SurveyError> {
        let path = places.release.join(LIST);
        let text = text::load(&path, LONGEST_LIST).map_err(|source| SurveyError::Release { path, source })?;
        let list = FirmwareFiles::parse(&text)?;
        let mut wanted = Wanted {
            files: list.files.clone(),
            config: None,
            plain: None,
            faults: Vec::new(),
            list,
        };
        let release = match &wanted.list.settings {
            Some(settings) => own(places, &wanted.list, &settings.path)?,
            None => Vec::new(),
        };
        wanted.faults = faults(&wanted.list, &release, lines)
            .into_iter()
            .map(|(_, fault)| fault)
            .collect();
        if let Some(settings) = wanted.list.settings.clone() {
            let content = render(&settings, &release, lines);
            wanted.plain = wanted.list.get(&settings.path).cloned();
            wanted.files.retain(|file| file.path != settings.path);
            if wanted.faults.is_empty() {
                wanted.files.push(Listed::of(&settings.path, &content));
                wanted.config = Some((settings.path, content));
            }
        }
        Ok(wanted)
    }

    /// Returns how the firmware tries files, where it can.
    pub(crate) fn trial(&self) -> Option<&Trial> {
        self.list.settings.as_ref()?.trial.as_ref()
    }

    /// Returns the bytes of a file that the partition is to have.
    pub(crate) fn content(&self, places: &Places, path: &str) -> Result<Vec<u8>, SurveyError> {
        match &self.config {
            Some((config, content)) if config == path => Ok(content.clone()),
            _ => own(places, &self.list, path),
        }
    }

    /// Compares what is on the partition.
    pub(crate) fn compare(&self, memory: &Memory, found: &[Found]) -> Vec<(String, Difference)> {
        let mut differences = compare(&self.files, &memory.files, found);
        if let Some(plain) = &self.plain {
            // A configuration without lines of people is ours, too: it is that of a fresh image.
            let is_plain = found.iter().any(|found| {
                found.path.eq_ignore_ascii_case(&plain.path)
                    && (found.size, found.sha256) == (plain.size, Some(plain.sha256))
            });
            for (path, difference) in &mut differences {
                if *path == plain.path && is_plain {
                    *difference = Difference::OtherRelease;
                }
            }
            // With faults it is left alone.
            if self.config.is_none() {
                differences.retain(|(path, _)| !path.eq_ignore_ascii_case(&plain.path));
            }
        }
        differences
    }
}

/// Reads a file of the release, and verifies it against the list.
fn own(places: &Places, list: &FirmwareFiles, path: &str) -> Result<Vec<u8>, SurveyError> {
    let file = places.release.join(FILES).join(path);
    let data = std::fs::read(&file).map_err(|source| SurveyError::ReadOwn {
        path: file.clone(),
        source,
    })?;
    match list.get(path) {
        Some(listed) if *listed == Listed::of(path, &data) => Ok(data),
        _ => Err(SurveyError::Own { path: file }),
    }
}

/// Opens the partition.
pub(crate) fn open(esp: &Path, write: bool) -> Result<FileMedium, SurveyError> {
    let opened = File::options()
        .read(true)
        .write(write)
        .open(esp)
        .and_then(FileMedium::new);
    opened.map_err(|source| SurveyError::Open {
        path: esp.to_owned(),
        source,
    })
}

/// Hashes every file of the partition.
pub(crate) fn read(medium: &mut dyn Medium) -> Result<Vec<Found>, fat::Error> {
    let mut volume = Volume::open(medium)?;
    let mut left = MOST_BYTES;
    let mut all = Vec::new();
    for file in volume.files()? {
        let mut hash = Sha256::new();
        let readable = file.size <= left && volume.read(&file, |piece| hash.update(piece)).is_ok();
        left = left.saturating_sub(file.size);
        all.push(Found {
            size: file.size,
            sha256: readable.then(|| Digest(hash.finalize().into())),
            path: file.path,
        });
    }
    Ok(all)
}

/// Compares the partition with the release, and remembers when it is in order.
pub(crate) fn survey(places: &Places, wanted: &Wanted, version: &str) -> Result<Survey, SurveyError> {
    let mut medium = open(&places.esp, false)?;
    // What firmware will read is on the medium, not in a cache.
    let _ = medium.drop_cache();
    let mut memory = Memory::read(&places.memory);
    let mut survey = look(&mut medium, wanted, &memory)?;
    let foreign = |(_, difference): &(String, Difference)| *difference == Difference::Unknown;
    // With faults nobody has said what the configuration is to be: what was known of it stays known.
    if wanted.faults.is_empty() && survey.differences.iter().all(foreign) {
        memory = Memory {
            version: version.to_owned(),
            files: wanted.files.clone(),
        };
        if let Err(error) = memory.write(&places.memory) {
            tracing::warn!("cannot remember which firmware files the node has: {error}");
        }
        survey.installed = memory.version;
        survey.known = memory.files;
    }
    Ok(survey)
}

/// Compares the partition with the release, by what is remembered.
pub(crate) fn look(medium: &mut dyn Medium, wanted: &Wanted, memory: &Memory) -> Result<Survey, SurveyError> {
    let trial = wanted.trial();
    let owns = |file: &Found| trial.is_some_and(|trial| trial.owns(&file.path));
    let (tried, found): (Vec<Found>, Vec<Found>) = read(medium)?.into_iter().partition(owns);
    Ok(Survey {
        differences: wanted.compare(memory, &found),
        installed: memory.version.clone(),
        known: memory.files.clone(),
        tried,
    })
}
