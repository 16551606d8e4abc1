//! The bytes of a mark.

/// Length of the mark.
pub const MARK_LEN: usize = 512;

/// The offset of the mark in BOOTSTATE. There is one copy: a torn mark counts as none, and the node asks again.
pub const MARK_OFFSET: u64 = 464 * 1024;

const MAGIC: [u8; 8] = *b"BPFWTRY1";
const AT_STAGE: usize = 8;
const AT_SCOPE: usize = 9;
const AT_ID: usize = 16;
const AT_MAILBOX: usize = 48;
const AT_CRC: usize = MARK_LEN - 4;

/// A request to try files, and its progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// How far it has got.
    pub stage: Stage,
    /// Which files are tried.
    pub scope: Scope,
    /// Identifies what the partition is to hold when the trial is committed.
    pub id: [u8; 32],
    /// Where the loader reaches the firmware.
    pub mailbox: Mailbox,
}

/// How far a trial has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The node asks for it. All files are in their places.
    Requested,
    /// The loader has used the only try, and tells the firmware next.
    Counted,
    /// The firmware did not take it.
    Unanswered,
    /// The node was healthy with these files, and is making them the usual ones.
    Healthy,
}

/// Which files are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The firmware's configuration file alone.
    Config,
    /// All files of the release.
    Release,
}

/// The `compatible` name of the firmware's mailbox in the device tree: at most 64 printable characters without spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mailbox([u8; Mailbox::LONGEST]);

impl Mailbox {
    /// The longest name.
    pub const LONGEST: usize = 64;

    /// Takes a name; `None` when it is none.
    pub fn new(name: &str) -> Option<Mailbox> {
        let fits = (1..=Mailbox::LONGEST).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| {
            let mut bytes = [0; Mailbox::LONGEST];
            bytes[..name.len()].copy_from_slice(name.as_bytes());
            Mailbox(bytes)
        })
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        let len = self.0.iter().position(|byte| *byte == 0);
        // `new` lets ASCII pass alone.
        core::str::from_utf8(&self.0[..len.unwrap_or(Mailbox::LONGEST)]).unwrap_or_default()
    }
}

impl Mark {
    /// Returns the mark at another stage.
    #[must_use]
    pub const fn at(self, stage: Stage) -> Mark {
        Mark { stage, ..self }
    }
}

/// Lays out a mark.
pub fn encode(mark: &Mark) -> [u8; MARK_LEN] {
    let mut bytes = [0; MARK_LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[AT_STAGE] = match mark.stage {
        Stage::Requested => 0,
        Stage::Counted => 1,
        Stage::Unanswered => 2,
        Stage::Healthy => 3,
    };
    bytes[AT_SCOPE] = match mark.scope {
        Scope::Config => 0,
        Scope::Release => 1,
    };
    bytes[AT_ID..AT_MAILBOX].copy_from_slice(&mark.id);
    bytes[AT_MAILBOX..AT_MAILBOX + Mailbox::LONGEST].copy_from_slice(&mark.mailbox.0);
    let crc = crc32fast::hash(&bytes[..AT_CRC]);
    bytes[AT_CRC..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads a mark; `None` when there is none, or it is damaged.
pub fn decode(bytes: &[u8]) -> Option<Mark> {
    let bytes = bytes.first_chunk::<MARK_LEN>()?;
    let stage = match bytes[AT_STAGE] {
        0 => Stage::Requested,
        1 => Stage::Counted,
        2 => Stage::Unanswered,
        3 => Stage::Healthy,
        _ => return None,
    };
    let scope = match bytes[AT_SCOPE] {
        0 => Scope::Config,
        1 => Scope::Release,
        _ => return None,
    };
    let name = bytes[AT_MAILBOX..AT_MAILBOX + Mailbox::LONGEST]
        .split(|byte| *byte == 0)
        .next()?;
    let mark = Mark {
        stage,
        scope,
        id: *bytes[AT_ID..].first_chunk()?,
        mailbox: Mailbox::new(core::str::from_utf8(name).ok()?)?,
    };
    // One mark, one form: magic, checksum and reserved bytes are compared, too.
    (encode(&mark) == *bytes).then_some(mark)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::prelude::*;
    use std::string::String;

    use super::*;

    fn mark() -> Mark {
        Mark {
            stage: Stage::Requested,
            scope: Scope::Release,
            id: core::array::from_fn(|at| at as u8),
            mailbox: Mailbox::new("vendor,chip-mbox").unwrap(),
        }
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        for stage in [
            Stage::Requested,
            Stage::Counted,
            Stage::Unanswered,
            Stage::Healthy,
        ] {
            for scope in [Scope::Config, Scope::Release] {
                let mark = Mark { scope, ..mark() }.at(stage);
                assert_eq!(decode(&encode(&mark)), Some(mark));
            }
        }
        assert_eq!(mark().mailbox.as_str(), "vendor,chip-mbox");
        assert_eq!(decode(&[0; MARK_LEN]), None, "a fresh disk has none");
    }

    #[test]
    fn a_name_is_one_word() {
        let longest = "x".repeat(Mailbox::LONGEST);
        assert_eq!(Mailbox::new(&longest).unwrap().as_str(), longest);
        let too_long: String = "x".repeat(Mailbox::LONGEST + 1);
        for wrong in ["", "a b", "a\0b", "é", &too_long] {
            assert_eq!(Mailbox::new(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_changed_bit_is_noticed(at in 0..MARK_LEN * 8) {
            let mut bytes = encode(&mark());
            bytes[at / 8] ^= 1 << (at % 8);
            prop_assert_eq!(decode(&bytes), None);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = decode(&bytes);
        }
    }
}
