//! The firmware of a board, by the rules that its documentation states: an executable model for the proof.
//!
//! 1. A flag has it read `tryboot.txt` in place of `config.txt`. The flag is cleared before anything is started.
//! 2. `start_file` and `fixup_file` name its own two files, which belong together.
//! 3. `os_prefix` comes before the names of kernel, device trees and overlays. It is ignored unless kernel and device tree are
//!    there with it. Overlays have it only if its folder of overlays has a README.
//! 4. The last line with a setting counts.
//!
//! Where the documentation is silent, the model does the worse thing: without its configuration file nothing starts.

use std::collections::BTreeMap;

use firmware_trial::Started;

type Files = BTreeMap<String, Vec<u8>>;

/// The device tree of this board.
pub(super) const TREE: &str = "board.dtb";
/// A line with which it does not start.
pub(super) const HANGS: &str = "arm_freq=9999";

/// The board: what it keeps over a reset.
#[derive(Debug, Default)]
pub(super) struct Board {
    flag: bool,
}

/// The board does not start, and waits until somebody cuts its power.
#[derive(Debug, thiserror::Error)]
#[error("{started:?}: {why}")]
pub(super) struct Hang {
    pub started: Started,
    why: String,
}

/// A board that started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Running {
    pub started: Started,
    /// What runs after the firmware.
    pub kernel: Vec<u8>,
    /// Its overlays.
    pub overlays: Vec<Vec<u8>>,
}

impl Board {
    /// The loader sets the flag, and resets the board.
    pub(super) fn set_flag(&mut self) {
        self.flag = true;
    }

    /// Starts it, after a reset or with its power switched on.
    pub(super) fn start(&mut self, files: &Files) -> Result<Running, Hang> {
        let started = match std::mem::take(&mut self.flag) {
            true => Started::Trial,
            false => Started::Usual,
        };
        let hang = |why: String| Hang { started, why };
        let get = |path: &str| files.get(path).ok_or_else(|| hang(format!("no {path}")));
        let config = get(match started {
            Started::Usual => "config.txt",
            Started::Trial => "tryboot.txt",
        })?;
        let config = String::from_utf8_lossy(config).into_owned();
        if config.lines().any(|line| line == HANGS) {
            return Err(hang(format!("with {HANGS}")));
        }
        let setting = |name: &str, default: &str| {
            let last = config
                .lines()
                .filter_map(|line| line.split_once('='))
                .rfind(|line| line.0 == name);
            last.map_or(default, |line| line.1).to_owned()
        };
        let firmware = get(&setting("start_file", "start4.elf"))?;
        let fixup = get(&setting("fixup_file", "fixup4.dat"))?;
        if firmware.rsplit(|byte| *byte == b' ').next() != fixup.rsplit(|byte| *byte == b' ').next() {
            return Err(hang("start_file and fixup_file do not belong together".into()));
        }
        let kernel = setting("kernel", "kernel8.img");
        let mut prefix = setting("os_prefix", "");
        let has = |path: String| files.contains_key(&path);
        if !has(format!("{prefix}{kernel}")) || !has(format!("{prefix}{TREE}")) {
            prefix.clear();
        }
        let kernel = get(&format!("{prefix}{kernel}"))?.clone();
        if !has(format!("{prefix}overlays/README")) {
            prefix.clear();
        }
        let mut overlays = Vec::new();
        for name in config.lines().filter_map(|line| line.strip_prefix("dtoverlay=")) {
            overlays.extend(files.get(&format!("{prefix}overlays/{name}.dtbo")).cloned());
        }
        Ok(Running {
            started,
            kernel,
            overlays,
        })
    }
}

#[test]
fn the_model_follows_the_rules() {
    let mut files: Files = [
        ("config.txt", "kernel=u-boot.bin\ndtoverlay=fan"),
        ("start4.elf", "start 1"),
        ("fixup4.dat", "fixup 1"),
        ("u-boot.bin", "u-boot 1"),
        (TREE, "tree 1"),
        ("overlays/fan.dtbo", "fan 1"),
        ("trial-u-boot.bin", "u-boot 2"),
        ("trial-overlays/fan.dtbo", "fan 2"),
        ("trial-start4.elf", "start 2"),
        (
            "tryboot.txt",
            "kernel=u-boot.bin\ndtoverlay=fan\nos_prefix=trial-\nos_prefix=trial-",
        ),
    ]
    .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
    .into();
    let mut board = Board::default();
    let mut start = |files: &Files, flag: bool| {
        if flag {
            board.set_flag();
        }
        board.start(files).map(|running| {
            let text = [vec![running.kernel], running.overlays].concat().join(&b","[..]);
            (running.started, String::from_utf8(text).unwrap())
        })
    };
    let usual = (Started::Usual, "u-boot 1,fan 1".to_owned());
    assert_eq!(start(&files, false).unwrap(), usual);
    let trial = |text: &str| (Started::Trial, text.to_owned());
    assert_eq!(
        start(&files, true).unwrap(),
        trial("u-boot 1,fan 1"),
        "no tree with the prefix"
    );
    files.insert(format!("trial-{TREE}"), b"tree 2".to_vec());
    assert_eq!(start(&files, true).unwrap(), trial("u-boot 2,fan 1"), "no README");
    files.insert("trial-overlays/README".into(), Vec::new());
    assert_eq!(start(&files, true).unwrap(), trial("u-boot 2,fan 2"));
    assert_eq!(start(&files, false).unwrap(), usual, "the flag counts once");
    files
        .get_mut("tryboot.txt")
        .unwrap()
        .extend_from_slice(b"\nstart_file=trial-start4.elf");
    assert!(
        start(&files, true)
            .unwrap_err()
            .to_string()
            .contains("belong together")
    );
    assert_eq!(
        start(&files, false).unwrap(),
        usual,
        "a hang leaves nothing behind"
    );
    files.remove("tryboot.txt");
    assert_eq!(start(&files, true).unwrap_err().started, Started::Trial);
}
