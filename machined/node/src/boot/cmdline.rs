//! What the loader tells on the kernel's command line.

use slots::Slot;

/// The loader's `bedplate.…` arguments. What is missing or malformed is none: the machine may have been
/// started by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cmdline {
    /// The slot that was started.
    pub slot: Option<Slot>,
    /// SHA-256 of the manifest that was verified, in hex.
    pub manifest: Option<String>,
    /// GUID of the disk that holds the slot, in lower case.
    pub disk: Option<String>,
    /// The number of the start mark on that disk, when another disk is its copy.
    pub start: Option<u64>,
    /// Why this slot was chosen.
    pub cause: Option<String>,
    /// How the firmware was started, `usual` or `trial`, if it says so.
    pub firmware: Option<String>,
    /// Slots that were refused on the way, and the code of the reason.
    pub failed: Vec<(Slot, u8)>,
    /// Milliseconds in the loader: in all, verifying, and in the firmware before it.
    pub loader: Option<[u64; 3]>,
}

/// Reads a kernel command line. When an argument is given twice, the last one counts, as in the kernel: the loader's
/// stand at the end.
pub fn parse(line: &str) -> Cmdline {
    let mut found = Cmdline::default();
    for (key, value) in line
        .split_ascii_whitespace()
        .filter_map(|word| word.split_once('='))
    {
        match key {
            "bedplate.slot" => found.slot = value.parse().ok(),
            "bedplate.manifest" => found.manifest = hex64(value),
            "bedplate.disk" => found.disk = Some(value.to_ascii_lowercase()),
            "bedplate.start" => found.start = value.parse().ok(),
            "bedplate.cause" => found.cause = Some(value.to_owned()),
            "bedplate.firmware" => found.firmware = Some(value.to_owned()),
            "bedplate.failed" => found.failed = value.split(',').filter_map(failure).collect(),
            "bedplate.loader" => found.loader = times(value),
            _ => {}
        }
    }
    found
}

fn hex64(value: &str) -> Option<String> {
    let valid = value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    valid.then(|| value.to_ascii_lowercase())
}

fn failure(item: &str) -> Option<(Slot, u8)> {
    let (slot, code) = item.split_once(':')?;
    Some((slot.parse().ok()?, code.parse().ok()?))
}

fn times(value: &str) -> Option<[u64; 3]> {
    let numbers: Vec<u64> = value
        .split(',')
        .map(|number| number.parse().ok())
        .collect::<Option<_>>()?;
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_the_loader_writes() {
        let hash = "AB".repeat(32);
        let line = format!(
            "console=ttyAMA0 quiet bedplate.slot=b bedplate.manifest={hash} bedplate.disk=0F-1 \
             bedplate.start=12 bedplate.cause=fallback bedplate.firmware=trial \
             bedplate.failed=a:10,b:x,a:3 bedplate.loader=900,120,3000\n"
        );
        let expected = Cmdline {
            slot: Some(Slot::B),
            manifest: Some("ab".repeat(32)),
            disk: Some("0f-1".into()),
            start: Some(12),
            cause: Some("fallback".into()),
            firmware: Some("trial".into()),
            failed: vec![(Slot::A, 10), (Slot::A, 3)],
            loader: Some([900, 120, 3000]),
        };
        assert_eq!(parse(&line), expected);
    }

    #[test]
    fn what_is_wrong_is_missing() {
        let line = "bedplate.slot=c bedplate.manifest=xyz bedplate.loader=1,2 bedplate.failed=";
        assert_eq!(parse(line), Cmdline::default());
        assert_eq!(
            parse("bedplate.slot=a bedplate.slot=b").slot,
            Some(Slot::B),
            "the last one counts"
        );
    }

    proptest! {
        #[test]
        fn never_panics(line in ".*") {
            let _ = parse(&line);
        }

        #[test]
        fn any_manifest_that_is_read_is_a_hash(value in "[0-9a-fA-F]{60,68}") {
            let found = parse(&format!("bedplate.manifest={value}")).manifest;
            prop_assert_eq!(found.is_some(), value.len() == 64);
        }
    }
}
