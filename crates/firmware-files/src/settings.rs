//! Lines of people for the configuration file of the firmware.

use serde::{Deserialize, Serialize};

use crate::list::is_plain;
use crate::{FirmwareFiles, Trial};

/// What comes before the lines of the machine config.
const NOTE: &str = "# machine.firmware of the machine config:";
/// The most names of settings.
const MOST: usize = 256;
/// The longest line that firmware reads.
const LONGEST_LINE: usize = 98;

/// The configuration file of a board's firmware, and what may be added to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Its path, which is one of the files.
    pub path: String,
    /// A line that comes before lines of the machine config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heading: Option<String>,
    /// The folder of device-tree overlays that the firmware applies.
    pub overlays: String,
    /// The line that has it apply one, with `{name}` for the overlay.
    pub overlay_line: String,
    /// What is between the name of an overlay and its parameters.
    pub parameter_separator: String,
    /// Names of settings that a machine config may not have: they would start something else than the release.
    #[serde(default)]
    pub reserved: Vec<String>,
    /// Names of settings that may occur more than once.
    #[serde(default)]
    pub repeatable: Vec<String>,
    /// How the firmware tries files at one start, where it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
}

/// Why the description of a configuration file is refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It is not YAML, or has other fields.
    #[error("the description of the firmware's configuration file is not valid")]
    Yaml(#[from] yaml::Fault),
    /// Something in it cannot be in such a file, or on the partition.
    #[error(
        "the list of firmware files describes settings with {0:?}, which is no line of {LONGEST_LINE} printable characters, or no plain path"
    )]
    Line(String),
}

impl Settings {
    /// Reads the text of a description.
    ///
    /// # Errors
    /// What is not one, or exceeds a limit.
    pub fn parse(text: &str) -> Result<Settings, SettingsError> {
        let settings: Settings = yaml::from_str(text)?;
        settings.check()?;
        Ok(settings)
    }

    /// Returns the text of the description.
    pub fn to_yaml(&self) -> String {
        yaml::to_string(self).expect("texts and lists can always be written")
    }

    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let names = self.reserved.iter().chain(&self.repeatable);
        let mut lines = names
            .clone()
            .chain(&self.heading)
            .chain([&self.overlay_line, &self.parameter_separator]);
        if let Some(wrong) = lines.find(|line| !is_line(line)) {
            return Err(SettingsError::Line(wrong.clone()));
        }
        if !is_plain(&self.overlays) || names.count() > MOST {
            return Err(SettingsError::Line(self.overlays.clone()));
        }
        match self.trial.as_ref().and_then(Trial::fault) {
            Some(wrong) => Err(SettingsError::Line(wrong)),
            None => Ok(()),
        }
    }
}

