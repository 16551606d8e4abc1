//! Tries, as root with every capability that it needs, what must not be possible on a node once its kernel runs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use sys::modules::{LinuxModules, ModuleLoader};

/// Part of every image, and not loaded by any.
const MODULE: &str = "kernel/drivers/net/dummy.ko";
/// The end of a signed module, after twelve bytes whose last four are the length of the signature.
const SIGNED: &[u8] = b"~Module signature appended~\n";
const ABOUT: usize = 12;
const HELPERS: &str = "/proc/sys/kernel/usermodehelper/bset";

type Attempt = fn() -> Result<()>;

const WAYS: &[(&str, Attempt)] = &[
    ("a module without its signature", unsigned),
    ("a module that was changed", changed),
    ("the kernel's memory", memory),
    ("kexec", kexec),
    ("more rights for the kernel's helpers", helpers),
];

/// Tries each attack, and fails when one of them succeeds.
pub fn check() -> Result<()> {
    let mut open = Vec::new();
    for (what, attempt) in WAYS {
        match attempt() {
            Ok(()) => open.push(*what),
            Err(error) => stdio::line(format_args!("refused: {what}: {error:#}"))?,
        }
    }
    ensure!(open.is_empty(), "let in: {}", open.join(", "));
    // What was refused was refused for the right reason: the unmodified module is accepted.
    load(&module())?;
    Ok(stdio::line("nothing was let in")?)
}

fn module() -> PathBuf {
    let folder = Path::new("/usr/lib/modules").join(sys::host::kernel_release());
    folder.join(MODULE)
}

fn load(path: &Path) -> Result<()> {
    Ok(LinuxModules.load(path, "")?)
}

/// Loads the module after a change. An attack that cannot be prepared proves nothing, and ends the program.
fn load_changed(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
    let path = Path::new("/tmp").join(name);
    let mut bytes = fs::read(module()).expect("the image has the module");
    assert!(bytes.ends_with(SIGNED), "the image's module is signed");
    change(&mut bytes);
    fs::write(&path, bytes).expect("/tmp takes a file");
    load(&path)
}

fn unsigned() -> Result<()> {
    load_changed("unsigned.ko", |bytes| {
        let about = bytes.len() - SIGNED.len() - ABOUT;
        let (_, len) = bytes[about..about + ABOUT].split_at(ABOUT - 4);
        let len = len
            .iter()
            .fold(0_usize, |len, byte| (len << 8) | usize::from(*byte));
        bytes.truncate(about - len);
    })
}

fn changed() -> Result<()> {
    load_changed("changed.ko", |bytes| {
        // In the middle: code or data, not the header, for which it would be refused anyway.
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    })
}

fn memory() -> Result<()> {
    File::options().read(true).write(true).open("/dev/mem")?;
    Ok(())
}

fn kexec() -> Result<()> {
    fs::write("/proc/sys/kernel/kexec_load_disabled", "0")?;
    Ok(())
}

/// The kernel accepts any set, and keeps the intersection of the old one and the new.
fn helpers() -> Result<()> {
    let before = fs::read_to_string(HELPERS).context("read the helpers' rights")?;
    fs::write(HELPERS, "4294967295 511")?;
    let after = fs::read_to_string(HELPERS).context("read the helpers' rights")?;
    ensure!(before != after, "they stay at {}", after.trim());
    Ok(())
}
