//! The texts around a manifest: the trailer at the end of a slot, and the loader's keys.

use manifest::{keyring, trailer};

/// A trailer returns the two texts in it; whatever else the area holds does not matter.
pub fn trailer(data: &[u8]) {
    let short = trailer::decode(data);
    assert!(
        data.len() >= trailer::AREA || short.is_err(),
        "a short area holds no trailer"
    );

    let mut area = data.to_vec();
    area.resize(trailer::AREA, 0);
    // Half of the inputs would fail on the magic.
    for magic in [false, true] {
        if magic {
            area[..8].copy_from_slice(b"BPMANIF1");
        }
        let Ok(found) = trailer::decode(&area) else {
            continue;
        };
        assert!(found.json.len() <= manifest::MAX_JSON);
        assert!(found.signatures.len() <= trailer::MAX_SIGNATURES_LEN);
        let again = trailer::encode(found.json, found.signatures).expect("what was read can be written");
        let used = 16 + found.json.len() + found.signatures.len();
        assert_eq!(again.len(), trailer::AREA);
        assert_eq!(again[..used], area[..used]);
        assert!(
            again[used..].iter().all(|byte| *byte == 0),
            "nothing follows the texts"
        );
        assert_eq!(trailer::decode(&again), Ok(found));
    }
    write(data);
}

/// Writes texts of any length: what is too long is refused, and the rest can be read back.
fn write(data: &[u8]) {
    let Some((lengths, _)) = data.split_first_chunk::<4>() else {
        return;
    };
    let [json, signatures] = [0, 2].map(|at| usize::from(u16::from_le_bytes([lengths[at], lengths[at + 1]])));
    let fits = json <= manifest::MAX_JSON && signatures <= trailer::MAX_SIGNATURES_LEN;
    let (json, signatures) = (vec![b'j'; json], vec![b's'; signatures]);
    let written = trailer::encode(&json, &signatures);
    assert_eq!(written.is_ok(), fits);
    if let Ok(area) = written {
        let found = trailer::decode(&area).expect("what was written can be read");
        assert!(found.json == json && found.signatures == signatures);
    }
}

/// A keyring returns its keys, and never more than a loader has space for.
pub fn keyring(data: &[u8]) {
    assert!(
        data.len() >= keyring::LEN || keyring::decode(data).is_err(),
        "a short section is refused"
    );
    let mut section = data.to_vec();
    section.resize(section.len().max(keyring::LEN), 0);
    for magic in [false, true] {
        if magic {
            section[..8].copy_from_slice(b"BPKEYS01");
        }
        let Ok(keys) = keyring::decode(&section) else {
            continue;
        };
        assert!(keys.len() <= keyring::MAX_KEYS);
        let again = keyring::encode(&keys).expect("what was read can be written");
        let used = 12 + 40 * keys.len();
        assert_eq!(again[..used], section[..used]);
        assert_eq!(keyring::decode(&again), Ok(keys));
    }
}
