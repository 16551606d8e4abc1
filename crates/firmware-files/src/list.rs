//! The list: `firmware.yaml`.

use manifest::Digest;
use serde::{Deserialize, Serialize};

use crate::Settings;
use crate::settings::SettingsError;

/// The most files of a list.
const MOST: usize = 512;
/// The most bytes of all files: half of the partition, on which old and new files are side by side.
const MOST_BYTES: u64 = 60 << 20;
/// The longest path.
const LONGEST_PATH: usize = 160;

/// What a release puts on the ESP. A value from [`FirmwareFiles::parse`] is within all limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FirmwareFiles {
    /// The loader's path, which is one of the files. It is written last.
    pub loader: String,
    /// The files, by path.
    pub files: Vec<Listed>,
    /// How the firmware is configured, where it has a file for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
}

/// A file of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listed {
    /// Its path on the partition, without leading slash.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// Hash of its bytes.
    pub sha256: Digest,
}

impl Listed {
    /// Describes a file.
    pub fn of(path: &str, data: &[u8]) -> Listed {
        Listed {
            path: path.to_owned(),
            size: data.len() as u64,
            sha256: Digest::of(data),
        }
    }
}

/// Why a list is refused.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It is not YAML, or has other fields.
    #[error("the list of firmware files is not valid")]
    Yaml(#[from] yaml::Fault),
    /// A path is none that the partition can have.
    #[error("the list of firmware files has the path {0:?}, which is not a plain path of printable ASCII")]
    Path(String),
    /// Two entries are the same file, as FAT sees it.
    #[error("the list of firmware files has {0:?} twice")]
    Twice(String),
    /// There is too much of it.
    #[error("the list of firmware files is too long: at most {MOST} files with {MOST_BYTES} bytes")]
    TooMuch,
    /// A file that it speaks of is not in it.
    #[error("the list of firmware files has no {0:?}")]
    Absent(String),
    /// A file has a name that files on trial have.
    #[error("the list of firmware files has {0:?}, which is a name for files that the firmware tries")]
    Taken(String),
    /// What it says of the firmware's configuration is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

impl FirmwareFiles {
    /// Reads the text of a list.
    ///
    /// # Errors
    /// What is not one, or exceeds a limit.
    pub fn parse(text: &str) -> Result<FirmwareFiles, ListError> {
        let list: FirmwareFiles = yaml::from_str(text)?;
        list.check()?;
        Ok(list)
    }

    /// Checks all limits.
    ///
    /// # Errors
    /// The first limit that is exceeded.
    pub fn check(&self) -> Result<(), ListError> {
        let total = self
            .files
            .iter()
            .fold(0u64, |sum, file| sum.saturating_add(file.size));
        if self.files.len() > MOST || total > MOST_BYTES {
            return Err(ListError::TooMuch);
        }
        let mut seen: Vec<String> = Vec::with_capacity(self.files.len());
        for file in &self.files {
            if !is_plain(&file.path) {
                return Err(ListError::Path(file.path.clone()));
            }
            seen.push(file.path.to_ascii_lowercase());
        }
        seen.sort_unstable();
        if let Some(pair) = seen.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ListError::Twice(pair[0].clone()));
        }
        let trial = self
            .settings
            .as_ref()
            .and_then(|settings| settings.trial.as_ref());
        let taken = |file: &&Listed| trial.is_some_and(|trial| trial.owns(&file.path));
        if let Some(file) = self.files.iter().find(taken) {
            return Err(ListError::Taken(file.path.clone()));
        }
        let settings = self.settings.as_ref().map(|settings| &settings.path);
        for path in settings.into_iter().chain([&self.loader]) {
            if self.get(path).is_none() {
                return Err(ListError::Absent(path.clone()));
            }
        }
        self.settings.as_ref().map_or(Ok(()), Settings::check)?;
        Ok(())
    }

    /// Returns the text of the file.
    pub fn to_yaml(&self) -> String {
        yaml::to_string(self).expect("texts, lists and maps with text keys can always be written")
    }

    /// Finds a file by its path.
    pub fn get(&self, path: &str) -> Option<&Listed> {
        self.files.iter().find(|file| file.path == path)
    }
}

/// Returns true for a path that FAT can hold, and that stays below the folder it is joined to.
pub(crate) fn is_plain(path: &str) -> bool {
    let name = |name: &str| {
        !name.is_empty()
            && !name.ends_with(['.', ' '])
            && name
                .bytes()
                .all(|byte| (b' '..0x7f).contains(&byte) && !b"\\:*?\"<>|".contains(&byte))
    };
    path.len() <= LONGEST_PATH && path.split('/').all(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(paths: &[&str]) -> FirmwareFiles {
        FirmwareFiles {
            loader: "EFI/BOOT/BOOTAA64.EFI".into(),
            files: paths
                .iter()
                .map(|path| Listed::of(path, path.as_bytes()))
                .collect(),
            settings: None,
        }
    }

    #[test]
    fn a_list_is_read_as_it_was_written_and_strictly() {
        let good = list(&["EFI/BOOT/BOOTAA64.EFI", "config.txt"]);
        let text = good.to_yaml();
        assert_eq!(FirmwareFiles::parse(&text).unwrap(), good);
        for (from, to, why) in [
            ("loader:", "loder:", "not valid"),
            ("config.txt", "../config.txt", "not a plain path"),
            ("config.txt", "a//b", "not a plain path"),
            ("config.txt", "/config.txt", "not a plain path"),
            ("config.txt", "efi/boot/bootaa64.efi", "twice"),
            ("size: 10", "size: 999999999", "too long"),
            ("size: 10", "size: -1", "not valid"),
        ] {
            assert!(text.contains(from), "{text}");
            let error = FirmwareFiles::parse(&text.replace(from, to))
                .unwrap_err()
                .to_string();
            assert!(error.contains(why), "{to}: {error}");
        }
        let error = list(&["config.txt"]).check().unwrap_err().to_string();
        assert!(error.contains("no \"EFI/BOOT/BOOTAA64.EFI\""), "{error}");
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,300}") {
            let _ = FirmwareFiles::parse(&text);
        }

        #[test]
        fn a_plain_path_stays_below_its_folder(path in "[ -~]{0,40}") {
            if is_plain(&path) {
                prop_assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")));
                prop_assert!(!path.contains(['\\', '\0']));
            }
        }
    }
}
