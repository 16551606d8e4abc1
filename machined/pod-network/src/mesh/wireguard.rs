//! The kernel's WireGuard, by netlink.

use std::io;

use async_trait::async_trait;
use machine_config::value::IpPrefix;
use netlink_packet_generic::GenlMessage;
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_wireguard::{
    WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAttribute, WireguardCmd,
    WireguardDeviceFlags, WireguardMessage, WireguardPeer, WireguardPeerAttribute, WireguardPeerFlags,
};
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::sys::protocols::NETLINK_GENERIC;
use rtnetlink::sys::{Socket, SocketAddr};
use rtnetlink::{LinkUnspec, LinkWireguard};
use zeroize::Zeroize as _;

use super::update::Update;
use super::{INTERFACE, Key, PORT, Peer};

/// The name of WireGuard among the kernel's families of messages.
const FAMILY: &str = "wireguard";
/// The most peers in a message: an attribute has less than 64 KiB.
const AT_ONCE: usize = 64;
/// Seconds between packets that keep address translation open.
const KEEPALIVE: u16 = 25;
const EEXIST: i32 = -17;
const ENODEV: i32 = -19;

/// The kernel did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// It has no WireGuard.
    #[error(
        "the kernel has no WireGuard; the module wireguard must be in the image, or set cluster.network.mesh to none"
    )]
    Unknown(#[source] io::Error),
    /// It refuses the interface.
    #[error("cannot make or remove the interface {INTERFACE}")]
    Interface(#[source] io::Error),
    /// It refuses keys or peers.
    #[error("cannot set keys and peers of the interface {INTERFACE}")]
    Peers(#[source] io::Error),
}

/// An interface of WireGuard.
#[async_trait]
pub trait Tunnel: Send + Sync {
    /// Makes the interface where it is not there.
    async fn make(&self) -> Result<(), TunnelError>;

    /// Removes the interface.
    async fn remove(&self) -> Result<(), TunnelError>;

    /// Sets the private key, of 32 bytes, and what is new about the other ends.
    async fn set(&self, key: &[u8; 32], update: &Update) -> Result<(), TunnelError>;
}

/// That of the kernel.
#[derive(Debug, Clone, Copy, Default)]
pub struct WireGuard;

#[async_trait]
impl Tunnel for WireGuard {
    async fn make(&self) -> Result<(), TunnelError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(TunnelError::Interface)?;
        let task = tokio::spawn(connection);
        let made = handle
            .link()
            .add(LinkWireguard::new(INTERFACE).build())
            .execute()
            .await;
        task.abort();
        match made.map_err(kernel_error) {
            Err(error) if error.raw_os_error() == Some(-EEXIST) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Err(TunnelError::Unknown(error)),
            made => made.map_err(TunnelError::Interface),
        }
    }

    async fn remove(&self) -> Result<(), TunnelError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(TunnelError::Interface)?;
        let task = tokio::spawn(connection);
        let message = rtnetlink::LinkMessageBuilder::<LinkUnspec>::new().name(INTERFACE.to_owned());
        let removed = handle.link().del_with_message(message.build()).execute().await;
        task.abort();
        match removed.map_err(kernel_error) {
            Err(error) if error.raw_os_error() == Some(-ENODEV) => Ok(()),
            removed => removed.map_err(TunnelError::Interface),
        }
    }

    async fn set(&self, key: &[u8; 32], update: &Update) -> Result<(), TunnelError> {
        // The kernel answers at once: no thread waits for it.
        let family = family(FAMILY).map_err(TunnelError::Unknown)?;
        for message in messages(key, update) {
            let mut packet = packet(message, family);
            let sent = request(&packet);
            packet.zeroize();
            sent.map_err(TunnelError::Peers)?;
        }
        Ok(())
    }
}

fn kernel_error(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}

