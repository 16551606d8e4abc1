//! Programs for end-to-end tests: some misbehave on purpose, one starts a pod, and others are workloads.
//!
//! Only images that tests build contain it, by the overlays of `tests/faults`. In place of machined it is an init that
//! exits at once.

mod bounds;
mod fault_injection;
mod lockdown;
mod pod;
mod workload;

use std::process::ExitCode;

const HELP: &str = "faulty: misbehaves for end-to-end tests. Say one of panic, hang, stall, fail, wait, unready, pod, pry, serve, check, eat, fill, free";

fn main() -> ExitCode {
    let word = std::env::args().nth(1).unwrap_or_default();
    let done = match word.as_str() {
        "panic" => fault_injection::panic(),
        "hang" => fault_injection::hang(),
        "stall" => fault_injection::stall(),
        "wait" => fault_injection::wait(),
        "fail" => Err(anyhow::anyhow!("fails, as it was told")),
        "unready" => Err(anyhow::anyhow!("the node is not Ready, and never will be")),
        "pod" => pod::start(),
        "pry" => lockdown::check(),
        "serve" => workload::serve(),
        "check" => workload::check(),
        "eat" => workload::eat(),
        "fill" => workload::fill(),
        "free" => workload::free(),
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
