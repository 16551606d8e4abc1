//! Why a slot was refused. Codes are on disks and on kernel command lines: a number, once given, keeps its meaning.

use core::fmt;

macro_rules! reasons {
    ($($code:literal $name:ident $sentence:literal),+ $(,)?) => {
        /// The reason why a slot was not started, or was abandoned.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $(#[doc = $sentence] $name,)+
            /// A code written by a newer release than this one. Kept as it is when the record is written again.
            Unknown(u8),
        }

        impl Reason {
            /// All reasons that this release knows.
            pub const KNOWN: &'static [Reason] = &[$(Reason::$name),+];

            /// Returns the number of this reason on disk and on the kernel's command line.
            pub const fn code(self) -> u8 {
                match self {
                    $(Reason::$name => $code,)+
                    Reason::Unknown(code) => code,
                }
            }

            /// Finds the reason for a number. Every number has one.
            pub const fn from_code(code: u8) -> Reason {
                match code {
                    $($code => Reason::$name,)+
                    other => Reason::Unknown(other),
                }
            }
        }

        impl fmt::Display for Reason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Reason::$name => f.write_str($sentence),)+
                    Reason::Unknown(code) => write!(f, "reason {code}, unknown to this release"),
                }
            }
        }
    };
}

reasons! {
    1 Empty "it is empty",
    2 ManifestMissing "it has no manifest",
    3 ManifestMalformed "its manifest is malformed",
    4 SignatureInvalid "its manifest does not match its signature",
    5 SignatureMalformed "its signature is malformed",
    6 UnknownKey "its manifest is signed by no trusted key",
    7 WrongBoard "it is for another board",
    8 WrongArch "it is for another architecture",
    9 BelowFloor "its version is below the floor",
    10 KernelHash "kernel hash does not match the manifest",
    11 InitramfsHash "initramfs hash does not match the manifest",
    12 DeviceTreeHash "device tree hash does not match the manifest",
    13 RootHash "root file system does not match the manifest",
    14 ReadFailed "it cannot be read",
    15 LoadFailed "the firmware cannot load its kernel",
    16 StartFailed "its kernel came back",
    17 OutOfMemory "it does not fit into memory",
    18 TriesExhausted "it has no tries left",
    19 NotHealthy "it was not healthy in time",
    20 Watchdog "the watchdog reset it",
    21 RecordNotWritten "its try could not be counted",
    22 PartitionMissing "its partition is missing",
    23 TooLarge "it is larger than its partition",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip() {
        for code in 0..=255 {
            assert_eq!(Reason::from_code(code).code(), code);
        }
        for &reason in Reason::KNOWN {
            assert_eq!(Reason::from_code(reason.code()), reason);
            assert!(!matches!(reason, Reason::Unknown(_)));
        }
    }

    /// People look codes up in the guide: it lists each one with the sentence that the console shows.
    #[test]
    fn the_guide_lists_every_reason() {
        extern crate std;
        let guide = include_str!("../../../docs/bootloader.md");
        for &reason in Reason::KNOWN {
            let entry = std::format!("| {} | {reason} |", reason.code());
            assert!(guide.contains(&entry), "docs/bootloader.md lacks {entry:?}");
        }
    }
}