/// Makes the messages that tell an update. Pure.
fn messages(key: &[u8; 32], update: &Update) -> Vec<WireguardMessage> {
    let removed = update.gone.iter().map(|key| {
        WireguardPeer(vec![
            WireguardPeerAttribute::PublicKey(key.0),
            WireguardPeerAttribute::Flags(WireguardPeerFlags::RemoveMe),
        ])
    });
    // First of all: a network that moves to another node is free then.
    let peers: Vec<WireguardPeer> = removed.chain(update.set.iter().map(peer)).collect();
    let mut chunks: Vec<Vec<WireguardPeer>> = peers.chunks(AT_ONCE).map(<[_]>::to_vec).collect();
    if chunks.is_empty() {
        chunks.push(Vec::new());
    }
    let message = |(index, peers): (usize, Vec<WireguardPeer>)| {
        let mut attributes = vec![WireguardAttribute::IfName(INTERFACE.to_owned())];
        if index == 0 {
            attributes.push(WireguardAttribute::PrivateKey(*key));
            attributes.push(WireguardAttribute::ListenPort(PORT));
            if update.all {
                attributes.push(WireguardAttribute::Flags(WireguardDeviceFlags::ReplacePeers));
            }
        }
        attributes.push(WireguardAttribute::Peers(peers));
        WireguardMessage {
            cmd: WireguardCmd::SetDevice,
            attributes,
        }
    };
    chunks.into_iter().enumerate().map(message).collect()
}

fn peer(peer: &Peer) -> WireguardPeer {
    let Peer {
        key: Key(key),
        endpoint,
        allowed,
        far,
    } = peer;
    WireguardPeer(vec![
        WireguardPeerAttribute::PublicKey(*key),
        WireguardPeerAttribute::Flags(WireguardPeerFlags::ReplaceAllowedIps),
        WireguardPeerAttribute::Endpoint(*endpoint),
        WireguardPeerAttribute::PersistentKeepalive(if *far { KEEPALIVE } else { 0 }),
        WireguardPeerAttribute::AllowedIps(allowed.iter().map(allowed_ip).collect()),
    ])
}

fn allowed_ip(network: &IpPrefix) -> WireguardAllowedIp {
    let family = match network.address.is_ipv4() {
        true => WireguardAddressFamily::Ipv4,
        false => WireguardAddressFamily::Ipv6,
    };
    WireguardAllowedIp(vec![
        WireguardAllowedIpAttr::Family(family),
        WireguardAllowedIpAttr::IpAddr(network.address),
        WireguardAllowedIpAttr::Cidr(network.length),
    ])
}

/// Writes a message, and forgets the key in it.
fn packet(message: WireguardMessage, family: u16) -> Vec<u8> {
    let mut message = GenlMessage::from_payload(message);
    message.set_resolved_family_id(family);
    let mut message = NetlinkMessage::from(message);
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    if let NetlinkPayload::InnerMessage(inner) = &mut message.payload {
        for attribute in &mut inner.payload.attributes {
            if let WireguardAttribute::PrivateKey(key) = attribute {
                key.zeroize();
            }
        }
    }
    bytes
}

/// Asks the kernel for the number of a family of messages.
fn family(name: &str) -> io::Result<u16> {
    let mut message = GenlMessage::from_payload(GenlCtrl {
        cmd: GenlCtrlCmd::GetFamily,
        nlas: vec![GenlCtrlAttrs::FamilyName(name.to_owned())],
    });
    message.finalize();
    let mut message = NetlinkMessage::from(message);
    message.header.flags = NLM_F_REQUEST;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let answer = ask(&bytes)?;
    let answer = NetlinkMessage::<GenlMessage<GenlCtrl>>::deserialize(&answer).map_err(io::Error::other)?;
    match answer.payload {
        NetlinkPayload::InnerMessage(found) => found
            .payload
            .nlas
            .iter()
            .find_map(|attribute| match attribute {
                GenlCtrlAttrs::FamilyId(id) => Some(*id),
                _ => None,
            })
            .ok_or_else(|| io::ErrorKind::NotFound.into()),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Sends a message that the kernel acknowledges.
fn request(packet: &[u8]) -> io::Result<()> {
    let answer = ask(packet)?;
    let answer = NetlinkMessage::<GenlMessage<GenlCtrl>>::deserialize(&answer).map_err(io::Error::other)?;
    match answer.payload {
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        NetlinkPayload::Error(_) => Ok(()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn ask(packet: &[u8]) -> io::Result<Vec<u8>> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(packet, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    Ok(answer)
}

#[cfg(test)]
mod tests;
