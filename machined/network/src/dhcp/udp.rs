//! Encodes and decodes UDP over IPv4, for a node without an address.

use std::net::Ipv4Addr;

/// The ports of DHCP.
pub(super) const SERVER_PORT: u16 = 67;
pub(super) const CLIENT_PORT: u16 = 68;
const IP_HEAD: usize = 20;
const UDP_HEAD: usize = 8;
const UDP: u8 = 17;

/// Wraps a payload into a packet from the unspecified address to the broadcast address. The payload has less than 64 KiB, as DHCP's have.
pub(super) fn wrap(payload: &[u8]) -> Vec<u8> {
    let length = |head: usize| u16::try_from(head + payload.len()).unwrap_or(u16::MAX);
    let (source, target) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
    let mut packet = vec![0x45, 0x10];
    packet.extend(length(IP_HEAD + UDP_HEAD).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, UDP, 0, 0]);
    packet.extend(source.octets());
    packet.extend(target.octets());
    let sum = checksum(&[&packet]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut head = Vec::from(CLIENT_PORT.to_be_bytes());
    head.extend(SERVER_PORT.to_be_bytes());
    head.extend(length(UDP_HEAD).to_be_bytes());
    head.extend([0, 0]);
    let pseudo = pseudo_head(source, target, length(UDP_HEAD));
    // Zero would say that there is none.
    let sum = match checksum(&[&pseudo, &head, payload]) {
        0 => u16::MAX,
        sum => sum,
    };
    head[6..8].copy_from_slice(&sum.to_be_bytes());
    packet.extend(head);
    packet.extend(payload);
    packet
}

/// Takes the payload out of a packet from a DHCP server to a client; nothing if it is no such packet or damaged.
///
/// The UDP checksum is not checked: a packet from a machine to its own virtual one has none yet.
pub(super) fn unwrap(packet: &[u8]) -> Option<&[u8]> {
    let head_length = usize::from(packet.first()? & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
    let head = packet.get(..head_length).filter(|head| head.len() >= IP_HEAD)?;
    let is_ipv4 = head[0] >> 4 == 4 && head[9] == UDP && checksum(&[head]) == 0;
    let udp = packet.get(head_length..total).filter(|_| is_ipv4)?;
    let (udp_head, rest) = udp.split_first_chunk::<UDP_HEAD>()?;
    let field = |at: usize| u16::from_be_bytes([udp_head[at], udp_head[at + 1]]);
    let length = usize::from(field(4)).checked_sub(UDP_HEAD)?;
    let ports = (field(0), field(2)) == (SERVER_PORT, CLIENT_PORT);
    rest.get(..length).filter(|_| ports)
}

fn pseudo_head(source: Ipv4Addr, target: Ipv4Addr, length: u16) -> Vec<u8> {
    let mut bytes = source.octets().to_vec();
    bytes.extend(target.octets());
    bytes.extend([0, UDP]);
    bytes.extend(length.to_be_bytes());
    bytes
}

/// The Internet's sum, RFC 1071, over parts of which all but the last have an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let word = |pair: &[u8]| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    let mut sum: u32 = words.map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn from_server(payload: &[u8]) -> Vec<u8> {
        let mut packet = wrap(payload);
        packet[20..24].copy_from_slice(&[0, 67, 0, 68]);
        packet
    }

    #[test]
    fn what_is_wrapped_can_be_unwrapped_and_sums_up() {
        for payload in [&b""[..], b"odd", b"even"] {
            let packet = wrap(payload);
            assert_eq!(checksum(&[&packet[..20]]), 0);
            let length = u16::try_from(packet.len() - 20).unwrap();
            let pseudo = pseudo_head(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, length);
            assert_eq!(checksum(&[&pseudo, &packet[20..]]), 0);
            assert_eq!(unwrap(&packet), None, "it goes the other way");
            let mut padded = from_server(payload);
            padded.extend([0; 40]);
            assert_eq!(unwrap(&padded), Some(payload), "Ethernet pads short packets");
        }
    }

    #[test]
    fn damaged_packets_are_ignored() {
        let good = from_server(b"payload");
        assert!(unwrap(&good).is_some());
        for end in 0..good.len() {
            assert_eq!(unwrap(&good[..end]), None);
        }
        for at in [0, 2, 9, 10, 12, 20, 22, 24] {
            let mut bad = good.clone();
            bad[at] ^= 0x80;
            assert_eq!(unwrap(&bad), None, "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(packet in proptest::collection::vec(any::<u8>(), 0..200)) {
            unwrap(&packet);
        }
    }
}
