//! Opens a bundle.

use std::io::{self, Read, Seek, SeekFrom};

use manifest::model::PatchSet;
use manifest::{TrustedKey, VerifiedManifest};

use crate::index::frames_start;
use crate::{
    Codec, Decoder, ENTRY_LEN, Error, Frame, FrameError, HEADER_LEN, Header, HeaderError, INDEX_AT, Index,
    IndexError, Patch, PatchError, Patches,
};

/// The texts at the start of a bundle, not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preamble {
    /// The manifest's JSON.
    pub json: Vec<u8>,
    /// Its signatures.
    pub signatures: Vec<u8>,
    /// Bytes of the index that follows.
    pub index_len: u64,
}

impl Preamble {
    /// Reads everything before the index.
    pub fn read(source: &mut impl Read) -> Result<Self, Error> {
        let mut bytes = vec![0; INDEX_AT as usize];
        read_or_damaged(source, &mut bytes)?;
        let header = bytes
            .first_chunk::<HEADER_LEN>()
            .expect("the buffer holds the header");
        let header = Header::parse(header)?;
        let section = |span: crate::Span| &bytes[span.offset as usize..span.end() as usize];
        for (from, to) in [
            (header.manifest.end(), header.signatures.offset),
            (header.signatures.end(), header.index.offset),
        ] {
            zeros(&bytes[from as usize..to as usize], from)?;
        }
        Ok(Self {
            json: section(header.manifest).to_vec(),
            signatures: section(header.signatures).to_vec(),
            index_len: header.index.len,
        })
    }
}

/// An open bundle whose manifest and index are verified.
pub struct Reader<R> {
    source: R,
    preamble: Preamble,
    manifest: VerifiedManifest,
    index: Index,
    decoder: Decoder,
    stored: Vec<u8>,
}

impl<R: Read + Seek> Reader<R> {
    /// Opens a bundle that one of `keys` signed.
    pub fn open(mut source: R, keys: &[TrustedKey]) -> Result<Self, Error> {
        let actual = source.seek(SeekFrom::End(0))?;
        source.seek(SeekFrom::Start(0))?;
        let preamble = Preamble::read(&mut source)?;
        let manifest = manifest::verify(&preamble.json, &preamble.signatures, keys)?;
        // The number of frames comes from the signed manifest, so memory is allocated only now.
        let frames = u64::from(manifest.index.frames);
        if preamble.index_len != frames * ENTRY_LEN as u64 {
            let bytes = preamble.index_len as usize;
            return Err(IndexError::Length {
                bytes,
                frames: manifest.index.frames,
            }
            .into());
        }
        let mut bytes = vec![0; (frames_start(frames) - INDEX_AT) as usize];
        read_or_damaged(&mut source, &mut bytes)?;
        let (entries, padding) = bytes.split_at(preamble.index_len as usize);
        let index = Index::parse(entries, &manifest)?;
        zeros(padding, INDEX_AT + preamble.index_len)?;
        if index.file_len() != actual {
            return Err(Error::Length {
                expected: index.file_len(),
                actual,
            });
        }
        Ok(Self {
            source,
            preamble,
            manifest,
            index,
            decoder: Decoder::new()?,
            stored: Vec::new(),
        })
    }

    /// Returns the manifest.
    pub fn manifest(&self) -> &VerifiedManifest {
        &self.manifest
    }

    /// Returns the manifest's JSON, byte for byte as it was signed.
    pub fn manifest_json(&self) -> &[u8] {
        &self.preamble.json
    }

    /// Returns the signatures.
    pub fn signatures(&self) -> &[u8] {
        &self.preamble.signatures
    }

    /// Returns the index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Returns the source that the bundle is read from.
    pub fn source(&mut self) -> &mut R {
        &mut self.source
    }

    /// Reads and decompresses a patch into `out`; `sources` and `stored` as in [`Decoder::patch`]. The inner error means
    /// that the patch was read, but does not apply to these sources.
    pub fn patch(
        &mut self,
        patch: &Patch,
        sources: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Result<(), FrameError>, Error> {
        let mut stored = std::mem::take(&mut self.stored);
        let read = self.read(patch.file_offset, patch.stored_len as usize, &mut stored);
        self.stored = stored;
        read?;
        Ok(self.decoder.patch(patch, sources, &self.stored, out))
    }

    /// Reads, decompresses and checks a frame of this bundle's index into `out`.
    pub fn frame(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut stored = std::mem::take(&mut self.stored);
        let read = self.stored(frame, &mut stored);
        self.stored = stored;
        read?;
        self.decoder
            .decode(frame, &self.stored, out)
            .map_err(|source| Error::in_frame(frame, source))
    }

    /// Reads a frame as it is stored, to be decompressed on another thread.
    pub fn stored(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), Error> {
        if frame.codec == Codec::Zero {
            out.clear();
            return Ok(());
        }
        self.read(frame.file_offset, frame.stored_len as usize, out)
    }

    /// Reads and checks the index of a patch set of this bundle's manifest.
    pub fn patches(&mut self, set: &PatchSet) -> Result<Patches, Error> {
        let sets = &self.manifest.patches;
        let Some(number) = sets.iter().position(|listed| listed == set) else {
            return Err(PatchError::Unlisted(set.from).into());
        };
        let before = number.checked_sub(1).map(|number| &sets[number]);
        let gap_at = before.map_or(self.index.frames_end(), |before| {
            before.offset + before.index_size + before.size
        });
        let mut bytes = Vec::new();
        self.read(
            gap_at,
            (set.offset + set.index_size - gap_at) as usize,
            &mut bytes,
        )?;
        let (gap, index) = bytes.split_at((set.offset - gap_at) as usize);
        zeros(gap, gap_at)?;
        Ok(Patches::parse(index, &self.manifest, set)?)
    }

    /// Reads `len` bytes of the bundle at `offset` into `out`, whose former content is dropped. Verifies nothing.
    pub fn read(&mut self, offset: u64, len: usize, out: &mut Vec<u8>) -> Result<(), Error> {
        out.resize(len, 0);
        self.source.seek(SeekFrom::Start(offset))?;
        Ok(self.source.read_exact(out)?)
    }
}

/// Fills `out`; a file that ends before that is damaged, or not a bundle at all.
fn read_or_damaged(source: &mut impl Read, out: &mut [u8]) -> Result<(), Error> {
    let mut filled = 0;
    while filled < out.len() {
        match source.read(&mut out[filled..]) {
            Ok(0) if filled < 8 || !out.starts_with(b"BEDPLATE") => {
                return Err(HeaderError::NotABundle.into());
            }
            Ok(0) => return Err(HeaderError::Damaged.into()),
            Ok(came) => filled += came,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Checks that padding is zero.
fn zeros(gap: &[u8], at: u64) -> Result<(), Error> {
    match gap.iter().position(|byte| *byte != 0) {
        None => Ok(()),
        Some(place) => Err(Error::Padding(at + place as u64)),
    }
}
