//! The outermost layer of PID 1: whatever happens below it, it neither panics nor exits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use node::boot;
use node::modules::helper;
use node::power::Stop;
use state::panic_message;
use upgrades::trial;

use super::{container, prepare, stop, wiring};
use crate::initramfs;

/// How long the reason of a failure stays on the console before the machine restarts.
const READING_TIME: Duration = Duration::from_secs(10);

/// How much stack each thread has, in bytes. Without optimisation the same calls take several times as much.
const STACK: usize = if cfg!(debug_assertions) {
    4096 * 1024
} else {
    512 * 1024
};

/// Runs the program: `main` calls it with the arguments after the program's name.
///
/// As PID 1 it never returns. The kernel also calls it for modules; for anybody else it tells its version.
pub fn main(arguments: &[String]) -> ExitCode {
    if let Some(name) = helper::asked_for(arguments) {
        return if helper::answer(name) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    if std::process::id() == 1 {
        pid_1(arguments)
    }
    // Services of machined's own are this program, too: PID 1 stays small.
    if let Some(asked) = dns::asked_for(arguments) {
        return dns::main(asked);
    }
    if let Some(asked) = workloads::asked_for(arguments) {
        return workloads::main(asked);
    }
    let version = concat!(
        "machined ",
        env!("CARGO_PKG_VERSION"),
        ": the agent of a Bedplate node; it runs as PID 1"
    );
    stdio::line(version).map_or_else(|lost| stdio::exit_code(&lost), |()| ExitCode::SUCCESS)
}

fn pid_1(arguments: &[String]) -> ! {
    let life = AssertUnwindSafe(|| {
        if in_root() {
            system(arguments)
        } else {
            initramfs::run().map(|never| match never {})
        }
    });
    let ended = catch_unwind(life)
        .unwrap_or_else(|panic| Err(format!("panicked: {}", panic_message(panic.as_ref()))));
    match ended {
        Ok(request) => halt(request),
        Err(reason) => {
            console::last_words(&reason);
            if boot::container::engine().is_some() {
                container::exit(Stop::Reboot)
            }
            // So that the system that is fallen back to can say why.
            let _untold = catch_unwind(|| trial::last_words(&reason));
            std::thread::sleep(READING_TIME);
            halt(Stop::Reboot)
        }
    }
}

/// The initramfs has its facts elsewhere: see `initramfs::run`.
fn in_root() -> bool {
    Path::new(release_file::PATH).exists()
}

/// Runs the node, and returns how it is to stop when everything has stopped.
fn system(arguments: &[String]) -> Result<Stop, String> {
    let prepared = prepare::prepare(arguments).map_err(|error| state::chain(&error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .thread_name("machined-work")
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the async runtime: {error}"))?;
    let request = runtime.block_on(wiring::run(prepared))?;
    // What still blocks has had its time.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(request)
}

/// Stops the machine, or the container. When the kernel refuses there is nothing left to do but to stay.
fn halt(request: Stop) -> ! {
    let refused = stop::machine(request);
    console::last_words(&refused);
    loop {
        while sys::process::reap_any().is_some() {}
        std::thread::sleep(Duration::from_secs(1));
    }
}

mod console {
    use std::fs::File;
    use std::io::Write;

    /// Says why the machine stops, wherever somebody may see it. Nothing can be done when nobody can.
    pub(super) fn last_words(reason: &str) {
        if node::boot::container::engine().is_some() {
            return node::boot::consoles::print(&format!("bedplate: {reason}\n"));
        }
        let line = format!("bedplate: {reason}");
        // The kernel keeps it for the next boot, at a level that the console does not show a second time.
        for (place, line) in [
            ("/dev/console", format!("\r\n{line}\r\n")),
            ("/dev/kmsg", format!("<6>{line}\n")),
        ] {
            let _unseen = File::options()
                .write(true)
                .open(place)
                .and_then(|mut file| file.write_all(line.as_bytes()));
        }
    }
}
