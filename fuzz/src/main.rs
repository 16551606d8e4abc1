//! The program that libFuzzer drives: runs the target named by `FUZZ_TARGET` on libFuzzer's inputs.
//!
//! `cargo xtask fuzz` builds and starts it; see `docs/fuzzing.md`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: {
        fuzz::chosen();
    },
    |data: &[u8]| (fuzz::chosen().run)(data)
);
