//! The consoles: every place where the kernel speaks to people, not only the one it likes best.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where the kernel lists them.
const ACTIVE: &str = "/sys/class/tty/console/active";
/// The one the kernel likes best, for when there is no list.
const BEST: &str = "/dev/console";

/// Prints a text on every console. A board without one has nobody to read it, so nothing is an error.
pub fn print(text: &str) {
    // A serial line wants both ends of line.
    let text = text.replace('\n', "\r\n");
    let listed = fs::read_to_string(ACTIVE).unwrap_or_default();
    let shown = devices(&listed)
        .iter()
        .filter(|device| print_on(device, &text))
        .count();
    if shown == 0 {
        print_on(Path::new(BEST), &text);
    }
}

/// A console that nobody listens to must not hold PID 1 up, nor become its terminal.
fn print_on(device: &Path, text: &str) -> bool {
    let flags = sys::filesystem::NONBLOCK | sys::filesystem::NO_TERMINAL;
    let opened = File::options().write(true).custom_flags(flags).open(device);
    opened
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .is_ok()
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

    #[test]
    fn a_console_that_is_not_there_shows_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(print_on(file.path(), "line\r\n"));
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "line\r\n");
        assert!(!print_on(Path::new("/nowhere/tty"), ""));
    }
}
