//! Starts machined; see the library for what that means.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    machined::run::main(&arguments)
}
