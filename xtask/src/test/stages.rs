//! The stages of a test run.

use std::time::Duration;

use crate::process::Program;
use crate::{e2e, paths};

/// Which stages run one after the other. Those of two lanes run side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// What finds a fault soonest: it compiles in `target/debug`.
    Checks,
    /// What is compiled apart, for later stages, with a lower priority.
    Builds,
}

/// A stage: one program.
pub struct Stage {
    /// Its name; also that of its log.
    pub name: &'static str,
    /// What it runs.
    pub program: Program,
    /// Where it waits for its turn.
    pub lane: Lane,
    /// Stages that must have passed before.
    pub needs: &'static [&'static str],
}

/// Lists the stages, with or without those that boot images, and with all scenarios or those of every run.
pub fn stages(e2e: bool, all: bool) -> Vec<Stage> {
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    // All that `cargo test` runs by itself, but for examples in documentation: a lint sees to it that there are none.
    let test = [
        "test",
        "--workspace",
        "--lib",
        "--bins",
        "--tests",
        "--examples",
        "--locked",
        "--no-fail-fast",
    ];
    let check = |name, program| Stage {
        name,
        program,
        lane: Lane::Checks,
        needs: &[],
    };
    let build = |name, program: Program| Stage {
        name,
        program: program.nice(),
        lane: Lane::Builds,
        needs: &[],
    };
    let mut stages = vec![
        check("fmt", cargo(&["fmt", "--all", "--check"], 2)),
        check("clippy", cargo(&clippy, 40)),
        check("lint", xtask(&["lint"], 5)),
        check("test", cargo(&test, 60)),
    ];
    if e2e {
        stages.push(check("build-tools", xtask(&["build", "--with-tests"], 45)));
        stages.push(build("build-nodes", xtask(&["build", "--nodes"], 90)));
    }
    // Behind the other builds: targets are given seconds, and nothing is compiled beside them.
    stages.push(build("build-fuzz", xtask(&["fuzz", "--build"], 45)));
    stages.push(Stage {
        needs: &["build-fuzz"],
        ..check("fuzz", xtask(&["fuzz"], 60))
    });
    if e2e {
        stages.push(Stage {
            needs: &["build-nodes", "build-tools"],
            ..check("e2e", e2e::scenarios(&[], all))
        });
    }
    stages
}

fn cargo(args: &[&str], minutes: u64) -> Program {
    Program::new("cargo").args(args).within(minutes_of(minutes))
}

fn xtask(args: &[&str], minutes: u64) -> Program {
    let this = std::env::current_exe().unwrap_or_else(|_| paths::host_programs().join("xtask"));
    Program::new(this).args(args).within(minutes_of(minutes))
}

fn minutes_of(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_need_is_a_stage_before() {
        for (e2e, all) in [(false, false), (true, false), (true, true)] {
            let stages = stages(e2e, all);
            for (number, stage) in stages.iter().enumerate() {
                for need in stage.needs {
                    assert!(
                        stages[..number].iter().any(|before| before.name == *need),
                        "{need}"
                    );
                }
            }
        }
    }
}
