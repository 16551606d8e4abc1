//! What a slot's last 64 KiB prove: each way in which they can be wrong has its own reason.
#[path = "../../../crates/manifest/tests/support/mod.rs"]
mod support;

use bootloader_core::{Expected, examine};
use manifest::{Arch, Manifest, TrustedKey, trailer};
use slots::Reason;
use support::{Signer, sample};

fn signed(signer: &Signer, manifest: &Manifest) -> Vec<u8> {
    let json = manifest.to_json().expect("the sample is sound");
    trailer::encode(&json, &signer.sign(&json)).expect("the sample fits")
}

fn reason(area: &[u8], keys: &[TrustedKey], arch: Arch, partition_len: u64) -> Option<Reason> {
    let expected = Expected {
        keys,
        arch,
        partition_len,
    };
    examine(area, &expected).err().map(|refusal| refusal.reason())
}

#[test]
fn each_fault_has_its_own_reason() {
    let signer = Signer::new();
    let (keys, len) = ([signer.key()], sample().disk.slot_size);
    let good = signed(&signer, &sample());
    let json_len = sample().to_json().unwrap().len();
    let spoilt = |at: usize| {
        let mut area = good.clone();
        area[at] ^= 1;
        area
    };
    assert_eq!(reason(&good, &keys, Arch::Arm64, len), None);
    for (area, expected) in [
        (vec![0; trailer::AREA], Reason::ManifestMissing),
        (good[..4096].to_vec(), Reason::ReadFailed),
        (spoilt(11), Reason::ManifestMalformed),
        (spoilt(16 + 40), Reason::SignatureInvalid),
        (spoilt(16 + json_len), Reason::SignatureMalformed),
        (signed(&Signer::new(), &sample()), Reason::UnknownKey),
    ] {
        assert_eq!(reason(&area, &keys, Arch::Arm64, len), Some(expected));
    }
    assert_eq!(reason(&good, &[], Arch::Arm64, len), Some(Reason::UnknownKey));
    assert_eq!(reason(&good, &keys, Arch::Amd64, len), Some(Reason::WrongArch));
    let exact = sample().slot.size + trailer::AREA as u64;
    assert_eq!(reason(&good, &keys, Arch::Arm64, exact), None);
    assert_eq!(
        reason(&good, &keys, Arch::Arm64, exact - 1),
        Some(Reason::TooLarge)
    );
    assert_eq!(reason(&good, &keys, Arch::Arm64, 0), Some(Reason::TooLarge));
    let nonsense = trailer::encode(b"{}", &signer.sign(b"{}")).unwrap();
    assert_eq!(
        reason(&nonsense, &keys, Arch::Arm64, len),
        Some(Reason::ManifestMalformed)
    );
}
