//! Puts lines of the machine config into the configuration file of the board's firmware, before anything is written.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek};

use bundle::{ImageName, Reader};
use fat::{Change, Volume};
use firmware_files::{FirmwareFiles, LONGEST_LIST, Listed, SETTINGS, Settings, faults, render};
use layout::Extent;
use medium::Medium;

use crate::piece::{Content, Piece, What};
use crate::plan::BundleFacts;

/// Bytes of the ESP are held in blocks of this length.
const BLOCK: usize = bundle::FRAME_ALIGN as usize;
/// The most bytes of a piece.
const PIECE: usize = 1024 * 1024;
/// The longest configuration file.
const LONGEST_FILE: u64 = 1024 * 1024;

/// Why the lines of a config cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum FirmwareError {
    /// The bundle is damaged.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// The ESP of the bundle cannot be read or changed.
    #[error("cannot change the EFI system partition of the bundle")]
    Volume(#[from] fat::Error),
    /// The firmware of the board has no such file, or the bundle is of a release that does not say.
    #[error(
        "the machine config has lines for the firmware (machine.firmware.config), and the board's firmware has no configuration file for them"
    )]
    NoFile,
    /// The description of the file is not valid.
    #[error("the bundle does not say how the firmware of the board is configured: build it again")]
    Settings,
    /// The lines are refused.
    #[error("the machine config has lines that the firmware cannot take:\n{0}")]
    Lines(String),
}

/// The bytes of an ESP that are written in place of those of the bundle, by offset.
#[derive(Debug, Clone)]
pub struct ChangedEsp(Vec<(u64, Vec<u8>)>);

impl ChangedEsp {
    /// Places them on a medium whose ESP starts there.
    pub(crate) fn pieces(&self, what: What, start: u64) -> impl Iterator<Item = Piece> {
        self.0.iter().map(move |(offset, data)| Piece {
            what,
            extent: Extent {
                start: start + offset,
                len: data.len() as u64,
            },
            content: Content::Bytes(data.clone()),
        })
    }
}

impl BundleFacts {
    /// Puts another ESP into the place of the bundle's.
    pub fn with_esp(mut self, esp: Option<ChangedEsp>) -> Self {
        self.esp = esp;
        self
    }
}

/// Returns all bytes of the bundle's ESP that are written, by offset, with the lines of a config in it; `None` without lines.
///
/// # Errors
/// Lines that the firmware cannot take, and a bundle that is damaged.
pub fn with_lines<R: Read + Seek>(
    bundle: &mut Reader<R>,
    lines: &[String],
) -> Result<Option<ChangedEsp>, FirmwareError> {
    if lines.is_empty() {
        return Ok(None);
    }
    let mut esp = Esp::read(bundle)?;
    let mut volume = Volume::open(&mut esp)?;
    let files = volume.files()?;
    let mut read = |path: &str| -> Result<Option<Vec<u8>>, fat::Error> {
        let Some(file) = files
            .iter()
            .find(|file| file.path == path && file.size <= LONGEST_FILE)
        else {
            return Ok(None);
        };
        let mut data = Vec::new();
        volume.read(file, |piece| data.extend_from_slice(piece))?;
        Ok(Some(data))
    };
    let text = read(SETTINGS)?.ok_or(FirmwareError::NoFile)?;
    let text = String::from_utf8(text)
        .ok()
        .filter(|text| text.len() <= LONGEST_LIST);
    let settings = text
        .and_then(|text| Settings::parse(&text).ok())
        .ok_or(FirmwareError::Settings)?;
    let own = read(&settings.path)?.ok_or(FirmwareError::NoFile)?;
    let list = FirmwareFiles {
        loader: String::new(),
        files: files.iter().map(|file| Listed::of(&file.path, b"")).collect(),
        settings: Some(settings.clone()),
    };
    let refused = faults(&list, &own, lines);
    if !refused.is_empty() {
        let text = refused
            .iter()
            .map(|(number, fault)| format!("machine.firmware.config[{number}]: {fault}"));
        return Err(FirmwareError::Lines(text.collect::<Vec<_>>().join("\n")));
    }
    let data = render(&settings, &own, lines);
    let (path, data) = (settings.path.as_str(), data.as_slice());
    volume.apply(&[Change::Put { path, data }])?;
    Ok(Some(ChangedEsp(esp.pieces())))
}

/// An ESP in memory: what its frames hold, and zeros elsewhere.
struct Esp {
    len: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Esp {
    fn read<R: Read + Seek>(bundle: &mut Reader<R>) -> Result<Esp, FirmwareError> {
        let len = bundle
            .manifest()
            .image(ImageName::ESP)
            .map_or(0, |image| image.size);
        let frames = bundle.index().of(ImageName::ESP).to_vec();
        let mut esp = Esp {
            len,
            blocks: BTreeMap::new(),
        };
        for frame in &frames {
            let mut data = Vec::with_capacity(frame.raw_len as usize);
            bundle.frame(frame, &mut data)?;
            for (number, block) in (frame.raw_offset / BLOCK as u64..).zip(data.chunks(BLOCK)) {
                let mut block = block.to_vec();
                block.resize(BLOCK, 0);
                esp.blocks.insert(number, block);
            }
        }
        Ok(esp)
    }

    /// Joins blocks that follow one another.
    fn pieces(self) -> Vec<(u64, Vec<u8>)> {
        let mut pieces: Vec<(u64, Vec<u8>)> = Vec::new();
        for (number, block) in self.blocks {
            let at = number * BLOCK as u64;
            match pieces.last_mut() {
                Some((start, data)) if *start + data.len() as u64 == at && data.len() < PIECE => {
                    data.extend_from_slice(&block);
                }
                _ => pieces.push((at, block)),
            }
        }
        pieces
    }

    fn check(&self, offset: u64, len: usize) -> io::Result<()> {
        let end = offset.checked_add(len as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

impl Medium for Esp {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.check(offset, out.len())?;
        let mut done = 0;
        while done < out.len() {
            let at = offset + done as u64;
            let inside = (at % BLOCK as u64) as usize;
            let len = (BLOCK - inside).min(out.len() - done);
            let piece = &mut out[done..done + len];
            match self.blocks.get(&(at / BLOCK as u64)) {
                Some(block) => piece.copy_from_slice(&block[inside..inside + len]),
                None => piece.fill(0),
            }
            done += len;
        }
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check(offset, bytes.len())?;
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let inside = (at % BLOCK as u64) as usize;
            let len = (BLOCK - inside).min(bytes.len() - done);
            let block = self
                .blocks
                .entry(at / BLOCK as u64)
                .or_insert_with(|| vec![0; BLOCK]);
            block[inside..inside + len].copy_from_slice(&bytes[done..done + len]);
            done += len;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn drop_cache(&mut self) -> io::Result<()> {
        Ok(())
    }
}
