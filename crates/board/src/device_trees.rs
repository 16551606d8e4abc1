//! Device trees of a board, and overlays that change them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::files::Pattern;
use crate::names::{PackageName, Suite};

/// Device trees out of the kernel package that travel in the slot, next to their kernel, as a board file has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(rename = "DeviceTrees")]
pub struct RawDeviceTrees {
    /// Paths below the package's folder of trees, such as `broadcom/bcm2837-rpi-3-b.dtb`.
    pub files: Vec<Pattern>,
    /// File name of the tree that the loader hands to the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whose tree wins when the firmware brings one, too; the firmware's where no board says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefer: Option<Prefer>,
}

/// Device trees out of the kernel package that travel in the slot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceTrees {
    /// Paths below the package's folder of trees.
    pub files: Vec<Pattern>,
    /// File name of the tree that the loader hands to the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whose tree wins when the firmware brings one, too.
    pub prefer: Prefer,
}

impl From<RawDeviceTrees> for DeviceTrees {
    fn from(raw: RawDeviceTrees) -> DeviceTrees {
        DeviceTrees {
            files: raw.files,
            default: raw.default,
            prefer: raw.prefer.unwrap_or_default(),
        }
    }
}

/// The choice between two device trees for the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Prefer {
    /// The firmware's where it has one.
    #[default]
    Firmware,
    /// The one in the slot, which is upgraded together with its kernel.
    Slot,
}

/// A device-tree overlay (`.dtbo`), who applies it, and to which trees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceTreeOverlay {
    /// The compiled overlay, relative to the folder of this YAML file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Or the Debian package that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageName>,
    /// The Debian suite that the package comes from; without one, the suite that all images are made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<Suite>,
    /// The file in the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Pattern>,
    /// Names of the trees it is applied to, such as `bcm2837-rpi-3-b.dtb`; all of the board's when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trees: Vec<String>,
    /// Who applies it.
    #[serde(default)]
    pub apply: Apply,
    /// Parameters for the board's firmware, such as `poe_fan_temp0=50000`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<String>,
}

/// The one who applies a device-tree overlay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Apply {
    /// The build: the trees in the image have it already, and it is upgraded with them.
    #[default]
    Build,
    /// The firmware of the board, when it starts, where the board says how (`esp.firmwareConfig`).
    Firmware,
}

impl DeviceTreeOverlay {
    /// Returns its origin: the path of a file, or the file of a package.
    pub fn origin(&self) -> String {
        match (&self.source, &self.package, &self.file) {
            (Some(source), ..) => source.clone(),
            (None, Some(package), Some(file)) => format!("{package}:{}", file.as_str()),
            _ => String::new(),
        }
    }

    /// Checks that it has one origin, and says only what the one who applies it can carry out.
    ///
    /// # Errors
    /// Returns what is wrong, and the way out.
    pub fn check(&self) -> Result<(), String> {
        let package = (self.package.is_some(), self.file.is_some());
        match (&self.source, package) {
            (Some(_), (false, false)) | (None, (true, true)) => {}
            _ => return Err("a device-tree overlay needs either `source`, or `package` and `file`".into()),
        }
        if self.suite.is_some() && self.package.is_none() {
            return Err("`suite` is for a device-tree overlay from a package".into());
        }
        let name = self.file_name();
        if !name.ends_with(".dtbo") || name == ".dtbo" || name.contains(['*', '?', '[', '{']) {
            return Err(format!(
                "{name:?} is not the name of a device-tree overlay, such as \"spi.dtbo\""
            ));
        }
        match self.apply {
            Apply::Build if !self.parameters.is_empty() => {
                Err("only the firmware takes `parameters`; add `apply: firmware`".into())
            }
            Apply::Firmware if !self.trees.is_empty() => {
                Err("the firmware applies an overlay to whatever tree it picks; leave `trees` out".into())
            }
            _ => Ok(()),
        }
    }

    /// Returns the name of its file.
    pub fn file_name(&self) -> String {
        let path = self.origin();
        path.rsplit(['/', ':']).next().unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_has_one_origin_and_one_who_applies_it() {
        let cases = [
            ("{source: a/spi.dtbo}", None),
            (
                "{package: raspi-firmware, file: /usr/lib/x/poe.dtbo, apply: firmware, parameters: [a=1]}",
                None,
            ),
            ("{package: raspi-firmware}", Some("either `source`")),
            (
                "{source: a.dtbo, package: p1, file: /x.dtbo}",
                Some("either `source`"),
            ),
            ("{source: a.dtbo, suite: forky}", Some("`suite`")),
            ("{package: p1, file: /x/*.dtbo}", Some("not the name")),
            ("{source: a.dts}", Some("not the name")),
            ("{source: a.dtbo, parameters: [a=1]}", Some("apply: firmware")),
            (
                "{source: a.dtbo, apply: firmware, trees: [b.dtb]}",
                Some("leave `trees` out"),
            ),
        ];
        for (text, expected) in cases {
            let overlay: DeviceTreeOverlay = yaml::from_str(text).unwrap();
            match (overlay.check(), expected) {
                (Ok(()), None) => {}
                (Err(message), Some(part)) => assert!(message.contains(part), "{text}: {message}"),
                (other, _) => panic!("{text}: {other:?}"),
            }
        }
    }
}
