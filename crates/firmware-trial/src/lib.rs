//! The mark of a firmware trial: what a node asks of its loader, and how far that has got.
//!
//! Some firmware can be told to use other files for its next start only. The node puts such files on the EFI system partition
//! and writes a [`Mark`] into BOOTSTATE. The loader finds it, counts the try, tells the firmware and resets the machine
//! (`bootloader-core`). The node that comes up commits the files or, if the firmware is back at its old ones, reports that.
//! Only bytes in, bytes out: neither reads nor writes a disk, and knows no board.
#![no_std]

mod mark;

pub use mark::{MARK_LEN, MARK_OFFSET, Mailbox, Mark, Scope, Stage, decode, encode};

/// How the firmware was started, as it says itself: `bedplate.firmware` on the kernel's command line.
///
/// Absent where the firmware cannot try files, or the loader is older than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// With its usual files.
    Usual,
    /// With the files that it was told to try once.
    Trial,
}

impl Started {
    /// Returns the word on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Started::Usual => "usual",
            Started::Trial => "trial",
        }
    }

    /// Finds it by that word.
    pub fn find(word: &str) -> Option<Started> {
        [Started::Usual, Started::Trial]
            .into_iter()
            .find(|known| known.as_str() == word)
    }
}
