//! Simple patches: each extent is made from what is around its place in the old image.

use bundle::{EXTENT, NewPatch, SOURCES_MAX, Source};
use zstd::zstd_safe::{CCtx, CParameter, compress_bound};

/// Makes a patch for every extent of `data` from an older slot image, whose data, before its hash tree, is `old`.
pub(crate) fn between(old: &[u8], data: &[u8]) -> Vec<NewPatch> {
    let source_of = |target: u64| {
        let end = (target + SOURCES_MAX as u64 - EXTENT).min(old.len() as u64);
        let start = target.saturating_sub(EXTENT).min(end);
        start..end
    };
    let extents = data.chunks(EXTENT as usize).enumerate();
    let patches = extents.map(|(number, extent)| {
        let target = number as u64 * EXTENT;
        let range = source_of(target);
        let sources = Source {
            offset: range.start,
            len: (range.end - range.start) as u32,
        };
        let prefix = &old[range.start as usize..range.end as usize];
        NewPatch {
            target,
            raw_len: extent.len() as u32,
            sources: if prefix.is_empty() {
                Vec::new()
            } else {
                vec![sources]
            },
            stored: compress(prefix, extent),
        }
    });
    // A patch that is not smaller than its result is useless.
    patches
        .filter(|patch| patch.stored.len() < patch.raw_len as usize)
        .collect()
}

fn compress(prefix: &[u8], extent: &[u8]) -> Vec<u8> {
    let mut context = CCtx::create();
    context.set_parameter(CParameter::CompressionLevel(9)).unwrap();
    context.set_parameter(CParameter::WindowLog(24)).unwrap();
    context
        .set_parameter(CParameter::EnableLongDistanceMatching(true))
        .unwrap();
    context.ref_prefix(prefix).unwrap();
    let mut packed = vec![0; compress_bound(extent.len())];
    let len = context.compress2(packed.as_mut_slice(), extent).unwrap();
    packed.truncate(len);
    packed
}
