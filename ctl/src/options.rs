//! Options that many commands share, and how their values are read.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use pki::Fingerprint;

use crate::ui::Format;

/// The options of every command: which nodes to call, as whom, and how to print the results.
#[derive(Debug, Args)]
pub struct Global {
    /// Path of the client config; `~/.config/bedplate/config.yaml` if omitted.
    #[arg(
        long,
        global = true,
        env = "BEDPLATE_CONFIG",
        value_name = "FILE",
        help_heading = "Connection"
    )]
    pub config: Option<PathBuf>,
    /// Context to use instead of the current one.
    #[arg(
        long,
        global = true,
        env = "BEDPLATE_CONTEXT",
        value_name = "NAME",
        help_heading = "Connection"
    )]
    pub context: Option<String>,
    /// Nodes to call, all at once: comma-separated names or addresses.
    #[arg(
        short,
        long,
        global = true,
        value_delimiter = ',',
        value_name = "NODE,…",
        help_heading = "Connection"
    )]
    pub nodes: Vec<String>,
    /// Call the first of these endpoints that answers, instead of the context's nodes; with --nodes, call those through it.
    ///
    /// A node that is called through another checks the caller's certificate itself, and nothing can be read in between. The
    /// endpoint must know the node: by its name or address in the cluster.
    #[arg(
        short,
        long,
        global = true,
        value_delimiter = ',',
        value_name = "HOST[:PORT],…",
        help_heading = "Connection"
    )]
    pub endpoint: Vec<String>,
    /// Time that a node has to answer.
    #[arg(long, global = true, value_name = "TIME", default_value = "15s", value_parser = quantity::time, help_heading = "Connection")]
    pub timeout: Duration,
    /// Trust only the node whose certificate has this fingerprint, which its console shows.
    #[arg(long, global = true, value_name = "SHA-256", help_heading = "Connection")]
    pub fingerprint: Option<Fingerprint>,
    /// Do not verify the node's certificate. Only for a node in maintenance mode on a network that you trust.
    #[arg(
        long,
        global = true,
        conflicts_with = "fingerprint",
        help_heading = "Connection"
    )]
    pub insecure: bool,
    /// Output format.
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

/// Where a cluster is, for commands that write a context.
#[derive(Debug, Args)]
pub struct At {
    /// Endpoints of the cluster.
    #[arg(
        long = "at",
        required = true,
        value_delimiter = ',',
        value_name = "HOST[:PORT],…"
    )]
    pub endpoints: Vec<String>,
}
