//! Reads a bolt database (go.etcd.io/bbolt), in which containerd keeps what it has, and tells whether it is sound.
//!
//! containerd itself ends with a panic, or starts without half of its parts, when its database is damaged; here damage is
//! an answer. Nothing is written. Source of the format: bbolt's `page.go`, `db.go` and `bucket.go`, version 2.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// A page's header: its number, flags, count of elements, and how many pages it goes on for.
const HEADER: usize = 16;
/// A description of an element, in branches and leaves alike.
const ELEMENT: usize = 16;
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const META: u16 = 0x04;
const FREELIST: u16 = 0x10;
/// The flag of a leaf's element that is a bucket.
const BUCKET: u32 = 0x01;
/// The free list's page when it is not kept on disk.
const NO_FREELIST: u64 = u64::MAX;
/// The count of a free list that has its true count in front.
const LONG_LIST: usize = 0xFFFF;
/// The deepest tree that is followed: a tree of pages with two children each would hold more than any disk.
const DEEPEST: u32 = 64;
/// The most bytes that belong to one page, with those that it goes on for.
const LARGEST_PAGE: u64 = 64 << 20;

/// The reason why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BoltError {
    /// It cannot be read.
    #[error("cannot read database {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not what bolt writes.
    #[error("database {path} is damaged: {what}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
}

/// A database whose every page in use was looked at.
pub struct Bolt {
    path: String,
    file: File,
    page_size: u64,
    pages: u64,
    root: u64,
}

/// An element of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A value.
    Value(Vec<u8>),
    /// A bucket within.
    Bucket(Bucket),
}

/// Where a bucket's elements are: in pages of their own, or, when they are few, within their parent's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bucket {
    /// In the tree from this page on.
    Tree(u64),
    /// In this page, which is part of a value.
    Inline(Vec<u8>),
}

struct Meta {
    page_size: u64,
    root: u64,
    freelist: u64,
    pages: u64,
    transaction: u64,
}

impl Bolt {
    /// Opens a database, and looks at every page that is in use.
    ///
    /// # Errors
    /// Fails when the file cannot be read, or bolt could not use it as it is.
    pub fn open(path: &Path) -> Result<Self, BoltError> {
        let shown = path.display().to_string();
        let unreadable = |source| BoltError::Read {
            path: shown.clone(),
            source,
        };
        let file = File::open(path).map_err(unreadable)?;
        let len = file.metadata().map_err(unreadable)?.len();
        let damaged = |what: &str| BoltError::Damaged {
            path: shown.clone(),
            what: what.to_owned(),
        };
        // The second copy lies behind the first page, whose size only the first copy tells; a page is as large as the
        // machine's, so a few sizes are tried.
        let first = meta_at(&file, 0);
        let sizes = first
            .as_ref()
            .map_or(vec![4096, 16384, 65536], |meta| vec![meta.page_size]);
        let second = sizes
            .into_iter()
            .find_map(|size| meta_at(&file, size).filter(|meta| meta.page_size == size));
        let newest = first
            .into_iter()
            .chain(second)
            .max_by_key(|meta| meta.transaction);
        let meta = newest.ok_or_else(|| damaged("neither copy of its head is valid"))?;
        if meta.pages.saturating_mul(meta.page_size) > len {
            return Err(damaged("it is cut short"));
        }
        let bolt = Bolt {
            path: shown,
            file,
            page_size: meta.page_size,
            pages: meta.pages,
            root: meta.root,
        };
        let mut used = HashSet::new();
        bolt.look_through(&Bucket::Tree(bolt.root), &mut used, 0)?;
        if meta.freelist != NO_FREELIST {
            bolt.check_free(meta.freelist, &used)?;
        }
        Ok(bolt)
    }

    /// Returns the bucket at a path of names; none when there is no such bucket.
    ///
    /// # Errors
    /// Fails when the file cannot be read any more.
    pub fn bucket(&self, path: &[&[u8]]) -> Result<Option<Bucket>, BoltError> {
        let mut bucket = Bucket::Tree(self.root);
        for name in path {
            let found = self.items(&bucket)?.into_iter().find(|(key, _)| key == name);
            match found {
                Some((_, Item::Bucket(inner))) => bucket = inner,
                _ => return Ok(None),
            }
        }
        Ok(Some(bucket))
    }

