//! `cargo xtask e2e`, `demo` and `bench`: builds everything, then hands over to the `e2e` program.
//!
//! That program (crate `tests/`) owns images, emulators and nodes; this file only sees to it that what it runs is built.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::arch::Arch;
use crate::process::Program;
use crate::setup::{self, Toolchain};
use crate::{build, nodes, paths};

/// Boots real images in an emulator and checks what they do.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Run only these scenarios, each by its name or, for several, by a part of their names
    names: Vec<String>,
    /// Also those that are otherwise run only when they are named
    #[arg(long)]
    all: bool,
    /// Most machines that run at a time; without it, as many as cores and memory allow
    #[arg(long, value_name = "COUNT")]
    machines: Option<usize>,
    /// List the scenarios and run none
    #[arg(long)]
    list: bool,
}

impl Args {
    /// Builds what is tested, and runs the scenarios.
    pub fn run(self) -> Result<()> {
        if self.list {
            build::host()?;
            return program("list").run();
        }
        build::all(&setup::ensure(false)?, &Arch::ALL)?;
        let mut run = scenarios(&self.names, self.all);
        if let Some(machines) = self.machines {
            run = run.args(["--machines", &machines.to_string()]);
        }
        run.run()
    }
}

/// Shows a node: builds an image, flashes it, boots it in an emulator and asks it for its status. Or shows a cluster.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// The board to build for; without it, the emulated board of the architecture
    #[arg(long)]
    board: Option<String>,
    /// The board's architecture
    #[arg(long, value_enum, default_value_t = Arch::Arm64)]
    arch: Arch,
    /// Leave the node running until Ctrl-C, or the cluster until it is destroyed
    #[arg(long)]
    keep: bool,
    /// Show a cluster of Podman containers instead, made by `bedplate cluster create`
    #[arg(long, conflicts_with_all = ["board", "arch"])]
    cluster: bool,
    /// Number of control planes of the cluster
    #[arg(long, default_value_t = 3, value_name = "COUNT", requires = "cluster")]
    control_planes: usize,
    /// Number of workers of the cluster
    #[arg(long, default_value_t = 1, value_name = "COUNT", requires = "cluster")]
    workers: usize,
    /// Programs of Kubernetes for the cluster: a folder, an archive or a version; without it, what KUBERNETES_PROGRAMS
    /// names
    #[arg(long, value_name = "PATH|VERSION", requires = "cluster")]
    kubernetes: Option<String>,
}

impl Demo {
    /// Builds for one architecture and starts the demonstration.
    pub fn run(self) -> Result<()> {
        let toolchain = setup::ensure(false)?;
        if self.cluster {
            return self.of_cluster(&toolchain);
        }
        build::all(&toolchain, &[self.arch])?;
        let mut demo = program("demo").args(["--arch", self.arch.name()]);
        if let Some(board) = &self.board {
            demo = demo.args(["--board", board]);
        }
        if self.keep {
            demo = demo.arg("--keep").within(Duration::from_secs(24 * 3600));
        }
        demo.run()
    }

    fn of_cluster(&self, toolchain: &Toolchain) -> Result<()> {
        setup::ensure_containers()?;
        build::all(toolchain, &[containers_arch()?])?;
        let counts = [self.control_planes, self.workers].map(|count| count.to_string());
        let mut demo = program("demo").args([
            "--cluster",
            "--control-planes",
            &counts[0],
            "--workers",
            &counts[1],
        ]);
        if let Some(kubernetes) = &self.kubernetes {
            demo = demo.args(["--kubernetes", kubernetes]);
        }
        if self.keep {
            demo = demo.arg("--keep");
        }
        demo.run()
    }
}

/// Measures what Bedplate promises: sizes, memory, times; and prints them as a table.
#[derive(Debug, clap::Args)]
pub struct Bench {
    /// Only these: download, flash, run, upgrade, cluster, failover
    parts: Vec<String>,
}

impl Bench {
    /// Builds the images and measures.
    pub fn run(self) -> Result<()> {
        let toolchain = setup::ensure(false)?;
        setup::ensure_peers()?;
        let named = |part: &String| CONTAINERS.contains(&part.as_str());
        if self.parts.is_empty() || self.parts.iter().any(named) {
            setup::ensure_containers()?;
            build::all(&toolchain, &[containers_arch()?])?;
        }
        if !self.parts.is_empty() && self.parts.iter().all(named) {
            return program("bench").args(&self.parts).run();
        }
        build::all(&toolchain, &[Arch::Arm64])?;
        nodes::build_other_agent(&toolchain, Arch::Arm64)?;
        // What is timed is built as it is shipped.
        let engine = Program::new("cargo").args(["build", "--release", "--locked", "--package", "upgrade"]);
        engine
            .args(["--example", "install"])
            .within(Duration::from_secs(30 * 60))
            .run()?;
        program("bench").args(&self.parts).run()
    }
}

/// The parts of the measuring that need containers, and nothing else.
const CONTAINERS: [&str; 2] = ["cluster", "failover"];

/// Returns the architecture of nodes that are containers of this machine.
fn containers_arch() -> Result<Arch> {
    Arch::host().context("nodes as containers need a machine with arm64 or amd64")
}

/// Returns the run of the scenarios whose names contain one of the words, or of those of every run, or of all.
pub fn scenarios(names: &[String], all: bool) -> Program {
    let run = program("run").args(names);
    if all { run.arg("--all") } else { run }
}

fn program(command: &str) -> Program {
    Program::new(paths::host_programs().join("e2e"))
        .arg(command)
        .within(Duration::from_secs(90 * 60))
}
