//! The few values that differ between nodes, given when a medium is flashed.

use std::net::IpAddr;

use crate::fault::{Fault, Faults};
use crate::v1alpha1::{Interface, MachineConfig, Route};
use crate::value::{HostName, InterfaceName, IpPrefix};

/// Values that replace those of a machine config.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The node's name.
    pub hostname: Option<HostName>,
    /// The interface for `address` and `gateway`; needed when the config lists several, or none.
    pub interface: Option<InterfaceName>,
    /// The only static address; DHCP is turned off with it.
    pub address: Option<IpPrefix>,
    /// The router of the default route.
    pub gateway: Option<IpAddr>,
}

impl Overrides {
    /// Returns true if there is nothing to replace.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the config with these values replaced, checked as a whole again.
    pub fn apply(&self, config: &MachineConfig) -> Result<MachineConfig, Faults> {
        let mut config = config.clone();
        if let Some(hostname) = &self.hostname {
            config.machine.hostname = Some(hostname.clone());
        }
        if self.interface.is_some() || self.address.is_some() || self.gateway.is_some() {
            let interface = self.chosen(&mut config.machine.network.interfaces)?;
            if let Some(address) = self.address {
                interface.dhcp = false;
                interface.addresses = vec![address];
            }
            if let Some(gateway) = self.gateway {
                set_gateway(interface, gateway)?;
            }
        }
        config.check().map_err(|faults| from_overrides(&faults))?;
        Ok(config)
    }

    /// Finds the interface to change, or adds it.
    fn chosen<'a>(&self, interfaces: &'a mut Vec<Interface>) -> Result<&'a mut Interface, Faults> {
        let named = self.interface.as_ref();
        let index = match (named, interfaces.len()) {
            (Some(name), _) => interfaces.iter().position(|i| i.name.as_ref() == Some(name)),
            (None, 1) => Some(0),
            (None, 0) => return Err(fault("name the interface for the address: the config lists none")),
            (None, _) => {
                return Err(fault(
                    "name the interface for the address: the config lists several",
                ));
            }
        };
        let index = index.unwrap_or_else(|| {
            interfaces.push(Interface {
                name: named.cloned(),
                dhcp: self.address.is_none(),
                ..Interface::default()
            });
            interfaces.len() - 1
        });
        Ok(&mut interfaces[index])
    }
}

/// Makes `gateway` the only default route of its IP version.
fn set_gateway(interface: &mut Interface, gateway: IpAddr) -> Result<(), Faults> {
    let reachable = |address: &IpPrefix| address.contains(gateway) || is_link_local(gateway);
    if !interface.addresses.is_empty() && !interface.addresses.iter().any(reachable) {
        let list: Vec<_> = interface.addresses.iter().map(ToString::to_string).collect();
        return Err(fault(&format!(
            "gateway {gateway} is not in the network of {}",
            list.join(", ")
        )));
    }
    let all = if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
    let to: IpPrefix = all.parse().expect("both default routes are prefixes");
    interface.routes.retain(|route| route.to != to);
    interface.routes.push(Route {
        to,
        via: Some(gateway),
        metric: None,
    });
    Ok(())
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn fault(message: &str) -> Faults {
    Faults::one(0, "", message)
}

/// Drops the lines: they would refer to a document that nobody has seen.
fn from_overrides(faults: &Faults) -> Faults {
    let list = faults
        .list()
        .iter()
        .map(|fault| Fault {
            line: 0,
            ..fault.clone()
        })
        .collect();
    Faults::from_list(list).expect("no fault was removed")
}