    /// Lists the elements of a bucket by key.
    ///
    /// # Errors
    /// Fails when the file cannot be read any more.
    pub fn items(&self, bucket: &Bucket) -> Result<Vec<(Vec<u8>, Item)>, BoltError> {
        let mut items = Vec::new();
        let mut left = match bucket {
            Bucket::Inline(page) => return self.leaf(page),
            Bucket::Tree(root) => vec![(*root, 0)],
        };
        while let Some((number, depth)) = left.pop() {
            let page = self.page(number, BRANCH | LEAF)?;
            if flags(&page) == LEAF {
                items.extend(self.leaf(&page)?);
            } else if depth < DEEPEST {
                left.extend(self.children(&page)?.into_iter().map(|child| (child, depth + 1)));
            }
        }
        items.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(items)
    }

    /// Looks at each page of a bucket and of the buckets within; a page that is used twice is damage.
    fn look_through(&self, bucket: &Bucket, used: &mut HashSet<u64>, depth: u32) -> Result<(), BoltError> {
        if depth > DEEPEST {
            return Err(self.damaged("its tree is too deep"));
        }
        let items = match bucket {
            Bucket::Inline(page) => self.leaf(page)?,
            Bucket::Tree(number) => {
                let page = self.page(*number, BRANCH | LEAF)?;
                let len = u64::try_from(page.len()).unwrap_or(u64::MAX);
                for part in *number..*number + len / self.page_size {
                    if !used.insert(part) {
                        return Err(self.damaged(format!("page {part} is used twice")));
                    }
                }
                if flags(&page) == BRANCH {
                    for child in self.children(&page)? {
                        self.look_through(&Bucket::Tree(child), used, depth + 1)?;
                    }
                    return Ok(());
                }
                self.leaf(&page)?
            }
        };
        for (_, item) in items {
            if let Item::Bucket(inner) = item {
                self.look_through(&inner, used, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Checks the list of free pages: none of them may be in use, or outside.
    fn check_free(&self, number: u64, used: &HashSet<u64>) -> Result<(), BoltError> {
        let page = self.page(number, FREELIST)?;
        // A list that is longer than the count can say has its length in front.
        let (count, start) = match count(&page) {
            LONG_LIST => (u64_at(&page, HEADER).unwrap_or(u64::MAX), HEADER + 8),
            count => (u64::try_from(count).unwrap_or(u64::MAX), HEADER),
        };
        let room = page.get(start..).unwrap_or_default();
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > room.len() / 8 {
            return Err(self.damaged("its list of free pages is longer than its page"));
        }
        let mut listed = room
            .chunks_exact(8)
            .take(count)
            .filter_map(|entry| u64_at(entry, 0));
        match listed.find(|free| *free < 2 || *free >= self.pages || used.contains(free)) {
            Some(free) => Err(self.damaged(format!("page {free} is free and is not"))),
            None => Ok(()),
        }
    }

    /// Reads a page that must be of one of these kinds, with the pages that it goes on for.
    fn page(&self, number: u64, kinds: u16) -> Result<Vec<u8>, BoltError> {
        if number < 2 || number >= self.pages {
            return Err(self.damaged(format!("it refers to page {number}, which it does not have")));
        }
        let mut header = [0; HEADER];
        self.read(number, &mut header)?;
        let (own, kind) = (u64_at(&header, 0), flags(&header));
        if own != Some(number) || kind & kinds == 0 || !kind.is_power_of_two() {
            return Err(self.damaged(format!("page {number} is not what it should be")));
        }
        let more = u64::from(u32_at(&header, 12).unwrap_or(0));
        let len = (more + 1).saturating_mul(self.page_size);
        if number + more >= self.pages || len > LARGEST_PAGE {
            return Err(self.damaged(format!("page {number} goes on behind the end")));
        }
        let mut page = vec![0; usize::try_from(len).unwrap_or(0)];
        self.read(number, &mut page)?;
        Ok(page)
    }

    fn read(&self, number: u64, buffer: &mut [u8]) -> Result<(), BoltError> {
        let at = number.saturating_mul(self.page_size);
        self.file
            .read_exact_at(buffer, at)
            .map_err(|source| BoltError::Read {
                path: self.path.clone(),
                source,
            })
    }

    fn children(&self, page: &[u8]) -> Result<Vec<u64>, BoltError> {
        let outside = || self.damaged("an element lies outside of its page");
        (0..count(page))
            .map(|index| {
                let at = HEADER + index * ELEMENT;
                let (start, len) = (u32_at(page, at), u32_at(page, at + 4));
                slice(page, at, start, Some(0), len).ok_or_else(outside)?;
                u64_at(page, at + 8).ok_or_else(outside)
            })
            .collect()
    }

    fn leaf(&self, page: &[u8]) -> Result<Vec<(Vec<u8>, Item)>, BoltError> {
        let outside = || self.damaged("an element lies outside of its page");
        (0..count(page))
            .map(|index| {
                let at = HEADER + index * ELEMENT;
                let field = |offset: usize| u32_at(page, at + offset);
                let kind = field(0).ok_or_else(outside)?;
                let key = slice(page, at, field(4), Some(0), field(8)).ok_or_else(outside)?;
                let value = slice(page, at, field(4), field(8), field(12)).ok_or_else(outside)?;
                let item = match kind {
                    BUCKET => Item::Bucket(self.nested(value)?),
                    _ => Item::Value(value.to_vec()),
                };
                Ok((key.to_vec(), item))
            })
            .collect()
    }

    /// Reads the value of a bucket: where it starts, and a counter; then its only page, if it has none of its own.
    fn nested(&self, value: &[u8]) -> Result<Bucket, BoltError> {
        let inline = value.get(16..).unwrap_or_default();
        match u64_at(value, 0) {
            None => Err(self.damaged("a bucket has no head")),
            Some(0) if flags(inline) == LEAF => Ok(Bucket::Inline(inline.to_vec())),
            Some(0) => Err(self.damaged("a bucket has no page")),
            Some(root) => Ok(Bucket::Tree(root)),
        }
    }

    fn damaged(&self, what: impl Into<String>) -> BoltError {
        BoltError::Damaged {
            path: self.path.clone(),
            what: what.into(),
        }
    }
}

/// Reads a copy of the head, if it is a valid one.
fn meta_at(file: &File, at: u64) -> Option<Meta> {
    let mut page = [0; HEADER + 64];
    file.read_exact_at(&mut page, at).ok()?;
    let meta = &page[HEADER..];
    let valid = flags(&page) == META
        && u32_at(meta, 0) == Some(MAGIC)
        && u32_at(meta, 4) == Some(VERSION)
        && u64_at(meta, 56) == Some(fnv(&meta[..56]));
    let page_size = u64::from(u32_at(meta, 8)?);
    (valid && (512..=LARGEST_PAGE).contains(&page_size)).then_some(Meta {
        page_size,
        root: u64_at(meta, 16)?,
        freelist: u64_at(meta, 32)?,
        pages: u64_at(meta, 40)?,
        transaction: u64_at(meta, 48)?,
    })
}

/// Returns bolt's checksum, FNV-1a with 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn flags(page: &[u8]) -> u16 {
    page.get(8..10)
        .map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn count(page: &[u8]) -> usize {
    page.get(10..12)
        .map_or(0, |bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// Returns `len` bytes of a page, `start` and `skip` behind the element that describes them.
fn slice(page: &[u8], at: usize, start: Option<u32>, skip: Option<u32>, len: Option<u32>) -> Option<&[u8]> {
    let number = |value: Option<u32>| usize::try_from(value?).ok();
    let start = at.checked_add(number(start)?)?.checked_add(number(skip)?)?;
    page.get(start..start.checked_add(number(len)?)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: usize = 512;

    fn header(number: u64, kind: u16, count: u16) -> Vec<u8> {
        let mut page = number.to_le_bytes().to_vec();
        page.extend(kind.to_le_bytes());
        page.extend(count.to_le_bytes());
        page.extend([0; 4]);
        page
    }

    fn meta(number: u64, transaction: u64) -> Vec<u8> {
        let mut body = Vec::new();
        for field in [MAGIC, VERSION, PAGE as u32, 0] {
            body.extend(field.to_le_bytes());
        }
        for field in [3_u64, 0, 2, 5, transaction] {
            body.extend(field.to_le_bytes());
        }
        body.extend(fnv(&body).to_le_bytes());
        [header(number, META, 0), body].concat()
    }

    fn leaf(number: u64, elements: &[(u32, &[u8], &[u8])]) -> Vec<u8> {
        let mut page = header(number, LEAF, elements.len() as u16);
        let mut data = Vec::new();
        for (index, (kind, key, value)) in elements.iter().enumerate() {
            let start = (elements.len() - index) * ELEMENT + data.len();
            for field in [*kind, start as u32, key.len() as u32, value.len() as u32] {
                page.extend(field.to_le_bytes());
            }
            data.extend_from_slice(key);
            data.extend_from_slice(value);
        }
        [page, data].concat()
    }

    /// Two heads, a free list with page 4, and a root with a bucket that is inline.
    fn database() -> Vec<u8> {
        let inline = leaf(0, &[(0, b"size", &[14])]);
        let bucket = [vec![0; 16], inline].concat();
        let free = [header(2, FREELIST, 1), 4_u64.to_le_bytes().to_vec()].concat();
        let root = leaf(3, &[(BUCKET, b"v1", &bucket), (0, b"z", b"value")]);
        let pages = [meta(0, 7), meta(1, 6), free, root, Vec::new()];
        let padded = pages.into_iter().map(|mut page| {
            page.resize(PAGE, 0);
            page
        });
        padded.collect::<Vec<_>>().concat()
    }

    fn open(bytes: &[u8]) -> Result<Bolt, BoltError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Bolt::open(file.path())
    }

    #[test]
    fn what_is_there_is_found() {
        let bolt = open(&database()).unwrap();
        let bucket = bolt.bucket(&[b"v1"]).unwrap().unwrap();
        assert_eq!(
            bolt.items(&bucket).unwrap(),
            [(b"size".to_vec(), Item::Value(vec![14]))]
        );
        assert_eq!(bolt.bucket(&[b"v2"]).unwrap(), None);
        assert_eq!(bolt.bucket(&[b"z"]).unwrap(), None, "a value is no bucket");
    }

    #[test]
    fn one_head_is_enough_and_none_is_not() {
        let mut bytes = database();
        bytes[..PAGE].fill(0x5a);
        // Behind a first head that is lost, pages of common sizes are tried; these are smaller.
        assert!(open(&bytes).is_err());
        let mut bytes = database();
        bytes[PAGE..2 * PAGE].fill(0x5a);
        assert!(open(&bytes).is_ok());
        let mut listed = database();
        listed[2 * PAGE + HEADER] = 3;
        let error = open(&listed).err().unwrap().to_string();
        assert!(error.ends_with("page 3 is free and is not"), "{error}");
        bytes.truncate(4 * PAGE);
        assert!(
            open(&bytes)
                .err()
                .unwrap()
                .to_string()
                .ends_with("it is cut short")
        );
    }

    proptest! {
        #[test]
        fn damage_is_an_answer_and_never_a_panic(
            hits in proptest::collection::vec((2 * PAGE..5 * PAGE, any::<u8>()), 1..20),
        ) {
            let mut bytes = database();
            for (at, byte) in hits {
                bytes[at] = byte;
            }
            if let Ok(bolt) = open(&bytes) {
                let root = bolt.bucket(&[]).unwrap().unwrap();
                prop_assert!(bolt.items(&root).is_ok());
            }
        }

        #[test]
        fn garbage_is_no_database(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
            prop_assert!(open(&bytes).is_err());
        }
    }
}
