//! A bundle is the same whatever its cache holds.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::{Arc, Mutex};

use bundle::{Cache, ImageName, NewPatch, Source, Writer};
use manifest::Digest;

#[derive(Clone, Default)]
struct Map {
    kept: Arc<Mutex<BTreeMap<[u8; 32], Vec<u8>>>>,
    hits: Arc<Mutex<usize>>,
}

impl Cache for Map {
    fn get(&self, key: &Digest) -> Option<Vec<u8>> {
        let found = self
            .kept
            .lock()
            .expect("no test thread panicked")
            .get(&key.0)
            .cloned();
        *self.hits.lock().expect("no test thread panicked") += usize::from(found.is_some());
        found
    }

    fn insert(&self, key: &Digest, packed: &[u8]) {
        self.kept
            .lock()
            .expect("no test thread panicked")
            .insert(key.0, packed.to_vec());
    }
}

fn index(cache: Option<Map>) -> Digest {
    let data: Vec<u8> = (0..200_000u32)
        .flat_map(|number| (number / 7).to_le_bytes())
        .collect();
    let mut writer = Writer::new(Cursor::new(Vec::new())).frame_len(64 * 1024);
    if let Some(cache) = cache {
        writer = writer.cache(Box::new(cache));
    }
    writer
        .add(ImageName::SLOT, 0, &mut data.as_slice())
        .expect("a cursor cannot fail");
    writer.seal().index().sha256
}

#[test]
fn a_cache_changes_nothing_but_the_time() {
    let plain = index(None);
    let cache = Map::default();
    assert_eq!(index(Some(cache.clone())), plain, "with an empty cache");
    assert_eq!(*cache.hits.lock().unwrap(), 0);
    assert_eq!(index(Some(cache.clone())), plain, "with a full cache");
    assert_eq!(*cache.hits.lock().unwrap(), 13);

    let others: Vec<Vec<u8>> = cache.kept.lock().unwrap().values().cloned().collect();
    for (kept, other) in cache.kept.lock().unwrap().values_mut().zip(others.iter().rev()) {
        *kept = other.clone();
    }
    assert_eq!(index(Some(cache.clone())), plain, "with mixed-up entries");
    cache
        .kept
        .lock()
        .unwrap()
        .values_mut()
        .for_each(|kept| kept.truncate(10));
    assert_eq!(index(Some(cache)), plain, "with damaged entries");
}

#[test]
fn a_cache_changes_no_patch_either() {
    let older = b"an older system ".repeat(2048);
    let newer = b"a newer system ".repeat(2048);
    let whole = Source {
        offset: 0,
        len: older.len() as u32,
    };
    let pack = |cache: Option<&dyn Cache>| {
        NewPatch::pack(0, &newer, vec![whole], &older, cache).expect("a cursor cannot fail")
    };
    let plain = pack(None);
    let cache = Map::default();
    assert_eq!(pack(Some(&cache)), plain, "with an empty cache");
    assert_eq!(pack(Some(&cache)), plain, "with a full cache");
    assert_eq!(*cache.hits.lock().unwrap(), 1);
    let other = NewPatch::pack(0, &older, vec![whole], &older, None)
        .unwrap()
        .stored;
    for damage in [other, plain.stored[..9].to_vec(), Vec::new()] {
        cache
            .kept
            .lock()
            .unwrap()
            .values_mut()
            .for_each(|kept| kept.clone_from(&damage));
        assert_eq!(pack(Some(&cache)), plain, "with damaged entries");
    }
}
