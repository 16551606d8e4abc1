//! Two releases for the board of the model.

use firmware_files::{Settings, Trial};

use super::board::TREE;

pub(super) const LOADER: &str = "EFI/BOOT/BOOTAA64.EFI";

/// Returns the files of a release, with these lines in its configuration.
pub(super) fn release(version: u8, lines: &[&str]) -> Vec<(String, Vec<u8>)> {
    let config = format!("kernel=u-boot.bin\ndtoverlay=fan\n{}\n", lines.join("\n"));
    [
        ("config.txt", config),
        ("fixup4.dat", format!("fixup {version}")),
        ("start4.elf", format!("start {version}")),
        ("u-boot.bin", format!("u-boot {version}")),
        (TREE, format!("tree {version}")),
        ("overlays/fan.dtbo", format!("fan {version}")),
        (LOADER, format!("loader {version}")),
    ]
    .map(|(path, text)| (path.to_owned(), text.into_bytes()))
    .to_vec()
}

/// Returns how its firmware is configured, and tries files.
pub(super) fn settings() -> Settings {
    Settings {
        path: "config.txt".into(),
        heading: Some("[all]".into()),
        overlays: "overlays".into(),
        overlay_line: "dtoverlay={name}".into(),
        parameter_separator: ",".into(),
        reserved: Vec::new(),
        repeatable: vec!["dtoverlay".into()],
        trial: Some(Trial {
            path: "tryboot.txt".into(),
            prefix: "trial-".into(),
            prefix_setting: "os_prefix".into(),
            named: [("start4.elf", "start_file"), ("fixup4.dat", "fixup_file")]
                .map(|(path, setting)| (path.to_owned(), setting.to_owned()))
                .into(),
            mailbox: "vendor,mbox".into(),
        }),
    }
}
