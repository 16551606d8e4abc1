//! `bedplate-flash`: writes a bundle to a disk.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    flash_tool::main_from("bedplate-flash", env::args_os())
}
