//! One node: what was built, flashed and booted, and what can be asked.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{keep, say, show};
use crate::emulator::Emulator;
use crate::machine::Machine;
use crate::node::Node;
use crate::tools;
use crate::workshop::Workshop;

const UP: Duration = Duration::from_secs(420);

/// Builds an image, flashes it, boots it in an emulator, and asks the node for its status.
pub fn run(board: Option<&str>, arch: &str, keeps: bool) -> Result<()> {
    let workshop = Workshop::new(tools::target().join("demo"))?;
    let start = Instant::now();
    let board = board.unwrap_or(default_board(arch));
    let machine = Machine::for_board(board, arch);

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
        show(&format!("bedplate {}", words.join(" ")), &node.command(words))?;
    }
    say(&format!("all of it took {} s", start.elapsed().as_secs()));
    if keeps {
        keep_on(&emulator, &cluster.client)
    } else {
        drop(emulator);
        say("the node is switched off; `cargo xtask demo --keep` leaves it on, to try the other commands:");
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

fn keep_on(emulator: &Emulator, client: &Path) -> Result<()> {
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
    keep()
}

/// The board of an architecture that the emulator knows best.
fn default_board(arch: &str) -> &'static str {
    if arch == "amd64" {
        "generic-amd64"
    } else {
        "qemu-arm64"
    }
}
