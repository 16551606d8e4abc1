//! The progress of a plan in execution.

use serde::Serialize;

/// The stages of flashing, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// The whole bundle is read and checked. Nothing is written before that.
    Check,
    /// The old partition table is erased: from here on, an interrupted flash does not boot.
    Erase,
    /// Everything but the partition table and the manifest is written.
    Write,
    /// Everything is read back from the medium.
    ReadBack,
    /// The manifest is written, then the partition table.
    Finish,
    /// The medium is inspected as a node would.
    Inspect,
}

impl Stage {
    /// Returns the title for the user.
    pub fn title(self) -> &'static str {
        match self {
            Stage::Check => "Checking the bundle",
            Stage::Erase => "Erasing the old partition table",
            Stage::Write => "Writing",
            Stage::ReadBack => "Reading back",
            Stage::Finish => "Writing the partition table",
            Stage::Inspect => "Inspecting as a node would",
        }
    }
}

/// Observes progress.
pub trait Watch {
    /// Starts a stage with this many bytes.
    fn stage(&mut self, stage: Stage, bytes: u64);

    /// Adds this many bytes.
    fn advance(&mut self, bytes: u64);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Watch for Silent {
    fn stage(&mut self, _: Stage, _: u64) {}

    fn advance(&mut self, _: u64) {}
}
