//! What a platform offers, made of user data and metadata.

use std::net::IpAddr;

use cloud::meta_data::{MetaData, MetaDataError};
use cloud::network_data::{self, NetworkData, NetworkDataError};
use cloud::user_data;
use machine_config::v1alpha1::{Interface, Network, Route};
use machine_config::value::{IpPrefix, MacAddress};
use state::chain;

use super::{Answer, Offer};

impl Offer {
    /// Makes an offer of user data, without metadata; nothing of empty user data.
    ///
    /// # Errors
    ///
    /// When it cannot be a config.
    pub(super) fn of_user_data(bytes: &[u8]) -> Result<Answer, String> {
        let document = user_data::decode(bytes, machine_config::LIMIT).map_err(|error| chain(&error))?;
        let Some(document) = document else {
            return Ok(Answer::Nothing);
        };
        let text = machine_config::decode(&document).map_err(|error| chain(&error))?;
        Ok(Answer::Offer(Offer {
            yaml: text.to_owned().into(),
            ..Offer::default()
        }))
    }
}

impl Answer {
    /// Adds what metadata says, if there is any.
    pub(super) fn with(mut self, read: Option<Result<MetaData, MetaDataError>>) -> Self {
        if let (Answer::Offer(offer), Some(read)) = (&mut self, read) {
            match read {
                Ok(meta) => {
                    offer.host_name = meta.host_name;
                    if meta.ssh_keys {
                        let ignored = "the SSH keys are ignored: a node has no SSH; its API is open to certificates of machine.ca";
                        offer.notes.push(ignored.to_owned());
                    }
                }
                Err(error) => offer
                    .notes
                    .push(format!("the metadata is ignored: {}", chain(&error))),
            }
        }
        self
    }

    /// Adds the addresses that a cloud without DHCP gives, if there are any.
    pub(super) fn with_network(mut self, read: Option<Result<NetworkData, NetworkDataError>>) -> Self {
        if let (Answer::Offer(offer), Some(read)) = (&mut self, read) {
            match read {
                Ok(network) if network.interfaces.is_empty() => {}
                Ok(network) => offer.network = Some(network),
                Err(error) => {
                    let ignored = format!("the network data is ignored, and DHCP is used: {}", chain(&error));
                    offer.notes.push(ignored);
                }
            }
        }
        self
    }
}

/// Returns a config's network of what a cloud says.
///
/// # Errors
///
/// What no config can have.
pub(crate) fn network(data: &NetworkData) -> Result<Network, String> {
    let prefix = |(address, length): (IpAddr, u8)| IpPrefix { address, length };
    let interface = |interface: &network_data::Interface| {
        let mac_address = interface.mac_address.parse::<MacAddress>();
        let mac_address =
            mac_address.map_err(|_| format!("{:?} is not a hardware address", interface.mac_address))?;
        let route = |(to, via): &((IpAddr, u8), IpAddr)| Route {
            to: prefix(*to),
            via: Some(*via),
            metric: None,
        };
        Ok(Interface {
            name: None,
            mac_address: Some(mac_address),
            dhcp: interface.dhcp,
            addresses: interface.addresses.iter().copied().map(prefix).collect(),
            mtu: interface.mtu,
            routes: interface.routes.iter().map(route).collect(),
        })
    };
    Ok(Network {
        interfaces: data
            .interfaces
            .iter()
            .map(interface)
            .collect::<Result<_, String>>()?,
        nameservers: data.name_servers.clone(),
        ..Network::default()
    })
}
