//! Shows a node to a newcomer: what was built, flashed and booted, and what can be asked.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::emulator::Emulator;
use crate::machine::Machine;
use crate::node::Node;
use crate::tools;
use crate::workshop::Workshop;

const UP: Duration = Duration::from_secs(420);

/// Builds an image, flashes it, boots it in an emulator, and asks the node for its status.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The board; without it, the emulated board of the architecture
    #[arg(long)]
    board: Option<String>,
    /// The board's architecture
    #[arg(long, default_value = "arm64")]
    arch: String,
    /// Leave the node running until Ctrl-C
    #[arg(long)]
    keep: bool,
}

impl Args {
    /// Shows it.
    pub fn run(self) -> Result<()> {
        let workshop = Workshop::new(tools::target().join("demo"))?;
        let start = Instant::now();
        let board = self.board.as_deref().unwrap_or(default_board(&self.arch));
        let machine = Machine::for_board(board, &self.arch);

        say(&format!(
            "building and signing the image of board {board} (packages are fetched once)"
        ));
        let bundle = workshop.bundle(board)?;
        say(&format!(
            "{}: {} MB, signed",
            bundle.display(),
            fs::metadata(&bundle)?.len() / 1_000_000
        ));
        let cluster = workshop.cluster_named("demo")?;
        say(&format!(
            "machine config and client certificate: {}",
            cluster.machine.parent().unwrap_or(Path::new(".")).display()
        ));
        let image = workshop.folder().join("disk.img");
        let disk = workshop.flash(&bundle, &image, Some(&cluster.machine))?;
        say(&format!(
            "flashed with that config into {}, and read back",
            image.display()
        ));

        let booted = Instant::now();
        let emulator = Emulator::start(machine, &disk, workshop.folder(), booted + UP)?;
        say(&format!(
            "switched on; its console goes to {}",
            emulator.kernel.path().display()
        ));
        let node = Node::with_client(emulator.api_port, cluster.client.clone(), booted + UP);
        node.phase("running", UP)?;
        say(&format!(
            "it answers over mutual TLS {} s later:\n",
            booted.elapsed().as_secs()
        ));
        for words in [&["version"][..], &["status"], &["services"]] {
            stdio::line(format_args!(
                "$ bedplate {}\n{}",
                words.join(" "),
                node.command(words).run()?
            ))?;
        }
        say(&format!("all of it took {} s", start.elapsed().as_secs()));
        if self.keep {
            keep(&emulator, &cluster.client)
        } else {
            drop(emulator);
            say(
                "the node is switched off; `cargo xtask demo --keep` leaves it on, to try the other commands:",
            );
            say(
                "  bedplate logs machined · get · dmesg · processes · memory · mounts · net · ls / · apply · reboot · reset",
            );
            say(&format!(
                "to flash a real board: cargo xtask build, then target/tools/bedplate-flash {} /dev/… --key {}",
                bundle.display(),
                workshop.key("release")?.public.display()
            ));
            Ok(())
        }
    }
}

fn keep(emulator: &Emulator, client: &Path) -> Result<()> {
    say("the node stays on until Ctrl-C. In another terminal:");
    stdio::line(format_args!(
        "  alias bedplate='{}/bedplate --config {} --endpoint 127.0.0.1:{}'",
        tools::programs().display(),
        client.display(),
        emulator.api_port
    ))?;
    for (words, what) in [
        ("status", "phase, boot timings, slots, health"),
        ("get", "every kind of resource the controllers work on"),
        ("logs machined --follow", "what the agent says"),
        ("reboot", "and see that it comes back as the same node"),
        ("reset", "and it waits for a config again"),
    ] {
        stdio::line(format_args!("  bedplate {words:<24} # {what}"))?;
    }
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// The board of an architecture that the emulator knows best.
fn default_board(arch: &str) -> &'static str {
    if arch == "amd64" {
        "generic-amd64"
    } else {
        "qemu-arm64"
    }
}

fn say(what: &str) {
    // Progress may be lost; a demonstration goes on.
    stdio::line(format_args!("demo: {what}")).ok();
}
