//! A bundle is the same whatever its writer remembers.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::{Arc, Mutex};

use bundle::{ImageName, Memory, NewPatch, Source, Writer};
use manifest::Digest;

#[derive(Clone, Default)]
struct Map {
    kept: Arc<Mutex<BTreeMap<[u8; 32], Vec<u8>>>>,
    hits: Arc<Mutex<usize>>,
}

impl Memory for Map {
    fn recall(&self, key: &Digest) -> Option<Vec<u8>> {
        let found = self
            .kept
            .lock()
            .expect("no test thread panicked")
            .get(&key.0)
            .cloned();
        *self.hits.lock().expect("no test thread panicked") += usize::from(found.is_some());
        found
    }

    fn remember(&self, key: &Digest, packed: &[u8]) {
        self.kept
            .lock()
            .expect("no test thread panicked")
            .insert(key.0, packed.to_vec());
    }
}

fn index(memory: Option<Map>) -> Digest {
    let data: Vec<u8> = (0..200_000u32)
        .flat_map(|number| (number / 7).to_le_bytes())
        .collect();
    let mut writer = Writer::new(Cursor::new(Vec::new())).frame_len(64 * 1024);
    if let Some(memory) = memory {
        writer = writer.memory(Box::new(memory));
    }
    writer
        .add(ImageName::SLOT, 0, &mut data.as_slice())
        .expect("a memory cannot fail");
    writer.seal().index().sha256
}

#[test]
fn memory_changes_nothing_but_the_time() {
    let plain = index(None);
    let memory = Map::default();
    assert_eq!(index(Some(memory.clone())), plain, "while it learns");
    assert_eq!(*memory.hits.lock().unwrap(), 0);
    assert_eq!(index(Some(memory.clone())), plain, "when it knows");
    assert_eq!(*memory.hits.lock().unwrap(), 13);

    let others: Vec<Vec<u8>> = memory.kept.lock().unwrap().values().cloned().collect();
    for (kept, other) in memory.kept.lock().unwrap().values_mut().zip(others.iter().rev()) {
        *kept = other.clone();
    }
    assert_eq!(index(Some(memory.clone())), plain, "when it mixes things up");
    memory
        .kept
        .lock()
        .unwrap()
        .values_mut()
        .for_each(|kept| kept.truncate(10));
    assert_eq!(index(Some(memory)), plain, "when it is damaged");
}

#[test]
fn memory_changes_no_patch_either() {
    let older = b"an older system ".repeat(2048);
    let newer = b"a newer system ".repeat(2048);
    let whole = Source {
        offset: 0,
        len: older.len() as u32,
    };
    let pack = |memory: Option<&dyn Memory>| {
        NewPatch::pack(0, &newer, vec![whole], &older, memory).expect("a memory cannot fail")
    };
    let plain = pack(None);
    let memory = Map::default();
    assert_eq!(pack(Some(&memory)), plain, "while it learns");
    assert_eq!(pack(Some(&memory)), plain, "when it knows");
    assert_eq!(*memory.hits.lock().unwrap(), 1);
    let other = NewPatch::pack(0, &older, vec![whole], &older, None)
        .unwrap()
        .stored;
    for damage in [other, plain.stored[..9].to_vec(), Vec::new()] {
        memory
            .kept
            .lock()
            .unwrap()
            .values_mut()
            .for_each(|kept| kept.clone_from(&damage));
        assert_eq!(pack(Some(&memory)), plain, "when it is damaged");
    }
}
