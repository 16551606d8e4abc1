//! Options that many commands share, and how their values are read.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use pki::Fingerprint;

use crate::ui::Format;

/// The options of every command: which nodes to call, as whom, and how to print the answer.
#[derive(Debug, Args)]
pub struct Global {
    /// The client's file; `~/.config/bedplate/config.yaml` unless given.
    #[arg(
        long,
        global = true,
        env = "BEDPLATE_CONFIG",
        value_name = "FILE",
        help_heading = "Connection"
    )]
    pub config: Option<PathBuf>,
    /// The context to use instead of the current one.
    #[arg(
        long,
        global = true,
        env = "BEDPLATE_CONTEXT",
        value_name = "NAME",
        help_heading = "Connection"
    )]
    pub context: Option<String>,
    /// Nodes to ask, all at once: names or addresses, with commas between.
    #[arg(
        short,
        long,
        global = true,
        value_delimiter = ',',
        value_name = "NODE,…",
        help_heading = "Connection"
    )]
    pub nodes: Vec<String>,
    /// Ask whichever of these answers first in order, instead of the context's nodes.
    #[arg(
        short,
        long,
        global = true,
        value_delimiter = ',',
        value_name = "HOST[:PORT],…",
        conflicts_with = "nodes",
        help_heading = "Connection"
    )]
    pub endpoint: Vec<String>,
    /// How long a node may take to answer.
    #[arg(long, global = true, value_name = "TIME", default_value = "15s", value_parser = quantity::time, help_heading = "Connection")]
    pub timeout: Duration,
    /// Believe only the node whose certificate has this fingerprint: it stands on the node's console.
    #[arg(long, global = true, value_name = "SHA-256", help_heading = "Connection")]
    pub fingerprint: Option<Fingerprint>,
    /// Believe whoever answers. Only for a node in maintenance mode on a network you trust.
    #[arg(
        long,
        global = true,
        conflicts_with = "fingerprint",
        help_heading = "Connection"
    )]
    pub insecure: bool,
    /// How to show the answer.
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        help_heading = "Output"
    )]
    pub output: Format,
}
