//! Configures links, addresses, routes and names as the machine config asks.
//!
//! From config to kernel: each part of the node that wants something of the network publishes a `NetworkContribution` of its own, here
//! `from_config` for the machine config and `from_leases` for the leases of `dhcp` and `dhcp6`. `merge` makes one of them, by documented
//! precedence, and `spec` publishes it as `LinkSpec`, `AddressSpec` and `RouteSpec`. `links` looks at the kernel, publishes what it sees as
//! `LinkStatus`, `AddressStatus` and `RouteStatus`, and carries out what `plan` finds missing. `resolver` and `hostname` write the
//! names, `health` sums it all up as `NetworkStatus`. The kernel is behind the trait of `kernel`; `netlink` is the real one.
//!
//! Every run compares the actual with the desired state: what was removed is added again. What others added
//! stays: our addresses and routes carry our mark.

mod dhcp;
mod dhcp6;
mod from_config;
mod from_leases;
mod health;
mod hostname;
mod kernel;
mod leases;
mod links;
mod merge;
mod names;
mod netlink;
mod plan;
mod resolver;
mod spec;

#[cfg(test)]
mod namespace_tests;

pub use dhcp::{Asker, Dhcp, DhcpError, LeaseError, LeaseSource, Reporter, Servers};
pub use dhcp6::{Dhcp6, Dhcp6Error};
pub use from_config::FromConfig;
pub use from_leases::FromLeases;
pub use health::NetworkHealth;
pub use hostname::HostName;
pub use kernel::{Kernel, NetlinkError, RecordingKernel};
pub use links::Links;
pub use netlink::Netlink;
pub use plan::{Change, Desired, Observed, plan};
pub use resolver::{Resolver, WriteError};
pub use spec::Specs;

use std::path::PathBuf;

use state::Runtime;

/// The files with names.
#[derive(Debug, Clone)]
pub struct NetworkFiles {
    /// Where programs look up name servers: `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
    /// Where programs look up the node's own name: `/etc/hosts`.
    pub hosts: PathBuf,
    /// Where the machine's identity is: `/etc/machine-id`.
    pub machine_id: PathBuf,
}

impl Default for NetworkFiles {
    fn default() -> Self {
        Self {
            resolv_conf: "/etc/resolv.conf".into(),
            hosts: "/etc/hosts".into(),
            machine_id: "/etc/machine-id".into(),
        }
    }
}

/// Adds every controller of the network. Must run inside the tokio runtime that the controllers will run in.
pub fn add_controllers(runtime: &mut Runtime, files: NetworkFiles) -> Result<(), NetlinkError> {
    runtime.add(Links::new(Netlink::open()?));
    runtime.add(FromConfig);
    runtime.add(FromLeases);
    runtime.add(Specs);
    runtime.add(Dhcp::new(Servers::default()));
    runtime.add(Dhcp6::new());
    runtime.add(Resolver::new(files.resolv_conf));
    runtime.add(HostName::new(files.hosts, files.machine_id));
    runtime.add(NetworkHealth);
    Ok(())
}
