//! The manifest's JSON.

use manifest::trailer::AREA;
use manifest::{ImageName, MAX_CMDLINE, MAX_JSON, Manifest, PART_ALIGNMENT, TrustedKey};

/// An accepted manifest has one form, and obeys every rule that loader, flash tool and agent rely on.
pub fn manifest(data: &[u8]) {
    let Ok(manifest) = Manifest::parse_unverified(data) else {
        return;
    };
    let json = manifest.to_json().expect("what was read can be written");
    assert!(
        json.len() <= data.len().min(MAX_JSON),
        "the builder's form is the shortest"
    );
    let again = Manifest::parse_unverified(&json).expect("what was written can be read");
    assert_eq!(again, manifest);
    assert_eq!(again.to_json().ok(), Some(json), "one manifest, one form");
    check(&manifest);
}

fn check(manifest: &Manifest) {
    assert_eq!(manifest.check(), Ok(()));
    let (slot, disk) = (&manifest.slot, &manifest.disk);
    let room = disk.slot_size - AREA as u64;
    assert!(
        slot.size <= room,
        "there is space for the trailer after the image"
    );

    let mut end = 0;
    for part in &slot.parts {
        assert_eq!(part.offset, end);
        assert!(part.size > 0 && !part.name.is_empty() && !part.name.contains('/'));
        end = (part.offset + part.size).next_multiple_of(PART_ALIGNMENT);
    }
    assert_eq!(slot.verity.data_blocks * PART_ALIGNMENT, end);
    assert_eq!(
        (
            slot.verity.tree_offset,
            slot.verity.tree_offset + slot.verity.tree_size
        ),
        (end, slot.size)
    );
    for part in [manifest.kernel(), manifest.initramfs(), manifest.root()] {
        assert!(part.offset + part.size <= end);
    }
    if let Some(trees) = &manifest.device_trees {
        assert!(manifest.device_tree(&trees.default).is_some());
    }

    assert_eq!(
        manifest.image(ImageName::SLOT).map(|image| image.size),
        Some(slot.size)
    );
    if let Some(code) = manifest.image(ImageName::BOOTCODE) {
        let place = code.offset.expect("boot code has a place");
        assert!(
            place + code.size <= disk.first_partition,
            "boot code ends before the partitions"
        );
    }
    assert!(manifest.cmdline.len() <= MAX_CMDLINE && !manifest.cmdline.contains('\n'));

    assert!(
        manifest.floor <= manifest.version,
        "a release can boot once it is committed"
    );
    for key in &manifest.keys {
        assert_eq!(TrustedKey::parse(&key.to_line()), Ok(*key));
    }
    let mut end = 0;
    for set in &manifest.patches {
        assert!(set.offset >= end && set.offset.is_multiple_of(PART_ALIGNMENT));
        end = set.offset + set.index_size + set.size;
        assert_eq!(manifest.patches_from(&set.from), Some(set));
    }
}