pub(crate) fn is_line(line: &str) -> bool {
    (1..=LONGEST_LINE).contains(&line.len()) && line.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// Returns the name of the setting that a line sets; none for a comment, a section or an empty line.
pub fn name_of(line: &str) -> Option<&str> {
    let line = line.trim();
    if line.starts_with(['#', '[']) {
        return None;
    }
    let name = line.split(['=', ' ', '\t']).next().unwrap_or_default();
    (!name.is_empty()).then_some(name)
}

/// Returns the content of the configuration file: that of the release, then these lines.
pub fn render(settings: &Settings, release: &[u8], lines: &[impl AsRef<str>]) -> Vec<u8> {
    let mut text = release.to_vec();
    if lines.is_empty() {
        return text;
    }
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    let heading = settings.heading.iter().map(String::as_str);
    for line in [NOTE]
        .into_iter()
        .chain(heading)
        .chain(lines.iter().map(AsRef::as_ref))
    {
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
    text
}

/// Lists what is wrong with lines for the firmware of this release, each by its number from 0, and with the way out.
pub fn faults(list: &FirmwareFiles, release: &[u8], lines: &[impl AsRef<str>]) -> Vec<(usize, String)> {
    let Some(settings) = &list.settings else {
        let none = "the firmware of this board has no configuration file; remove machine.firmware.config";
        return lines.iter().take(1).map(|_| (0, none.to_owned())).collect();
    };
    let text = String::from_utf8_lossy(release);
    let mut faults = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let line = line.as_ref();
        if let Some(fault) = fault(list, settings, &text, line) {
            faults.push((number, fault));
        }
    }
    faults
}

fn fault(list: &FirmwareFiles, settings: &Settings, release: &str, line: &str) -> Option<String> {
    if !is_line(line) {
        return Some(format!(
            "{line:?} is not a line of at most {LONGEST_LINE} printable ASCII characters"
        ));
    }
    let name = name_of(line)?;
    let is = |other: &String| other.eq_ignore_ascii_case(name);
    if settings.reserved.iter().any(is) {
        return Some(format!(
            "{line:?} sets {name}, by which the firmware would start something else than the release; remove it"
        ));
    }
    if let Some(fault) = unknown_overlay(list, settings, line) {
        return Some(fault);
    }
    if settings.repeatable.iter().any(is) {
        return None;
    }
    let own = release
        .lines()
        .find(|own| name_of(own).is_some_and(|own| own.eq_ignore_ascii_case(name)))?;
    Some(format!(
        "{line:?} and the line {own:?} of the release both set {name}; remove it, or change the board or overlay that the image is made of"
    ))
}

/// Tells of an overlay that is not on the partition: firmware would ignore the line without a word.
fn unknown_overlay(list: &FirmwareFiles, settings: &Settings, line: &str) -> Option<String> {
    let prefix = settings.overlay_line.split("{name}").next()?;
    let rest = line.strip_prefix(prefix)?;
    let name = rest
        .split(settings.parameter_separator.as_str())
        .next()
        .unwrap_or_default();
    let folder = format!("{}/", settings.overlays);
    let known = list
        .files
        .iter()
        .filter_map(|file| file.path.strip_prefix(&folder)?.strip_suffix(".dtbo"));
    let known: Vec<&str> = known.collect();
    if name.is_empty() || known.contains(&name) {
        return None;
    }
    let known = if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    };
    Some(format!(
        "{line:?} names the overlay {name:?}, which the release does not have; it has: {known}. Add it to the image (deviceTreeOverlays with `apply: firmware`)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Listed;

    const RELEASE: &[u8] = b"# text\narm_64bit=1\nkernel=u-boot.bin\ngpu_mem=32\n[all]\ndtparam=i2c_arm=on";

    fn list() -> FirmwareFiles {
        let settings = Settings {
            path: "config.txt".into(),
            heading: Some("[all]".into()),
            overlays: "overlays".into(),
            overlay_line: "dtoverlay={name}".into(),
            parameter_separator: ",".into(),
            reserved: ["kernel", "include", "os_prefix"].map(String::from).to_vec(),
            repeatable: ["dtparam", "dtoverlay"].map(String::from).to_vec(),
            trial: None,
        };
        let files = ["EFI/x", "config.txt", "overlays/poe.dtbo"];
        FirmwareFiles {
            loader: "EFI/x".into(),
            files: files.map(|path| Listed::of(path, b"")).to_vec(),
            settings: Some(settings),
        }
    }

    #[test]
    fn lines_come_after_those_of_the_release_in_their_own_section() {
        let list = list();
        let settings = list.settings.as_ref().unwrap();
        let text = render(settings, RELEASE, &["dtparam=spi=on", "[pi4]", "arm_freq=1800"]);
        let expected = "dtparam=i2c_arm=on\n# machine.firmware of the machine config:\n[all]\ndtparam=spi=on\n[pi4]\narm_freq=1800\n";
        assert!(String::from_utf8_lossy(&text).ends_with(expected));
        assert_eq!(render(settings, RELEASE, &[""; 0]), RELEASE);
        list.check().unwrap();
        assert_eq!(Settings::parse(&settings.to_yaml()).unwrap(), *settings);
        let wrong = settings
            .to_yaml()
            .replace("overlays: overlays", "overlays: ../overlays");
        assert!(
            matches!(Settings::parse(&wrong), Err(SettingsError::Line(_))),
            "{wrong}"
        );
    }

    #[test]
    fn what_would_leave_the_release_is_refused_and_a_conflict_names_both() {
        let list = list();
        for (line, why) in [
            ("dtparam=spi=on", None),
            ("hdmi_group=1", None),
            ("[pi4]", None),
            ("# a note", None),
            ("dtoverlay=poe,fan=1", None),
            ("dtoverlay=", None),
            ("kernel=mine.img", Some("something else than the release")),
            ("KERNEL=mine.img", Some("something else than the release")),
            ("include extra.txt", Some("sets include")),
            ("  os_prefix=x/", Some("sets os_prefix")),
            ("gpu_mem=64", Some("the line \"gpu_mem=32\" of the release")),
            ("dtoverlay=disable-bt", Some("it has: poe")),
            ("a=1\nkernel=x", Some("printable")),
            ("", Some("printable")),
        ] {
            let found = faults(&list, RELEASE, &[line]);
            match why {
                None => assert_eq!(found, [], "{line:?}"),
                Some(why) => assert!(found[0].1.contains(why), "{line:?}: {found:?}"),
            }
        }
        let bare = FirmwareFiles {
            settings: None,
            ..list
        };
        assert!(
            faults(&bare, b"", &["a=1"])[0]
                .1
                .contains("no configuration file")
        );
        assert_eq!(faults(&bare, b"", &[""; 0]), []);
    }
}
