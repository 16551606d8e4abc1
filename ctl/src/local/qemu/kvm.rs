//! Finds out whether KVM works here.
//!
//! `/dev/kvm` may be there and still be of no use: in a virtual machine, a guest may stop at its first unusual instruction. So
//! the firmware of the nodes is started with it, and has to say something.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::machine::escaped;
use super::tools::{Firmware, Kind};

/// How long the firmware has to say something. Where KVM works it takes a second, and emulated four.
const PATIENCE: Duration = Duration::from_secs(15);

/// What runs the instructions of the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accelerator {
    /// The processor of this host.
    Kvm,
    /// The emulator: an order of magnitude slower.
    Emulation,
}

impl Accelerator {
    /// Returns what QEMU calls it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Accelerator::Kvm => "kvm",
            Accelerator::Emulation => "tcg,thread=multi",
        }
    }

    /// Returns what QEMU calls the processor that has all that is there.
    pub(super) const fn processor(self) -> &'static str {
        match self {
            Accelerator::Kvm => "host",
            Accelerator::Emulation => "max",
        }
    }

    /// Returns the fastest that works.
    pub(super) fn fastest(kind: &Kind, firmware: &Firmware) -> Accelerator {
        let openable = std::fs::File::options().read(true).write(true).open("/dev/kvm");
        match openable.is_ok() && works(Accelerator::Kvm, kind, firmware) {
            true => Accelerator::Kvm,
            false => Accelerator::Emulation,
        }
    }
}

/// Starts the firmware, and returns whether it says anything in time.
fn works(accelerator: Accelerator, kind: &Kind, firmware: &Firmware) -> bool {
    let mut command = Command::new(kind.program);
    command.args([
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-monitor",
        "none",
    ]);
    command.args(["-machine", kind.machine, "-accel", accelerator.word()]);
    command.args(["-cpu", accelerator.processor(), "-m", "256", "-serial", "stdio"]);
    let code = escaped(&firmware.code);
    let variables = escaped(&firmware.variables);
    command.args(["-drive", &format!("if=pflash,format=raw,readonly=on,file={code}")]);
    // What it writes goes to a temporary file.
    command.args([
        "-drive",
        &format!("if=pflash,format=raw,snapshot=on,file={variables}"),
    ]);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    child.is_ok_and(|child| says_anything(child, PATIENCE))
}

/// Waits until a program says anything, and ends it.
fn says_anything(mut child: Child, patience: Duration) -> bool {
    let (send, said) = mpsc::channel();
    let reader = child.stdout.take().map(|mut output| {
        thread::spawn(move || {
            let read = output.read(&mut [0]);
            // Nobody may wait for it any more.
            let _late = send.send(matches!(read, Ok(1..)));
        })
    });
    let answer = said.recv_timeout(patience).unwrap_or(false);
    // An error means that it has ended.
    let _ended = child.kill();
    let _ended = child.wait();
    if let Some(reader) = reader {
        // It ends with the program's output.
        let _ended = reader.join();
    }
    answer
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn child(program: &str, argument: &str) -> Child {
        let mut command = Command::new(program);
        command.arg(argument).stdin(Stdio::null()).stdout(Stdio::piped());
        command.spawn().unwrap()
    }

    #[test]
    fn a_guest_that_hangs_or_ends_in_silence_does_not_work() {
        assert!(!says_anything(child("sleep", "1000"), Duration::from_millis(50)));
        assert!(!says_anything(child("true", ""), Duration::from_secs(60)));
        assert!(says_anything(child("yes", "x"), Duration::from_secs(60)));
    }

    #[test]
    fn an_emulated_machine_works() {
        let kind = Kind::of_host().unwrap();
        // On a host without QEMU there is nothing to try it with.
        if kind.check().is_err() {
            return;
        }
        let firmware = kind.find_firmware(Path::is_file).unwrap();
        let nothing = Firmware {
            code: "/nothing".into(),
            ..firmware
        };
        assert!(!works(Accelerator::Emulation, &kind, &nothing));
    }
}
