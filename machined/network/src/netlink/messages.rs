//! Converts the kernel's messages to state, and changes to messages.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use machine_config::value::{IpPrefix, MacAddress};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressProtocol};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, Inet6IfaceFlags, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType,
    LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::{AddressMessageBuilder, RouteMessageBuilder};
use state::kinds::{AddressStatus, Ipv6Status, LinkKind, LinkStatus, RouteSpec, RouteStatus};

/// Our mark on addresses (`IFA_PROTO`, since Linux 5.18) and routes (`rtm_protocol`): 66 is a B, and nobody's yet.
const MARK: u8 = 66;
pub(super) fn address_message(index: u32, prefix: IpPrefix) -> AddressMessage {
    let mut message = match prefix.address {
        IpAddr::V4(v4) => AddressMessageBuilder::<Ipv4Addr>::new()
            .index(index)
            .address(v4, prefix.length)
            .build(),
        IpAddr::V6(v6) => AddressMessageBuilder::<Ipv6Addr>::new()
            .index(index)
            .address(v6, prefix.length)
            .build(),
    };
    message
        .attributes
        .push(AddressAttribute::Protocol(AddressProtocol::Other(MARK)));
    message
}

pub(super) fn route_message(index: u32, spec: &RouteSpec) -> RouteMessage {
    let to = spec.to;
    let scope = if spec.via.is_some() {
        RouteScope::Universe
    } else {
        RouteScope::Link
    };
    let mut message = match to.address {
        IpAddr::V4(v4) => {
            let builder = RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(v4, to.length)
                .scope(scope);
            match spec.via {
                Some(IpAddr::V4(via)) if spec.on_link => builder.gateway(via).onlink().build(),
                Some(IpAddr::V4(via)) => builder.gateway(via).build(),
                _ => builder.build(),
            }
        }
        IpAddr::V6(v6) => {
            let builder = RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(v6, to.length);
            match spec.via {
                Some(IpAddr::V6(via)) if spec.on_link => builder.gateway(via).onlink().build(),
                Some(IpAddr::V6(via)) => builder.gateway(via).build(),
                _ => builder.build(),
            }
        }
    };
    message.header.protocol = RouteProtocol::Other(MARK);
    message.attributes.push(RouteAttribute::Oif(index));
    message.attributes.push(RouteAttribute::Priority(spec.metric));
    message
}

pub(super) fn link_status(message: &LinkMessage) -> Option<(String, LinkStatus)> {
    let (mut name, mut mac_address, mut mtu, mut driver) = (None, None, 0, None);
    let (mut max_mtu, mut ipv6) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text.clone()),
            LinkAttribute::Address(bytes) => {
                mac_address = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(MacAddress)
            }
            LinkAttribute::Mtu(bytes) => mtu = *bytes,
            // Drivers without a limit of their own say zero.
            LinkAttribute::MaxMtu(bytes) => max_mtu = Some(*bytes).filter(|bytes| *bytes > 0),
            LinkAttribute::AfSpecUnspec(families) => ipv6 = families.iter().find_map(ipv6_status),
            LinkAttribute::LinkInfo(infos) => {
                driver = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    let (header, flags) = (&message.header, message.header.flags);
    let kind = match (driver, header.link_layer_type) {
        (_, LinkLayerType::Loopback) => LinkKind::Loopback,
        (Some(driver), _) => LinkKind::Virtual { driver },
        (None, LinkLayerType::Ether) => LinkKind::Ethernet,
        _ => LinkKind::Other,
    };
    let (up, carrier) = (flags.contains(LinkFlags::Up), flags.contains(LinkFlags::LowerUp));
    Some((
        name?,
        LinkStatus {
            index: header.index,
            mac_address,
            mtu,
            max_mtu,
            refused_mtu: None,
            up,
            carrier,
            kind,
            ipv6,
        },
    ))
}

/// A node that forwards accepts router advertisements only with this value of `accept_ra`.
pub(super) const ACCEPT_THOUGH_FORWARDING: i32 = 2;

fn ipv6_status(family: &AfSpecUnspec) -> Option<Ipv6Status> {
    let AfSpecUnspec::Inet6(attributes) = family else {
        return None;
    };
    let mut status = Ipv6Status::default();
    for attribute in attributes {
        match attribute {
            AfSpecInet6::Flags(flags) => {
                status.managed = flags.contains(Inet6IfaceFlags::RaManaged);
                status.other_config = flags.contains(Inet6IfaceFlags::Otherconf);
            }
            AfSpecInet6::DevConf(settings) => {
                status.accepts_routers = settings.accept_ra == ACCEPT_THOUGH_FORWARDING;
            }
            _ => {}
        }
    }
    Some(status)
}

pub(super) fn address_status(
    message: &AddressMessage,
    links: &BTreeMap<u32, (String, LinkStatus)>,
) -> Option<AddressStatus> {
    let (link, _) = links.get(&message.header.index)?;
    let (mut address, mut local, mut ours) = (None, None, false);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(ip) => address = Some(*ip),
            // On a point-to-point link the address is the other end's.
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Protocol(protocol) => ours = u8::from(*protocol) == MARK,
            _ => {}
        }
    }
    let address = IpPrefix {
        address: local.or(address)?,
        length: message.header.prefix_len,
    };
    Some(AddressStatus {
        link: link.clone(),
        address,
        ours,
    })
}

pub(super) fn route_status(
    message: &RouteMessage,
    links: &BTreeMap<u32, (String, LinkStatus)>,
) -> Option<RouteStatus> {
    let header = &message.header;
    if header.table != RouteHeader::RT_TABLE_MAIN || header.kind != RouteType::Unicast {
        return None;
    }
    let (mut to, mut via, mut index, mut metric) = (None, None, None, 0);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => to = ip(address),
            RouteAttribute::Gateway(address) => via = ip(address),
            RouteAttribute::Oif(number) => index = Some(*number),
            RouteAttribute::Priority(number) => metric = *number,
            _ => {}
        }
    }
    let anywhere: IpAddr = match header.address_family {
        AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
        _ => Ipv6Addr::UNSPECIFIED.into(),
    };
    let to = IpPrefix {
        address: to.unwrap_or(anywhere),
        length: header.destination_prefix_length,
    };
    let (link, _) = links.get(&index?)?;
    let ours = header.protocol == RouteProtocol::Other(MARK);
    Some(RouteStatus {
        link: link.clone(),
        to,
        via,
        metric,
        ours,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some((*v4).into()),
        RouteAddress::Inet6(v6) => Some((*v6).into()),
        _ => None,
    }
}
