//! The kernel arguments that the loader adds.

use core::fmt::{self, Display};

use firmware_trial::Started;
use manifest::Digest;
use slots::{Reason, Slot};

use crate::Cause;

/// Times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// From the loader's first instruction to the start of the kernel.
    pub total: u64,
    /// Of that, reading and checking: signatures and hashes.
    pub verify: u64,
    /// From power-on to the loader's first instruction, by the machine's counter.
    pub firmware: u64,
}

/// The arguments that describe this boot; [`Display`] formats them to be appended to the manifest's command line.
#[derive(Debug, Clone)]
pub struct KernelArguments<'a, G> {
    /// The slot that is started.
    pub slot: Slot,
    /// Hash of its manifest's JSON.
    pub manifest: Digest,
    /// The GUID of the disk that the loader came from.
    pub disk: G,
    /// The number of the start mark on that disk; none when no other disk has its GUID.
    pub start: Option<u64>,
    /// Why this slot was chosen.
    pub cause: Cause,
    /// How the firmware was started, if it says so.
    pub firmware: Option<Started>,
    /// Slots that were not started, and why.
    pub failed: &'a [(Slot, Reason)],
    /// The durations of this boot.
    pub timings: Timings,
}

impl<G: Display> Display for KernelArguments<'_, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KernelArguments {
            slot,
            manifest,
            disk,
            start,
            cause,
            firmware,
            failed,
            timings,
        } = self;
        write!(
            f,
            "bedplate.slot={slot} bedplate.manifest={manifest} bedplate.disk={disk} bedplate.cause={cause}"
        )?;
        if let Some(start) = start {
            write!(f, " bedplate.start={start}")?;
        }
        if let Some(firmware) = firmware {
            write!(f, " bedplate.firmware={}", firmware.as_str())?;
        }
        for (index, (slot, reason)) in failed.iter().enumerate() {
            let separator = if index == 0 { " bedplate.failed=" } else { "," };
            write!(f, "{separator}{slot}:{}", reason.code())?;
        }
        let Timings {
            total,
            verify,
            firmware,
        } = timings;
        write!(f, " bedplate.loader={total},{verify},{firmware}")
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn golden_arguments() {
        let mut arguments = KernelArguments {
            slot: Slot::B,
            manifest: Digest([0xab; 32]),
            disk: "12345678-9abc-4def-8123-456789abcdef",
            start: Some(7),
            cause: Cause::Fallback,
            firmware: Some(Started::Usual),
            failed: &[(Slot::A, Reason::KernelHash), (Slot::B, Reason::Unknown(200))],
            timings: Timings {
                total: 812,
                verify: 230,
                firmware: 1900,
            },
        };
        assert_eq!(
            arguments.to_string(),
            "bedplate.slot=b bedplate.manifest=abababababababababababababababababababababababababababababababab \
             bedplate.disk=12345678-9abc-4def-8123-456789abcdef bedplate.cause=fallback \
             bedplate.start=7 bedplate.firmware=usual bedplate.failed=a:10,b:200 bedplate.loader=812,230,1900"
        );
        arguments.failed = &[];
        arguments.start = None;
        arguments.firmware = None;
        let usual = arguments.to_string();
        assert!(
            !usual.contains("failed") && !usual.contains("start") && !usual.contains("bedplate.firmware"),
            "{usual}"
        );
        // Even the longest command line of a manifest with the longest of ours is not truncated by any kernel.
        arguments.start = Some(u64::MAX);
        arguments.firmware = Some(Started::Trial);
        arguments.timings = Timings {
            total: u64::MAX,
            verify: u64::MAX,
            firmware: u64::MAX,
        };
        assert!(
            manifest::MAX_CMDLINE + 1 + arguments.to_string().len() + " bedplate.failed=a:255,b:255".len()
                < 2048
        );
    }
}
