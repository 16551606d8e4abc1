//! Converts a config back to text.

use serde::de::{Deserialize, Deserializer, Error};

use crate::fault::Faults;
use crate::parse::parse_with;
use crate::secret::reveal;
use crate::v1alpha1::{MachineConfig, Marks};

impl MachineConfig {
    /// Writes the document with every secret redacted, to be shown.
    pub fn to_yaml(&self) -> String {
        yaml::to_string(self).expect("maps, lists and texts can always be written as YAML")
    }

    /// Writes the document with its secrets, to be stored only.
    pub fn to_yaml_with_secrets(&self) -> String {
        reveal(|| self.to_yaml())
    }

    /// Checks a config that was made by a program, by the same rules as a written one.
    pub fn check(&self) -> Result<(), Faults> {
        crate::parse(&self.to_yaml_with_secrets()).map(drop)
    }
}

/// Reads a config out of another document, by the rules of [`crate::parse`].
///
/// Redacted secrets stay redacted: such a config can be shown, but not used.
impl<'de> Deserialize<'de> for MachineConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tree = serde_yaml::Value::deserialize(deserializer)?;
        let text = yaml::to_string(&tree).map_err(D::Error::custom)?;
        parse_with(&text, Marks::Keep).map_err(D::Error::custom)
    }
}
