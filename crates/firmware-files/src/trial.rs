//! Files that the firmware tries at one start: their names, and the configuration file that names them.

use std::collections::BTreeMap;

use manifest::Digest;
use serde::{Deserialize, Serialize};

use crate::list::is_plain;
use crate::settings::is_line;
use crate::{FirmwareFiles, Listed, SETTINGS, Settings};

/// The longest prefix of names.
const LONGEST_PREFIX: usize = 16;
/// The longest name of a mailbox.
const LONGEST_MAILBOX: usize = 64;
/// The most files that a setting of their own names.
const MOST_NAMED: usize = 16;
/// The file by which firmware recognizes a folder of overlays.
const README: &str = "README";

/// How a board's firmware tries files: at one start it reads another configuration file, which names other files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Trial {
    /// The configuration file that it reads at that start.
    pub path: String,
    /// What the names of files that are tried begin with, before the name that they will have. The node owns all such names.
    pub prefix: String,
    /// The setting that has the firmware read files with that prefix.
    pub prefix_setting: String,
    /// Files that this does not reach, each with the setting that names it.
    #[serde(default)]
    pub named: BTreeMap<String, String>,
    /// The `compatible` name of the mailbox by which the loader asks for it.
    pub mailbox: String,
}

impl Trial {
    /// Returns what is wrong with it.
    pub(crate) fn fault(&self) -> Option<String> {
        let is_prefix = (1..=LONGEST_PREFIX).contains(&self.prefix.len())
            && self
                .prefix
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        let is_mailbox = (1..=LONGEST_MAILBOX).contains(&self.mailbox.len())
            && self.mailbox.bytes().all(|byte| byte.is_ascii_graphic());
        let lines = self.named.values().chain([&self.prefix_setting]);
        let bad_line = lines.clone().find(|line| !is_line(line)).cloned();
        let bad_path = self
            .named
            .keys()
            .chain([&self.path])
            .find(|path| !is_plain(path))
            .cloned();
        bad_line
            .or(bad_path)
            .or_else(|| (!is_prefix || self.named.len() > MOST_NAMED).then(|| self.prefix.clone()))
            .or_else(|| (!is_mailbox).then(|| self.mailbox.clone()))
    }

    /// Returns true for the names that are the node's own: files that are tried, and left over from that.
    pub fn owns(&self, path: &str) -> bool {
        let lower = path.to_ascii_lowercase();
        lower == self.path.to_ascii_lowercase() || lower.starts_with(&self.prefix)
    }
}

/// The content of a file that is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// That of the release's file with this path.
    Of(String),
    /// These bytes.
    Bytes(Vec<u8>),
}

