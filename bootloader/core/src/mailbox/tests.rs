//! Against an emulated mailbox, with firmware behind it that takes its time.

extern crate std;

use std::collections::VecDeque;
use std::vec::Vec;

use super::*;

/// Where the message lies, for the firmware.
const PLACE: u32 = 0xc123_4000;

/// The mailbox, and what the firmware is like.
#[derive(Default)]
struct Emulated {
    memory: Message,
    /// What the processor can read.
    inbox: VecDeque<u32>,
    /// What the firmware answers when it is next given time.
    due: Option<u32>,
    full: bool,
    /// The firmware knows no tags.
    ignorant: bool,
    /// The firmware says that the message is malformed.
    cross: bool,
    /// The firmware does nothing.
    hung: bool,
    /// The flags for the next start.
    flags: u32,
    /// The tags that were sent.
    tags: Vec<u32>,
    pauses: usize,
}

impl Emulated {
    /// Reads the message as the firmware's documentation describes it.
    fn act(&mut self, address: u32) {
        assert_eq!(address, PLACE | 8, "channel 8, at the message");
        let [len, code, tag, size, kind, ..] = self.memory;
        assert_eq!((code, kind), (0, 0), "a request");
        assert_eq!(len, 24 + size, "header, one tag and the end");
        assert_eq!(self.memory[5 + size as usize / 4], 0, "the end");
        self.tags.push(tag);
        self.memory[1] = if self.cross { 0x8000_0001 } else { 0x8000_0000 };
        if !self.ignorant && !self.cross {
            if tag == 0x0003_8064 {
                self.flags = self.memory[5];
            }
            self.memory[4] = 0x8000_0000 | size;
        }
        self.due = Some(address);
    }
}

impl Port for Emulated {
    fn load(&mut self, register: Register) -> u32 {
        match register {
            Register::Read => self.inbox.pop_front().expect("read while it was empty"),
            Register::ReadStatus => u32::from(self.inbox.is_empty()) << 30,
            Register::WriteStatus => u32::from(self.full) << 31,
            Register::Write => panic!("not for reading"),
        }
    }

    fn store(&mut self, register: Register, value: u32) {
        assert_eq!(register, Register::Write);
        if !self.hung {
            self.act(value);
        }
    }

    fn put(&mut self, message: &Message) -> u32 {
        self.memory = *message;
        PLACE
    }

    fn get(&mut self) -> Message {
        self.memory
    }

    fn pause(&mut self) {
        self.pauses += 1;
        self.inbox.extend(self.due.take());
    }
}

#[test]
fn the_flag_is_set_and_the_reset_announced() {
    // Answers to somebody else are in the way.
    let mut firmware = Emulated {
        inbox: VecDeque::from([0x1000 | 8, 0x2000 | 1]),
        ..Emulated::default()
    };
    assert_eq!(ask_for_trial(&mut firmware), Ok(()));
    assert_eq!(firmware.flags, 1);
    assert_eq!(firmware.tags, [0x0003_8064, 0x0003_0048]);
}

#[test]
fn firmware_that_cannot_is_left_alone() {
    let refused = Err(MailboxFault::Refused { tag: 0x0003_8064 });
    for (firmware, expected) in [
        (
            Emulated {
                ignorant: true,
                ..Emulated::default()
            },
            refused,
        ),
        (
            Emulated {
                cross: true,
                ..Emulated::default()
            },
            refused,
        ),
        (
            Emulated {
                hung: true,
                ..Emulated::default()
            },
            Err(MailboxFault::Silent),
        ),
        (
            Emulated {
                full: true,
                ..Emulated::default()
            },
            Err(MailboxFault::Busy),
        ),
    ] {
        let mut firmware = firmware;
        assert_eq!(ask_for_trial(&mut firmware), expected);
        assert_eq!(firmware.flags, 0);
        assert!(!firmware.tags.contains(&0x0003_0048), "no reset is announced");
        assert!(firmware.pauses <= 2 * PATIENCE, "it does not wait forever");
    }
}
