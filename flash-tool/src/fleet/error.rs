//! Why a fleet is not flashed.

use std::io;
use std::path::PathBuf;

use machine_config::Faults;
use machine_config::value::HostName;
use yaml::Fault;

use crate::config::ConfigError;

/// Why a fleet is not flashed, or not as a whole.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// A file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: text::LoadError,
    },
    /// The fleet, or a patch, has a fault.
    #[error("{}:{}: {}", .path.display(), .fault.line.max(1), .fault.without_line())]
    Faulty {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: Fault,
    },
    /// A row has no machine config.
    #[error(
        "{}:{line}: row {hostname} has no machine config: add `config: FILE` to it or to the fleet, or give --config",
        .path.display()
    )]
    NoConfig {
        /// The fleet's file.
        path: PathBuf,
        /// The line of the row.
        line: usize,
        /// The row.
        hostname: HostName,
    },
    /// The machine config of a row cannot be used.
    #[error("{}:{line}: row {hostname} cannot be flashed", .path.display())]
    Config {
        /// The fleet's file.
        path: PathBuf,
        /// The line of the row.
        line: usize,
        /// The row.
        hostname: HostName,
        /// Why.
        source: ConfigError,
    },
    /// The machine config of a row is not valid with what the row says.
    #[error(
        "{}:{line}: the machine config of row {hostname} is not valid with its {what}:\n{}",
        .path.display(), lines(.faults)
    )]
    Row {
        /// The fleet's file.
        path: PathBuf,
        /// The line of the row.
        line: usize,
        /// The row.
        hostname: HostName,
        /// What of the row is to blame.
        what: &'static str,
        /// The faults, whose lines would be those of a text that nobody has seen.
        faults: Faults,
    },
    /// `--redo` names a row that is not there.
    #[error("--redo {hostname}: {} has no such row{}", .path.display(), hint(.known, .hostname))]
    NoSuchRow {
        /// The fleet's file.
        path: PathBuf,
        /// What was named.
        hostname: HostName,
        /// The rows.
        known: Vec<HostName>,
    },
    /// Nothing says where the cards are.
    #[error("name the readers (or files) to flash to behind the bundle, or give --all-cards")]
    NoTarget,
    /// A target is named twice.
    #[error("{} is named twice", .path.display())]
    TargetTwice {
        /// The target.
        path: PathBuf,
    },
    /// A disk needs more than a yes.
    #[error(
        "{}: {why}. A fleet is flashed to cards: flash this disk on its own, with --allow-fixed={word}",
        .path.display()
    )]
    Fixed {
        /// The disk.
        path: PathBuf,
        /// Why.
        why: String,
        /// What names it.
        word: String,
    },
    /// A file cannot be exchanged.
    #[error("{} is not a disk: --watch waits for cards in readers", .path.display())]
    WatchesFile {
        /// The target.
        path: PathBuf,
    },
    /// The ledger cannot be read or written.
    #[error("cannot {action} the ledger {}", .path.display())]
    Ledger {
        /// What failed.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another run uses the ledger.
    #[error("another program is using the ledger {}: wait until it has ended", .path.display())]
    LedgerInUse {
        /// The file.
        path: PathBuf,
    },
    /// A line of the ledger is no receipt.
    #[error(
        "{}:{line}: this is not a receipt. Move the file away, or give another one with --ledger: rows are then done again",
        .path.display()
    )]
    NotAReceipt {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// The ledger and its signature do not belong together.
    #[error("{}: {why}, or begin another one with --ledger FILE", .path.display())]
    Unsigned {
        /// The ledger.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// The key for receipts cannot be used.
    #[error("cannot sign receipts")]
    Key(#[from] signing::KeyError),
    /// A writer ended without a result.
    #[error("its writer has crashed; the card is not bootable now")]
    Crashed,
    /// Some cards were not flashed.
    #[error(
        "{failed} of {all} cards failed, as said above; their rows are still to do: run the same command again"
    )]
    Failed {
        /// The number of cards that failed.
        failed: usize,
        /// The number of cards that were tried.
        all: usize,
    },
}

fn lines(faults: &Faults) -> String {
    let lines: Vec<String> = faults.list().iter().map(Fault::without_line).collect();
    lines.join("\n")
}

fn hint(known: &[HostName], named: &HostName) -> String {
    yaml::did_you_mean(named.as_str(), known.iter().map(HostName::as_str))
}
