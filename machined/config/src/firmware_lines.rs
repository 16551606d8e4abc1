//! Holds lines for the firmware against the release that runs, before they are accepted.

use std::fs;
use std::path::Path;

use firmware_files::{FILES, FirmwareFiles, LIST, LONGEST_LIST, faults};
use machine_config::{Fault, Faults, MachineConfig};

/// Checks the lines of a config by the list in this folder. Without a list there is nothing to hold them against: the part that
/// writes them reports that.
pub(super) fn check(folder: &Path, config: &MachineConfig) -> Result<(), Faults> {
    let lines: Vec<&str> = config
        .machine
        .firmware
        .config
        .iter()
        .map(|line| line.as_str())
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    let list = text::load(&folder.join(LIST), LONGEST_LIST).ok();
    let Some(list) = list.and_then(|list| FirmwareFiles::parse(&list).ok()) else {
        return Ok(());
    };
    let own = list
        .settings
        .as_ref()
        .map(|settings| fs::read(folder.join(FILES).join(&settings.path)));
    let own = own.and_then(Result::ok).unwrap_or_default();
    let found = faults(&list, &own, &lines)
        .into_iter()
        .map(|(number, message)| Fault {
            line: 0,
            path: format!("machine.firmware.config[{number}]"),
            message,
        });
    Faults::from_list(found.collect()).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_the_release_cannot_take_is_refused_by_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let lines = "machine:\n  firmware: {config: [dtparam=spi=on, kernel=mine.img]}\n";
        let text = samples::CONFIG.replacen("machine:\n", lines, 1);
        let config = machine_config::parse(&text).unwrap();
        assert!(
            check(folder.path(), &config).is_ok(),
            "no release says anything of its firmware"
        );
        let empty = manifest::Digest::of(b"");
        let list = format!(
            "loader: a\nfiles:\n- {{path: a, size: 0, sha256: {empty}}}\n- {{path: config.txt, size: 0, sha256: {empty}}}\n\
             settings: {{path: config.txt, overlays: o, overlayLine: 'dtoverlay={{name}}', parameterSeparator: ',', reserved: [kernel]}}\n"
        );
        fs::write(folder.path().join(LIST), list).unwrap();
        let faults = check(folder.path(), &config).unwrap_err();
        assert_eq!(faults.list().len(), 1);
        assert_eq!(faults.list()[0].path, "machine.firmware.config[1]");
        assert!(faults.list()[0].message.contains("sets kernel"));
    }
}