/// Lists the files of a trial with their paths; the configuration file is the last.
///
/// With `whole`, all files of the release are tried, else its configuration alone: `config`, with all its lines. The loader is
/// never among them, since the firmware does not start it.
pub fn trial_files(
    list: &FirmwareFiles,
    settings: &Settings,
    trial: &Trial,
    config: &[u8],
    whole: bool,
) -> Vec<(String, Content)> {
    let mut text = config.to_vec();
    let mut files = Vec::new();
    if whole {
        let tried =
            |file: &&Listed| file.path != list.loader && file.path != settings.path && file.path != SETTINGS;
        for file in list.files.iter().filter(tried) {
            files.push((
                format!("{}{}", trial.prefix, file.path),
                Content::Of(file.path.clone()),
            ));
        }
        let folder = format!("{}/", settings.overlays);
        if list.files.iter().any(|file| file.path.starts_with(&folder))
            && list.get(&format!("{folder}{README}")).is_none()
        {
            let path = format!("{}{folder}{README}", trial.prefix);
            files.push((path, Content::Bytes(b"Overlays that are tried.\n".to_vec())));
        }
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        let named = trial.named.iter().filter(|(path, _)| list.get(path).is_some());
        let named = named.map(|(path, setting)| format!("{setting}={}{path}", trial.prefix));
        let prefix = format!("{}={}", trial.prefix_setting, trial.prefix);
        for line in settings.heading.iter().cloned().chain([prefix]).chain(named) {
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
    }
    files.push((trial.path.clone(), Content::Bytes(text)));
    files
}

/// Identifies what a partition is to hold, but for the loader.
pub fn target_id(files: &[Listed], loader: &str) -> Digest {
    let mut lines: Vec<String> = files
        .iter()
        .filter(|file| file.path != loader)
        .map(|file| format!("{} {} {}\n", file.sha256, file.size, file.path))
        .collect();
    lines.sort_unstable();
    Digest::of(lines.concat().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial() -> Trial {
        Trial {
            path: "tryboot.txt".into(),
            prefix: "trial-".into(),
            prefix_setting: "os_prefix".into(),
            named: [
                ("start4.elf".to_owned(), "start_file".to_owned()),
                ("absent.dat".to_owned(), "fixup_file".to_owned()),
            ]
            .into(),
            mailbox: "vendor,mbox".into(),
        }
    }

    fn list(paths: &[&str]) -> (FirmwareFiles, Settings) {
        let settings = Settings {
            path: "config.txt".into(),
            heading: Some("[all]".into()),
            overlays: "overlays".into(),
            overlay_line: "dtoverlay={name}".into(),
            parameter_separator: ",".into(),
            reserved: Vec::new(),
            repeatable: Vec::new(),
            trial: Some(trial()),
        };
        let list = FirmwareFiles {
            loader: "EFI/BOOT/BOOTAA64.EFI".into(),
            files: paths
                .iter()
                .map(|path| Listed::of(path, path.as_bytes()))
                .collect(),
            settings: Some(settings.clone()),
        };
        (list, settings)
    }

    #[test]
    fn a_line_is_tried_with_the_usual_files_and_a_release_with_its_own() {
        let paths = [
            "EFI/BOOT/BOOTAA64.EFI",
            SETTINGS,
            "config.txt",
            "overlays/poe.dtbo",
            "start4.elf",
            "u-boot.bin",
        ];
        let (list, settings) = list(&paths);
        list.check().unwrap();
        let mut taken = list.clone();
        taken.files.push(Listed::of("tryboot.txt", b""));
        assert!(taken.check().unwrap_err().to_string().contains("tries"));
        let config = b"kernel=u-boot.bin\n[pi4]\narm_freq=1800";
        let alone = trial_files(&list, &settings, &trial(), config, false);
        assert_eq!(
            alone,
            [("tryboot.txt".to_owned(), Content::Bytes(config.to_vec()))]
        );

        let all = trial_files(&list, &settings, &trial(), config, true);
        let text =
            "kernel=u-boot.bin\n[pi4]\narm_freq=1800\n[all]\nos_prefix=trial-\nstart_file=trial-start4.elf\n";
        let of = |path: &str| (format!("trial-{path}"), Content::Of(path.to_owned()));
        let expected = [
            of("overlays/poe.dtbo"),
            of("start4.elf"),
            of("u-boot.bin"),
            (
                "trial-overlays/README".to_owned(),
                Content::Bytes(b"Overlays that are tried.\n".to_vec()),
            ),
            ("tryboot.txt".to_owned(), Content::Bytes(text.into())),
        ];
        assert_eq!(all, expected);
        assert!(all.iter().all(|(path, _)| trial().owns(path)));
        for (path, owned) in [
            ("TRYBOOT.TXT", true),
            ("Trial-x/y", true),
            ("config.txt", false),
            ("retrial-x", false),
        ] {
            assert_eq!(trial().owns(path), owned, "{path}");
        }
    }

    #[test]
    fn a_target_is_the_same_whatever_its_order_and_loader() {
        let (list, _) = list(&["EFI/BOOT/BOOTAA64.EFI", "config.txt", "u-boot.bin"]);
        let id = target_id(&list.files, &list.loader);
        let mut other = list.files.clone();
        other.reverse();
        other[2] = Listed::of(&list.loader, b"another loader");
        assert_eq!(target_id(&other, &list.loader), id);
        other[0] = Listed::of("u-boot.bin", b"another one");
        assert_ne!(target_id(&other, &list.loader), id);
    }

    #[test]
    fn an_impossible_description_is_refused() {
        type Spoil = fn(&mut Trial);
        let spoils: [(Spoil, &str); 6] = [
            (|trial| trial.path = "../tryboot.txt".into(), "../tryboot.txt"),
            (|trial| trial.prefix = String::new(), ""),
            (|trial| trial.prefix = "a/".into(), "a/"),
            (|trial| trial.prefix_setting = "a\nb".into(), "a\nb"),
            (|trial| trial.mailbox = "two words".into(), "two words"),
            (|trial| drop(trial.named.insert("/x".into(), "x".into())), "/x"),
        ];
        assert_eq!(trial().fault(), None);
        for (spoil, fault) in spoils {
            let mut trial = trial();
            spoil(&mut trial);
            assert_eq!(trial.fault().as_deref(), Some(fault));
        }
    }
}
