//! The instructions of classic BPF that the kernel's filters of packets are made of.
//!
//! Source of the numbers: `linux/filter.h` and `linux/bpf_common.h`.

use nix::libc;

pub(crate) const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
pub(crate) const LOAD_HALF: u16 = 0x28; // BPF_LD | BPF_H | BPF_ABS
pub(crate) const LOAD_BYTE: u16 = 0x30; // BPF_LD | BPF_B | BPF_ABS
pub(crate) const HEADER_LENGTH: u16 = 0xb1; // BPF_LDX | BPF_B | BPF_MSH
pub(crate) const LOAD_HALF_BEHIND: u16 = 0x48; // BPF_LD | BPF_H | BPF_IND
pub(crate) const IS: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
pub(crate) const HAS_BITS: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
pub(crate) const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// Makes an instruction; `jt` and `jf` are the instructions to skip if a test is true, and if it is false.
pub(crate) fn step(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}
