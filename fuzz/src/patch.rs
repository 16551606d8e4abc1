//! The bytes of a patch, compressed by zstd with pieces of the old image as prefix.

use std::cell::RefCell;

use arbitrary::{Arbitrary, Unstructured};
use bundle::{Decoder, Patch, Source};
use zstd::zstd_safe::{CCtx, CParameter};

const BLOCK: usize = 4096;

/// A patch makes its extent, or returns an error; and never more bytes than requested.
pub fn patch(data: &[u8]) {
    if let Some(([blocks, sources], stored)) = data.split_first_chunk() {
        let sources = old(usize::from(sources % 8));
        unpack(usize::from(*blocks) * 16, &sources, stored);
    }
    if let Ok(case) = Case::arbitrary_take_rest(Unstructured::new(data)) {
        made(&case);
    }
}

/// An extent that is made from pieces of an old one, and changes to the compressed bytes.
#[derive(Debug, Arbitrary)]
struct Case<'a> {
    sources: u8,
    /// Pieces that are copied: from, length.
    copied: Vec<(u16, u8)>,
    new: &'a [u8],
    window_log: u8,
    damage: Vec<(u16, u8)>,
    appended: u8,
    /// How much longer or shorter the extent is claimed to be.
    off: i8,
}

/// Makes pieces of an old image.
fn old(blocks: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(blocks * BLOCK).collect()
}

fn made(case: &Case<'_>) {
    let sources = old(usize::from(case.sources % 8));
    let mut extent = Vec::new();
    for (at, len) in case.copied.iter().take(64) {
        let from = &sources[usize::from(*at).min(sources.len())..];
        extent.extend(&from[..usize::from(*len).min(from.len())]);
    }
    extent.extend(case.new);
    let window_log = 10 + u32::from(case.window_log % 15);
    let packed = pack(&sources, &extent, window_log);
    let came = unpack(extent.len(), &sources, &packed);
    assert_eq!(came, Some(extent.clone()), "a patch makes its extent");

    let mut damaged = packed;
    for (at, xor) in case.damage.iter().take(4) {
        let at = usize::from(*at) % damaged.len();
        damaged[at] ^= xor;
    }
    damaged.extend(std::iter::repeat_n(0x28, usize::from(case.appended)));
    unpack(
        extent.len().saturating_add_signed(case.off.into()),
        &sources,
        &damaged,
    );
}

fn unpack(raw_len: usize, sources: &[u8], stored: &[u8]) -> Option<Vec<u8>> {
    thread_local! {
        static DECODER: RefCell<Decoder> = RefCell::new(Decoder::new().expect("there is memory for it"));
    }
    let patch = Patch {
        target: 0,
        raw_len: raw_len as u32,
        sources: vec![Source {
            offset: 0,
            len: sources.len() as u32,
        }],
        file_offset: 0,
        stored_len: stored.len() as u32,
    };
    let mut out = b"what was there before".to_vec();
    let result = DECODER.with_borrow_mut(|decoder| decoder.patch(&patch, sources, stored, &mut out));
    assert_eq!(out.len(), if result.is_ok() { raw_len } else { 0 });
    assert!(
        out.capacity() <= raw_len.max(64) * 2,
        "no more memory than the extent"
    );
    result.is_ok().then_some(out)
}

/// Compresses as the image builder does, but faster.
fn pack(sources: &[u8], extent: &[u8], window_log: u32) -> Vec<u8> {
    let mut context = CCtx::create();
    for parameter in [CParameter::CompressionLevel(1), CParameter::WindowLog(window_log)] {
        context
            .set_parameter(parameter)
            .expect("a parameter that zstd has");
    }
    context.ref_prefix(sources).expect("a prefix can be given");
    let mut packed = Vec::with_capacity(zstd::zstd_safe::compress_bound(extent.len()));
    context.compress2(&mut packed, extent).expect("there is room");
    packed
}
