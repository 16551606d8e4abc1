//! Making a patch.

use std::io;

use manifest::Digest;
use sha2::{Digest as _, Sha256};
use zstd::zstd_safe::{self, CCtx, CParameter};

use crate::align::align;
use crate::decode::WINDOW_LOG_MAX;
use crate::steps::{self, STEPS_MAX};
use crate::{Decoder, Memory, Patch, Source};

/// zstd's level for patches: a bundle is packed once and fetched often.
const LEVEL: i32 = 19;

/// Counts up when patches are made another way, so that none made before is remembered.
const WAY: u32 = 3;

/// So few fresh bytes pack no smaller with the older ones in front of them.
const LITTLE: usize = 1024;

/// A patch of more than one part in so many of its extent shows that little is alike: steps may then cost more than they save.
const MUCH: usize = 8;

/// A patch that has no place in a bundle yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPatch {
    /// The extent's place in the new slot image.
    pub target: u64,
    /// The extent's length.
    pub raw_len: u32,
    /// The pieces of the older slot image that it is made from.
    pub sources: Vec<Source>,
    /// The packed bytes.
    pub stored: Vec<u8>,
}

impl NewPatch {
    /// Packs `extent`, which lies at `target` in the new slot image, as what must be added to `sources`.
    ///
    /// `older` are the bytes of all sources, one behind the other. The same input makes the same patch, with a memory of
    /// what was packed before and without.
    pub fn pack(
        target: u64,
        extent: &[u8],
        sources: Vec<Source>,
        older: &[u8],
        memory: Option<&dyn Memory>,
    ) -> io::Result<Self> {
        let mut patch = Self {
            target,
            raw_len: extent.len() as u32,
            sources,
            stored: Vec::new(),
        };
        let Some(memory) = memory else {
            patch.stored = compress(extent, older)?;
            return Ok(patch);
        };
        // Another level or another zstd packs otherwise: the bundle must not depend on what was built before.
        let mut key = Sha256::new();
        key.update(b"patch");
        key.update(WAY.to_le_bytes());
        key.update(LEVEL.to_le_bytes());
        key.update(zstd_safe::version_number().to_le_bytes());
        key.update((older.len() as u64).to_le_bytes());
        key.update(older);
        key.update(extent);
        let key = Digest(key.finalize().into());
        if let Some(stored) = memory.recall(&key) {
            patch.stored = stored;
            let mut made = Vec::new();
            let placed = patch.at(0);
            let done = Decoder::new()?.patch(&placed, older, &patch.stored, &mut made);
            if done.is_ok() && made == extent {
                return Ok(patch);
            }
        }
        patch.stored = compress(extent, older)?;
        memory.remember(&key, &patch.stored);
        Ok(patch)
    }

    /// Returns the patch with a place in a bundle.
    pub(crate) fn at(&self, file_offset: u64) -> Patch {
        Patch {
            target: self.target,
            raw_len: self.raw_len,
            sources: self.sources.clone(),
            file_offset,
            stored_len: self.stored.len() as u32,
        }
    }

    /// Returns the bytes that it takes in a bundle, with its entry in the index.
    pub fn cost(&self) -> u64 {
        self.at(0).entry_len() + self.stored.len() as u64
    }
}

/// Packs an extent: its differences from the older bytes and what is fresh, with those bytes in front; then the steps.
/// Where that is no smaller, it packs the extent as it is.
fn compress(extent: &[u8], older: &[u8]) -> io::Result<Vec<u8>> {
    let steps = align(older, extent);
    let packed_steps = steps::encode(&steps);
    if steps.iter().all(|step| step.differing == 0) || packed_steps.len() > STEPS_MAX {
        return frame(extent, older);
    }
    // What is fresh is seldom new altogether; where nothing much is, taking in the older bytes only takes time.
    let fresh: usize = steps.iter().map(|step| step.fresh).sum();
    let prefix = if fresh < LITTLE { &[] } else { older };
    let mut packed = frame(&steps::split(&steps, older, extent), prefix)?;
    packed.extend(frame(&packed_steps, &[])?);
    if packed.len() > extent.len() / MUCH {
        let plain = frame(extent, older)?;
        if plain.len() <= packed.len() {
            return Ok(plain);
        }
    }
    Ok(packed)
}

/// Packs bytes, with others in front of them that need not be packed.
fn frame(bytes: &[u8], older: &[u8]) -> io::Result<Vec<u8>> {
    let fault = |code| io::Error::other(zstd_safe::get_error_name(code));
    let mut context = CCtx::create();
    for parameter in [
        CParameter::CompressionLevel(LEVEL),
        CParameter::WindowLog(WINDOW_LOG_MAX),
    ] {
        context.set_parameter(parameter).map_err(fault)?;
    }
    context.ref_prefix(older).map_err(fault)?;
    let mut packed = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
    context.compress2(&mut packed, bytes).map_err(fault)?;
    Ok(packed)
}
