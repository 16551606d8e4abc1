//! What end-to-end tests put on a node: programs that misbehave on purpose, and one that starts a pod.
//!
//! No image has it but those that tests build, with the overlays of `tests/faults`. In the place of machined it is an
//! init that ends at once.

mod bounds;
mod misdeeds;
mod pod;
mod pry;

use std::process::ExitCode;

const HELP: &str =
    "faulty: misbehaves for end-to-end tests. Say one of panic, hang, stall, fail, wait, unready, pod, pry";

fn main() -> ExitCode {
    let word = std::env::args().nth(1).unwrap_or_default();
    let done = match word.as_str() {
        "panic" => misdeeds::panic(),
        "hang" => misdeeds::hang(),
        "stall" => misdeeds::stall(),
        "wait" => misdeeds::wait(),
        "fail" => Err(anyhow::anyhow!("fails, as it was told")),
        "unready" => Err(anyhow::anyhow!("the node is not Ready, and never will be")),
        "pod" => pod::start(),
        "pry" => pry::pry(),
        _ => Err(anyhow::anyhow!(HELP)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
