//! Talks to firmware that runs on another processor, through its mailbox: asks it to try files at its next start.
//!
//! A message lies in memory that both processors see. Its address is put into the mailbox, with the number of a channel in
//! the low four bits; the firmware writes its answer over the message, and puts the same address into the other direction.

/// A message: length in bytes, code, then tags, each with its number, the length of its value, a code and the value; a zero
/// ends them. It takes a whole cache line.
pub type Message = [u32; 16];

/// The registers, by their offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Register {
    /// What the firmware sent.
    Read = 0x00,
    /// The state of that direction.
    ReadStatus = 0x18,
    /// What the firmware is sent.
    Write = 0x20,
    /// The state of that direction.
    WriteStatus = 0x38,
}

/// The hardware.
pub trait Port {
    /// Reads a register.
    fn load(&mut self, register: Register) -> u32;
    /// Writes a register.
    fn store(&mut self, register: Register, value: u32);
    /// Puts a message where the firmware sees it, and returns its address there: a multiple of 16.
    fn put(&mut self, message: &Message) -> u32;
    /// Reads what the firmware has made of it.
    fn get(&mut self) -> Message;
    /// Waits a millisecond.
    fn pause(&mut self);
}

/// Why the firmware was not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MailboxFault {
    /// The mailbox does not get empty or free.
    #[error("the mailbox of the firmware stays busy")]
    Busy,
    /// There is no answer.
    #[error("the firmware does not answer")]
    Silent,
    /// The answer says no.
    #[error("the firmware does not know how to try files (tag {tag:#x})")]
    Refused {
        /// The tag that it refused.
        tag: u32,
    },
}

const FULL: u32 = 1 << 31;
const EMPTY: u32 = 1 << 30;
/// The channel of messages with tags.
const CHANNEL: u32 = 8;
const CHANNELS: u32 = 0xf;
/// Set in codes of answers.
const ANSWER: u32 = 1 << 31;
/// Sets flags for the next start.
const SET_REBOOT_FLAGS: u32 = 0x0003_8064;
/// The flag that has files tried.
const TRY_FILES: u32 = 1;
/// Says that a reset follows.
const NOTIFY_REBOOT: u32 = 0x0003_0048;
/// Milliseconds that the firmware has for an answer.
const PATIENCE: usize = 1000;
/// The most old answers that are skipped.
const MOST: usize = 64;

/// Asks the firmware to try files at the next start, which must follow.
///
/// # Errors
/// The firmware cannot be reached, or refuses. It may have taken the request nevertheless.
pub fn ask_for_trial(port: &mut impl Port) -> Result<(), MailboxFault> {
    let answer = call(port, SET_REBOOT_FLAGS, &[TRY_FILES])?;
    // Firmware that does not know a tag leaves its code as it was.
    if answer[4] != ANSWER | 4 {
        return Err(MailboxFault::Refused {
            tag: SET_REBOOT_FLAGS,
        });
    }
    call(port, NOTIFY_REBOOT, &[]).map(drop)
}

/// Sends one tag, and returns the answer.
fn call(port: &mut impl Port, tag: u32, value: &[u32]) -> Result<Message, MailboxFault> {
    let mut message: Message = [0; 16];
    let len = 4 * value.len() as u32;
    message[..5].copy_from_slice(&[24 + len, 0, tag, len, 0]);
    message[5..5 + value.len()].copy_from_slice(value);
    for _ in 0..MOST {
        if port.load(Register::ReadStatus) & EMPTY != 0 {
            break;
        }
        port.load(Register::Read);
    }
    wait(port, Register::WriteStatus, FULL).ok_or(MailboxFault::Busy)?;
    let address = port.put(&message) | CHANNEL;
    port.store(Register::Write, address);
    for _ in 0..MOST {
        wait(port, Register::ReadStatus, EMPTY).ok_or(MailboxFault::Silent)?;
        let found = port.load(Register::Read);
        if found & CHANNELS == CHANNEL && found == address {
            let answer = port.get();
            return match answer[1] {
                ANSWER => Ok(answer),
                _ => Err(MailboxFault::Refused { tag }),
            };
        }
    }
    Err(MailboxFault::Silent)
}

/// Waits until none of these bits is set.
fn wait(port: &mut impl Port, status: Register, bits: u32) -> Option<()> {
    for _ in 0..PATIENCE {
        if port.load(status) & bits == 0 {
            return Some(());
        }
        port.pause();
    }
    None
}

#[cfg(test)]
mod tests;
