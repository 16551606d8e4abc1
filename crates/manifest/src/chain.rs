//! The key chain: manifests of committed releases that changed which keys are trusted.
//!
//! A loader is built with keys and not written again by an upgrade. So that a release can add and retire keys all the
//! same, the manifests that did are kept in BOOTSTATE, oldest first, twice. [`follow`] starts from the loader's own keys
//! and goes from link to link. `BPCHAIN1`, format, checksum, generation, count, length; then per link two lengths, the
//! JSON, the signatures.

use alloc::vec;
use alloc::vec::Vec;

use crate::trailer::MAX_SIGNATURES_LEN;
use crate::{MAX_JSON, Manifest, TrustedKey, verify};

/// Room for one copy.
pub const AREA: usize = 128 * 1024;

/// The offsets of the two copies in BOOTSTATE: each is in the erase block of a copy of the slot record, behind it.
pub const OFFSETS: [u64; 2] = [64 * 1024, 576 * 1024];

/// Most links that are followed.
pub const MAX_LINKS: usize = 16;

/// Bytes before the first link. They tell how many there are in all: see [`stored_len`].
pub const HEADER: usize = 32;

const MAGIC: [u8; 8] = *b"BPCHAIN1";
const FORMAT: u32 = 1;
const AT_CRC: usize = 12;
/// The checksum covers everything behind itself.
const AT_GENERATION: usize = 16;
const AT_COUNT: usize = 24;
const AT_LEN: usize = 28;

/// The signed texts of one release that changed the keys. They are not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The manifest's JSON.
    pub json: Vec<u8>,
    /// Its signatures.
    pub signatures: Vec<u8>,
}

/// The reason why there is no chain, or why it cannot be made longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Something else, or nothing, is there.
    #[error("no key chain here: its magic is missing")]
    Missing,
    /// The copy is torn or damaged.
    #[error("key chain is damaged")]
    Damaged,
    /// Written by a newer release.
    #[error("key chain has format {0}; this release knows format {FORMAT}")]
    Format(u32),
    /// More than the area holds.
    #[error("key chain of {links} links and {len} bytes is more than {MAX_LINKS} links and {AREA} bytes")]
    TooLong {
        /// Number of links.
        links: usize,
        /// Bytes they need.
        len: usize,
    },
    /// None of the keys that the release trusts signed it: once they alone are trusted, it would not start any more.
    #[error("the release is not signed by any of the keys that it says are to be trusted")]
    Disowned,
}

/// Lays out one copy.
pub fn encode(generation: u64, links: &[Link]) -> Result<Vec<u8>, ChainError> {
    let body: usize = links
        .iter()
        .map(|link| 8 + link.json.len() + link.signatures.len())
        .sum();
    let fits = links.len() <= MAX_LINKS
        && HEADER + body <= AREA
        && links
            .iter()
            .all(|link| link.json.len() <= MAX_JSON && link.signatures.len() <= MAX_SIGNATURES_LEN);
    if !fits {
        return Err(ChainError::TooLong {
            links: links.len(),
            len: HEADER + body,
        });
    }
    let mut bytes = vec![0; HEADER];
    bytes[..8].copy_from_slice(&MAGIC);
    put(&mut bytes, 8, FORMAT.to_le_bytes());
    put(&mut bytes, AT_GENERATION, generation.to_le_bytes());
    put(&mut bytes, AT_COUNT, (links.len() as u32).to_le_bytes());
    put(&mut bytes, AT_LEN, (body as u32).to_le_bytes());
    for link in links {
        bytes.extend((link.json.len() as u32).to_le_bytes());
        bytes.extend((link.signatures.len() as u32).to_le_bytes());
        bytes.extend(&link.json);
        bytes.extend(&link.signatures);
    }
    let crc = crc32fast::hash(&bytes[AT_GENERATION..]);
    put(&mut bytes, AT_CRC, crc.to_le_bytes());
    Ok(bytes)
}

/// Returns how many bytes of the area a copy needs, from its first [`HEADER`] bytes: most disks have no chain, and the
/// rest of the area need not be read. Zero when no chain of this format is there.
pub fn stored_len(head: &[u8]) -> usize {
    match head.first_chunk::<HEADER>() {
        Some(head) if head[..8] == MAGIC && number(head, 8) == FORMAT => {
            let len = HEADER.saturating_add(number(head, AT_LEN) as usize);
            if len <= AREA { len } else { 0 }
        }
        _ => 0,
    }
}

