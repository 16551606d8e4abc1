//! The firmware of the board, and its configuration. The doc comments here are the reference page: write them for users.

use serde::Serialize;

use super::defaults::is_default;
use crate::value::FirmwareLine;

/// The boot loader and the firmware of the board.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct Firmware {
    /// Lines for the configuration file of the firmware, such as `dtparam=spi=on` for the `config.txt` of a Raspberry Pi. They come after those of the release, survive upgrades, and take effect at the next start. A line that would start something else than the release, or that sets what the release sets, is refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub config: Vec<FirmwareLine>,
    /// How boot loader and firmware are renewed after an upgrade.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub upgrade: FirmwareUpgrade,
}

/// How boot loader and firmware are renewed after an upgrade.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum FirmwareUpgrade {
    /// On request: `bedplate firmware repair`.
    #[default]
    Manual,
    /// When the new release is committed, unless somebody changed the files. On a board whose firmware can try files they are on trial at the next start, except the boot loader; on others they are not.
    Automatic,
}

impl FirmwareUpgrade {
    /// Every way with its name.
    pub const ALL: [(&'static str, Self); 2] = [("manual", Self::Manual), ("automatic", Self::Automatic)];
}
