//! Makes a patch.

use std::io;

use manifest::Digest;
use sha2::{Digest as _, Sha256};
use zstd::zstd_safe::{self, CCtx, CParameter};

use crate::align::align;
use crate::decode::WINDOW_LOG_MAX;
use crate::steps::{self, STEPS_MAX};
use crate::{Cache, Decoder, Patch, Source};

/// zstd's level for patches: a bundle is compressed once and fetched often.
const LEVEL: i32 = 19;

/// The version of the algorithm: part of the cache's key, so that results of older versions are not used.
const WAY: u32 = 3;

/// Below this many literal bytes, the old bytes as a prefix do not make the patch smaller.
const LITTLE: usize = 1024;

/// A patch larger than this fraction of its extent shows that little is similar: steps may then cost more than they save.
const MUCH: usize = 8;

/// A patch that is not yet placed in a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPatch {
    /// The extent's offset in the new slot image.
    pub target: u64,
    /// The extent's length.
    pub raw_len: u32,
    /// The pieces of the old slot image that it is made from.
    pub sources: Vec<Source>,
    /// The compressed bytes.
    pub stored: Vec<u8>,
}

impl NewPatch {
    /// Compresses `extent`, which is at `target` in the new slot image, relative to `sources`.
    ///
    /// `older` are the bytes of all sources, concatenated. The same input makes the same patch, with or without a cache of
    /// earlier results.
    pub fn pack(
        target: u64,
        extent: &[u8],
        sources: Vec<Source>,
        older: &[u8],
        cache: Option<&dyn Cache>,
    ) -> io::Result<Self> {
        let mut patch = Self {
            target,
            raw_len: extent.len() as u32,
            sources,
            stored: Vec::new(),
        };
        let Some(cache) = cache else {
            patch.stored = compress(extent, older)?;
            return Ok(patch);
        };
        // Another level or another zstd compresses differently: the bundle must not depend on what was built before.
        let mut key = Sha256::new();
        key.update(b"patch");
        key.update(WAY.to_le_bytes());
        key.update(LEVEL.to_le_bytes());
        key.update(zstd_safe::version_number().to_le_bytes());
        key.update((older.len() as u64).to_le_bytes());
        key.update(older);
        key.update(extent);
        let key = Digest(key.finalize().into());
        if let Some(stored) = cache.get(&key) {
            patch.stored = stored;
            let mut made = Vec::new();
            let placed = patch.at(0);
            let done = Decoder::new()?.patch(&placed, older, &patch.stored, &mut made);
            if done.is_ok() && made == extent {
                return Ok(patch);
            }
        }
        patch.stored = compress(extent, older)?;
        cache.insert(&key, &patch.stored);
        Ok(patch)
    }

    /// Returns the patch with its offset in a bundle.
    pub(crate) fn at(&self, file_offset: u64) -> Patch {
        Patch {
            target: self.target,
            raw_len: self.raw_len,
            sources: self.sources.clone(),
            file_offset,
            stored_len: self.stored.len() as u32,
        }
    }

    /// Returns the bytes that it takes in a bundle, including its entry in the index.
    pub fn cost(&self) -> u64 {
        self.at(0).entry_len() + self.stored.len() as u64
    }
}

/// Compresses an extent: its differences from the old bytes and its literal bytes, with the old bytes as a prefix; then
/// the steps. Where that is not smaller, it compresses the extent as a whole.
fn compress(extent: &[u8], older: &[u8]) -> io::Result<Vec<u8>> {
    let steps = align(older, extent);
    let packed_steps = steps::encode(&steps);
    if steps.iter().all(|step| step.differing == 0) || packed_steps.len() > STEPS_MAX {
        return frame(extent, older);
    }
    // Literal bytes are seldom entirely new; where there are few, the prefix only costs time.
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

/// Compresses bytes, with a prefix that is not part of the output.
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
