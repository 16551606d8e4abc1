//! The options for many cards.

use std::path::PathBuf;

use machine_config::value::{HostName, argument};

/// The options for many cards.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct FleetArgs {
    /// Flashes many cards, each by a row of this file: with its hostname, address and config patch.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["hostname", "address", "gateway", "interface", "allow_fixed"]
    )]
    pub fleet: Option<PathBuf>,

    /// With --fleet: the cards in all USB and SD readers, instead of named ones.
    #[arg(long, requires = "fleet", conflicts_with = "target")]
    pub all_cards: bool,

    /// With --fleet: waits for further cards in the same readers until all rows are used.
    #[arg(long, requires = "fleet")]
    pub watch: bool,

    /// With --fleet: flashes a row again that is done; several may be given.
    #[arg(long, value_name = "NAME", requires = "fleet", value_parser = argument::<HostName>)]
    pub redo: Vec<HostName>,

    /// With --fleet: the minisign secret key that signs a receipt for each card; without one receipts are not signed.
    #[arg(long, value_name = "FILE", requires = "fleet")]
    pub receipt_key: Option<PathBuf>,

    /// With --fleet: the file that receipts are appended to, and that says which rows are done. By default beside the fleet's
    /// file, with the ending .ledger.
    #[arg(long, value_name = "FILE", requires = "fleet")]
    pub ledger: Option<PathBuf>,
}
