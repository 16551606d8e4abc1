//! The consoles: every place where the kernel speaks to people, not only the one it likes best.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::container;

/// Where the kernel lists them.
const ACTIVE: &str = "/sys/class/tty/console/active";
/// The one the kernel likes best, for when there is no list.
const BEST: &str = "/dev/console";
/// The console of a container: whatever its engine reads.
const OF_CONTAINER: &str = "/proc/self/fd/1";
/// A page at 9600 baud takes less.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(10);

/// Prints a text on every console; in a container, on its output: the consoles are the host's. A board without one has nobody to read it, so nothing is an error.
pub fn print(text: &str) {
    if container::engine().is_some() {
        print_on(Path::new(OF_CONTAINER), text);
        return;
    }
    let listed = fs::read_to_string(ACTIVE).unwrap_or_default();
    let shown = devices(&listed)
        .iter()
        .filter(|device| print_on(device, text))
        .count();
    if shown == 0 {
        print_on(Path::new(BEST), text);
    }
}

/// Prints on one console, and returns true if that worked. A console that nobody listens to must not hold PID 1 up for long, nor become its terminal.
fn print_on(device: &Path, text: &str) -> bool {
    let flags = sys::filesystem::NONBLOCK | sys::filesystem::NO_TERMINAL;
    let opened = File::options().write(true).custom_flags(flags).open(device);
    opened
        .and_then(|mut file| write_patiently(&mut file, text.as_bytes(), PATIENCE))
        .is_ok()
}

/// Writes at the pace of a serial line, whose buffer is smaller than a page, but waits for no longer than `patience`.
fn write_patiently(out: &mut impl Write, mut bytes: &[u8], patience: Duration) -> io::Result<()> {
    let mut waited = Duration::ZERO;
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && waited < patience => {
                std::thread::sleep(PAUSE);
                waited += PAUSE;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads the kernel's list.
fn devices(listed: &str) -> Vec<PathBuf> {
    listed
        .split_ascii_whitespace()
        .map(|name| Path::new("/dev").join(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn screen_and_serial_line_are_both_consoles() {
        assert_eq!(
            devices("tty0 ttyAMA0\n"),
            ["/dev/tty0", "/dev/ttyAMA0"].map(PathBuf::from)
        );
        assert!(devices("").is_empty());
    }

    /// A line that takes three bytes every other time, or never any.
    struct Line {
        taken: Vec<u8>,
        busy: bool,
        dead: bool,
    }

    impl Write for Line {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.busy = !self.busy;
            if self.busy || self.dead {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let taken = bytes.len().min(3);
            self.taken.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_slow_line_gets_all_of_it_and_a_dead_one_is_left() {
        let mut line = Line {
            taken: Vec::new(),
            busy: false,
            dead: false,
        };
        write_patiently(&mut line, b"a whole page", PATIENCE).unwrap();
        assert_eq!(line.taken, b"a whole page");
        line.dead = true;
        let error = write_patiently(&mut line, b"another", PAUSE * 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_console_that_is_not_there_shows_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(print_on(file.path(), "line\r\n"));
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "line\r\n");
        assert!(!print_on(Path::new("/nowhere/tty"), ""));
    }
}
