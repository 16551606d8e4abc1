//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use machine_config::Overrides;
use machine_config::value::{HostName, InterfaceName, IpPrefix, argument};

use crate::fleet::FleetArgs;
use crate::keep::KeepArgs;

const EXAMPLES: &str = "\
Examples:
  bedplate-flash list
  bedplate-flash --key release.pub --config node1.yaml node.bundle /dev/sdb
  bedplate-flash --key release.pub --config worker.yaml --hostname node7 --address 10.0.0.7/24 \
--gateway 10.0.0.1 --interface eth0 node.bundle /dev/sdb
  bedplate-flash --key release.pub --fleet fleet.yaml --receipt-key factory.key node.bundle /dev/sdb /dev/sdc
  bedplate-flash --key release.pub --fleet fleet.yaml --watch --all-cards node.bundle
  bedplate-flash --key release.pub --yes --output json --size 8G node.bundle disk.img";

/// Writes a bundle to a disk or a file.
///
/// Checks the bundle's signature, shows what will happen, asks, writes, and reads everything back. Nothing is written
/// before the whole bundle and the machine config have been checked. The disk does not boot before the very end, so an
/// interrupted flash can simply be repeated.
#[derive(Debug, Clone, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The bundle to flash.
    #[arg(required = true, value_name = "BUNDLE")]
    pub(crate) bundle: Option<PathBuf>,

    /// The disk to flash it to (see `list`), or a file.
    #[arg(required_unless_present = "fleet", value_name = "TARGET")]
    pub(crate) target: Option<PathBuf>,

    /// With --fleet: further disks or files.
    #[arg(value_name = "TARGET", requires = "fleet")]
    pub(crate) more: Vec<PathBuf>,

    /// The public key that bundles may be signed with; several may be given.
    #[arg(
        short,
        long = "key",
        value_name = "FILE",
        env = "BEDPLATE_KEY",
        value_delimiter = ':',
        global = true
    )]
    pub(crate) keys: Vec<PathBuf>,

    /// The machine config to write; without one the node waits to receive one over its API.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Sets the node's name, instead of the machine config's.
    #[arg(long, value_name = "NAME", requires = "config", value_parser = argument::<HostName>)]
    pub(crate) hostname: Option<HostName>,

    /// Sets one static address for the node, such as 10.0.0.2/24, instead of DHCP.
    #[arg(long, value_name = "CIDR", requires = "config", value_parser = argument::<IpPrefix>)]
    pub(crate) address: Option<IpPrefix>,

    /// The gateway for the address.
    #[arg(long, value_name = "ADDRESS", requires = "config")]
    pub(crate) gateway: Option<IpAddr>,

    /// The interface for address and gateway; needed when the config lists several, or none.
    #[arg(long, value_name = "NAME", requires = "config", value_parser = argument::<InterfaceName>)]
    pub(crate) interface: Option<InterfaceName>,

    /// Size of the file to write, such as 8G; its unwritten parts take no space. By default as small as possible.
    #[arg(long, value_name = "SIZE", value_parser = quantity::bytes)]
    pub(crate) size: Option<u64>,

    /// Discards everything on the disk first: better for flash cells, and erases your old data.
    #[arg(long)]
    pub(crate) discard: bool,

    /// Allows a built-in or very large disk, by its serial number; asks for it when none is given.
    #[arg(long, value_name = "SERIAL", num_args = 0..=1, require_equals = true)]
    pub(crate) allow_fixed: Option<Option<String>>,

    /// Shows what would happen, and writes nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Does not ask for confirmation.
    #[arg(short, long)]
    pub(crate) yes: bool,

    #[command(flatten)]
    pub(crate) keep: KeepArgs,

    #[command(flatten)]
    pub(crate) fleet: FleetArgs,

    /// How to print the result.
    #[arg(short, long, value_enum, default_value_t, global = true)]
    pub(crate) output: Output,

    /// How to show progress, on standard error.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) progress: Progress,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Lists the disks, what is on them, and which of them can be flashed.
    ///
    /// Reading what is on a disk needs the right to read it. The release of a node is shown if one of the keys signed it.
    List,
}

/// How to print results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON document on standard output; with --fleet one on each line.
    Json,
}

/// How to show progress.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// Bars on a terminal, lines elsewhere.
    #[default]
    Auto,
    /// Lines, for screen readers and logs: one for each stage, and one for each quarter of it.
    Plain,
    /// Not at all.
    None,
}

impl Args {
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            hostname: self.hostname.clone(),
            interface: self.interface.clone(),
            address: self.address,
            gateway: self.gateway,
        }
    }
}
