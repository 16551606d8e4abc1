//! The program that libFuzzer drives: runs the target that `FUZZ_TARGET` names on whatever libFuzzer makes up.
//!
//! `cargo xtask fuzz` builds and starts it; `docs/fuzzing.md` tells how.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: {
        fuzz::chosen();
    },
    |data: &[u8]| (fuzz::chosen().run)(data)
);