/// Reads one copy: its generation and its links. Bytes behind the stored ones do not matter.
pub fn decode(bytes: &[u8]) -> Result<(u64, Vec<Link>), ChainError> {
    let head = bytes.first_chunk::<HEADER>().ok_or(ChainError::Missing)?;
    if head[..8] != MAGIC {
        return Err(ChainError::Missing);
    }
    if number(head, 8) != FORMAT {
        return Err(ChainError::Format(number(head, 8)));
    }
    let stored = bytes.get(..stored_len(head)).ok_or(ChainError::Damaged)?;
    let count = number(head, AT_COUNT) as usize;
    let sum = stored.get(AT_GENERATION..).map(crc32fast::hash);
    if sum != Some(number(head, AT_CRC)) || count > MAX_LINKS {
        return Err(ChainError::Damaged);
    }
    let mut rest = &stored[HEADER..];
    let mut links = Vec::with_capacity(count);
    for _ in 0..count {
        links.push(take_link(&mut rest).ok_or(ChainError::Damaged)?);
    }
    if !rest.is_empty() {
        return Err(ChainError::Damaged);
    }
    let generation = u64::from_le_bytes(core::array::from_fn(|at| head[AT_GENERATION + at]));
    Ok((generation, links))
}

fn take_link(rest: &mut &[u8]) -> Option<Link> {
    let (lengths, texts) = rest.split_at_checked(8)?;
    let (json, signatures) = (number(lengths, 0) as usize, number(lengths, 4) as usize);
    if json > MAX_JSON || signatures > MAX_SIGNATURES_LEN {
        return None;
    }
    let (json, texts) = texts.split_at_checked(json)?;
    let (signatures, texts) = texts.split_at_checked(signatures)?;
    *rest = texts;
    Some(Link {
        json: json.to_vec(),
        signatures: signatures.to_vec(),
    })
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(core::array::from_fn(|index| bytes[at + index]))
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

/// The content of both copies together, and the place of the next write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The links of the newer valid copy; none when neither is valid.
    pub links: Vec<Link>,
    /// That copy's generation, or 0.
    pub generation: u64,
    /// Index into [`OFFSETS`] of the copy to overwrite next: the invalid or older one.
    pub write_to: usize,
}

/// Joins the two copies: the newer valid one counts.
pub fn load(copies: [&[u8]; 2]) -> Loaded {
    let loaded = |(generation, links), write_to| Loaded {
        links,
        generation,
        write_to,
    };
    match copies.map(decode) {
        // The count may wrap: the copies are never more than one write apart.
        [Ok(first), Ok(second)] if first.0.wrapping_sub(second.0) < u64::MAX / 2 => loaded(first, 1),
        [Ok(first), Err(_)] => loaded(first, 1),
        [_, Ok(second)] => loaded(second, 0),
        [Err(_), Err(_)] => loaded((0, Vec::new()), 0),
    }
}

/// Returns the keys that are to be trusted: the loader's own, replaced by those of each link in turn.
///
/// A link must be signed by a key that is trusted so far, and by one of those that it brings: else the release that
/// brought them could not start any more. The first link that is not ends the way; what was reached by then holds. So
/// whatever lies in the area, the answer is the keys of releases that were signed by keys that were trusted.
pub fn follow(own: &[TrustedKey], links: &[Link]) -> Vec<TrustedKey> {
    let mut keys = own.to_vec();
    for link in links.iter().take(MAX_LINKS) {
        match step(link, &keys) {
            Some(next) => keys = next,
            None => break,
        }
    }
    keys
}

/// Returns the keys that a link brings, if it is to be trusted.
fn step(link: &Link, keys: &[TrustedKey]) -> Option<Vec<TrustedKey>> {
    let manifest = verify(&link.json, &link.signatures, keys).ok()?;
    let owned = verify(&link.json, &link.signatures, &manifest.keys).is_ok();
    owned.then(|| manifest.into_manifest().keys)
}

/// Returns the keys at the end of a chain, as they are said there, unchecked; none when there is no chain.
pub fn end(links: &[Link]) -> Option<Vec<TrustedKey>> {
    keys_of(links.last()?)
}

fn keys_of(link: &Link) -> Option<Vec<TrustedKey>> {
    Some(Manifest::parse_unverified(&link.json).ok()?.keys)
}

/// Makes a chain longer by the release that runs. Links that are not needed on the way to it are dropped.
///
/// The first link stays: which keys the loader has of its own is not known here.
pub fn extend(links: &[Link], release: Link) -> Result<Vec<Link>, ChainError> {
    let brings = keys_of(&release).ok_or(ChainError::Disowned)?;
    if verify(&release.json, &release.signatures, &brings).is_err() {
        return Err(ChainError::Disowned);
    }
    let vouches = |link: &Link| keys_of(link).is_some_and(|keys| step(&release, &keys).is_some());
    // No link vouches for it, and yet it was started: then the loader's own keys do.
    let kept = links.iter().position(vouches).map_or(0, |at| at + 1);
    let mut longer = links[..kept].to_vec();
    longer.push(release);
    encode(0, &longer)?;
    Ok(longer)
}
