//! Which packets are captured, as a classic BPF program that the kernel runs on each.
//!
//! Offsets count from the header of the network, and protocols are the kernel's own finding, so that a program fits every kind
//! of interface.

use std::net::{IpAddr, SocketAddr};

use nix::libc;

use crate::bpf::{
    HAS_BITS, HEADER_LENGTH, IS, LOAD_BYTE, LOAD_HALF, LOAD_HALF_BEHIND, LOAD_WORD, RETURN, step,
};

/// Which packets are captured: those that all of these accept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only packets from or to this address.
    pub host: Option<IpAddr>,
    /// Only packets of TCP and UDP from or to this port; of several fragments only the first.
    pub port: Option<u16>,
    /// No packets of TCP from or to this address and port.
    pub without: Option<SocketAddr>,
    /// No packets that leave: on the link of a node to itself each would be there twice.
    pub incoming_only: bool,
}

/// A condition of a packet.
enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    Is(Load, u32),
    HasBits(Load, u32),
}

/// Something of a packet that is looked at.
#[derive(Clone, Copy)]
enum Load {
    /// The protocol of the network, as in Ethernet.
    Protocol,
    /// Where it goes: to this node, from it …
    Direction,
    Byte(u32),
    Half(u32),
    Word(u32),
    /// Two bytes behind the header of IPv4, whose length varies.
    Behind(u32),
}

const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;
const TCP: u32 = 6;
const UDP: u32 = 17;
/// `PACKET_OUTGOING` in `include/uapi/linux/if_packet.h`.
const OUTGOING: u32 = 4;
/// Negative offsets of `include/uapi/linux/filter.h`: what the kernel knows of a packet, and where the network begins.
const KNOWN: u32 = (-0x1000_i32) as u32;
const NETWORK: u32 = (-0x10_0000_i32) as u32;

impl Filter {
    /// Makes the program; none if it is too long, which no filter is.
    pub(super) fn program(&self) -> Option<Vec<libc::sock_filter>> {
        // From the end, because all jumps lead forward: index 0 accepts the whole packet, and 1 refuses it.
        let mut reversed = vec![step(RETURN, 0, 0, u32::MAX), step(RETURN, 0, 0, 0)];
        let entry = generate(&self.test(), 0, 1, &mut reversed)?;
        // With nothing to test, the program is the acceptance alone.
        reversed.truncate(entry + 1);
        reversed.reverse();
        Some(reversed)
    }

    fn test(&self) -> Test {
        let mut all = Vec::new();
        if self.incoming_only {
            all.push(not(Test::Is(Load::Direction, OUTGOING)));
        }
        if let Some(host) = self.host {
            all.push(of_host(host));
        }
        if let Some(port) = self.port {
            all.push(of_port(&[TCP, UDP], port));
        }
        if let Some(without) = self.without {
            let port = of_port(&[TCP], without.port());
            all.push(not(Test::All(vec![of_host(without.ip()), port])));
        }
        Test::All(all)
    }
}

fn not(test: Test) -> Test {
    Test::Not(Box::new(test))
}

fn of_host(host: IpAddr) -> Test {
    let (protocol, words, places) = match host.to_canonical() {
        IpAddr::V4(host) => (IPV4, vec![u32::from(host)], [12, 16]),
        IpAddr::V6(host) => {
            let words = host.octets();
            let words = words
                .chunks_exact(4)
                .map(|word| word.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)));
            (IPV6, words.collect(), [8, 24])
        }
    };
    let at = |place: u32| {
        let words = words.iter().zip((place..).step_by(4));
        Test::All(
            words
                .map(|(word, place)| Test::Is(Load::Word(place), *word))
                .collect(),
        )
    };
    Test::All(vec![
        Test::Is(Load::Protocol, protocol),
        Test::Any(places.map(at).into()),
    ])
}

fn of_port(protocols: &[u32], port: u16) -> Test {
    let port = u32::from(port);
    let any_of = |place: u32| {
        let protocols = protocols
            .iter()
            .map(|protocol| Test::Is(Load::Byte(place), *protocol));
        Test::Any(protocols.collect())
    };
    let v4 = [
        Test::Is(Load::Protocol, IPV4),
        any_of(9),
        // A later fragment has no ports.
        not(Test::HasBits(Load::Half(6), 0x1fff)),
        Test::Any(vec![
            Test::Is(Load::Behind(0), port),
            Test::Is(Load::Behind(2), port),
        ]),
    ];
    let v6 = [
        Test::Is(Load::Protocol, IPV6),
        any_of(6),
        Test::Any(vec![
            Test::Is(Load::Half(40), port),
            Test::Is(Load::Half(42), port),
        ]),
    ];
    Test::Any(vec![Test::All(v4.into()), Test::All(v6.into())])
}

/// Puts a test before what is there, which goes on at one index if it is true and at another if it is false. Returns the index
/// at which it begins; none if a jump is too far.
fn generate(test: &Test, yes: usize, no: usize, reversed: &mut Vec<libc::sock_filter>) -> Option<usize> {
    match test {
        Test::All(tests) => {
            let mut tests = tests.iter().rev();
            tests.try_fold(yes, |next, test| generate(test, next, no, reversed))
        }
        Test::Any(tests) => {
            let mut tests = tests.iter().rev();
            tests.try_fold(no, |next, test| generate(test, yes, next, reversed))
        }
        Test::Not(test) => generate(test, no, yes, reversed),
        Test::Is(load, value) => Some(compare(IS, *load, *value, yes, no, reversed)?),
        Test::HasBits(load, value) => Some(compare(HAS_BITS, *load, *value, yes, no, reversed)?),
    }
}

fn compare(
    code: u16,
    load: Load,
    value: u32,
    yes: usize,
    no: usize,
    reversed: &mut Vec<libc::sock_filter>,
) -> Option<usize> {
    let here = reversed.len();
    let skip = |target: usize| u8::try_from(here.checked_sub(target + 1)?).ok();
    reversed.push(step(code, skip(yes)?, skip(no)?, value));
    let (code, place) = match load {
        Load::Protocol => (LOAD_HALF, KNOWN),
        Load::Direction => (LOAD_BYTE, KNOWN.wrapping_add(4)),
        Load::Byte(place) => (LOAD_BYTE, NETWORK.wrapping_add(place)),
        Load::Half(place) => (LOAD_HALF, NETWORK.wrapping_add(place)),
        Load::Word(place) => (LOAD_WORD, NETWORK.wrapping_add(place)),
        Load::Behind(place) => (LOAD_HALF_BEHIND, NETWORK.wrapping_add(place)),
    };
    reversed.push(step(code, 0, 0, place));
    if let Load::Behind(_) = load {
        reversed.push(step(HEADER_LENGTH, 0, 0, NETWORK));
    }
    Some(reversed.len() - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A packet as the kernel gives it to a program.
    struct Packet {
        protocol: u32,
        direction: u32,
        bytes: Vec<u8>,
    }

    /// Runs a program as the kernel does. What reads beyond the packet refuses it.
    fn accepts(filter: &Filter, packet: &Packet) -> bool {
        let program = filter.program().expect("it is short");
        let (mut a, mut x, mut at) = (0_u32, 0_u32, 0);
        loop {
            let libc::sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            let read = |place: u32, size: usize| {
                if place == KNOWN {
                    return Some(packet.protocol);
                }
                if place == KNOWN.wrapping_add(4) {
                    return Some(packet.direction);
                }
                let place = place.wrapping_sub(NETWORK) as usize;
                let bytes = packet.bytes.get(place..place + size)?;
                Some(bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
            };
            let jump = |yes: bool| usize::from(if yes { jt } else { jf });
            let loaded = match code {
                LOAD_WORD => read(k, 4),
                LOAD_HALF => read(k, 2),
                LOAD_BYTE => read(k, 1),
                LOAD_HALF_BEHIND => read(k.wrapping_add(x), 2),
                HEADER_LENGTH => {
                    let Some(byte) = read(k, 1) else { return false };
                    x = (byte & 0xf) * 4;
                    continue;
                }
                IS => {
                    at += jump(a == k);
                    continue;
                }
                HAS_BITS => {
                    at += jump(a & k != 0);
                    continue;
                }
                RETURN => return k > 0,
                other => panic!("no instruction {other:#x}"),
            };
            match loaded {
                Some(loaded) => a = loaded,
                None => return false,
            }
        }
    }

    fn v4(kind: u8, from: (&str, u16), to: (&str, u16), fragment: u8) -> Packet {
        let mut bytes = vec![0; 28];
        // A header of 24 bytes: with an option.
        bytes[0] = 0x46;
        (bytes[7], bytes[9]) = (fragment, kind);
        for ((address, port), place, behind) in [(from, 12, 24), (to, 16, 26)] {
            let address: std::net::Ipv4Addr = address.parse().unwrap();
            bytes[place..place + 4].copy_from_slice(&address.octets());
            bytes[behind..behind + 2].copy_from_slice(&port.to_be_bytes());
        }
        Packet {
            protocol: IPV4,
            direction: 0,
            bytes,
        }
    }

    fn v6(kind: u8, from: (&str, u16), to: (&str, u16)) -> Packet {
        let mut bytes = vec![0; 44];
        bytes[6] = kind;
        for ((address, port), place, behind) in [(from, 8, 40), (to, 24, 42)] {
            let address: std::net::Ipv6Addr = address.parse().unwrap();
            bytes[place..place + 16].copy_from_slice(&address.octets());
            bytes[behind..behind + 2].copy_from_slice(&port.to_be_bytes());
        }
        Packet {
            protocol: IPV6,
            direction: 0,
            bytes,
        }
    }

    #[test]
    fn packets_are_chosen_by_host_and_port() {
        let host = |host: &str| Filter {
            host: Some(host.parse().unwrap()),
            ..Filter::default()
        };
        let port = |port| Filter {
            port: Some(port),
            ..Filter::default()
        };
        let (a, b) = (("10.0.0.1", 1000), ("10.0.0.2", 53));
        let (c, d) = (("fd00::1", 1000), ("fd00::2", 53));
        let arp = || Packet {
            protocol: 0x0806,
            direction: 0,
            bytes: vec![0; 28],
        };
        let both = Filter {
            host: Some("10.0.0.1".parse().unwrap()),
            port: Some(53),
            ..Filter::default()
        };
        let cases = [
            (Filter::default(), arp(), true),
            (host("10.0.0.1"), v4(1, a, b, 0), true),
            (host("10.0.0.2"), v4(1, a, b, 0), true),
            (host("10.0.0.3"), v4(1, a, b, 0), false),
            (host("::ffff:10.0.0.1"), v4(1, a, b, 0), true),
            (host("fd00::2"), v6(6, c, d), true),
            (host("fd00::3"), v6(6, c, d), false),
            (host("10.0.0.1"), v6(6, c, d), false),
            (host("10.0.0.1"), arp(), false),
            (port(53), v4(17, a, b, 0), true),
            (port(1000), v4(6, a, b, 0), true),
            (port(54), v4(17, a, b, 0), false),
            (port(53), v4(1, a, b, 0), false),
            (port(53), v4(17, a, b, 9), false),
            (port(53), v6(17, c, d), true),
            (port(54), v6(17, c, d), false),
            (port(53), arp(), false),
            (both.clone(), v4(17, a, b, 0), true),
            (both.clone(), v4(17, ("10.0.0.9", 1000), b, 0), false),
            (both, v4(17, a, ("10.0.0.2", 80), 0), false),
        ];
        for (index, (filter, packet, expected)) in cases.iter().enumerate() {
            assert_eq!(accepts(filter, packet), *expected, "case {index}: {filter:?}");
        }
    }

    #[test]
    fn one_connection_and_one_direction_can_be_left_out() {
        let filter = Filter {
            without: Some("10.0.0.9:4000".parse().unwrap()),
            ..Filter::default()
        };
        let (node, own) = (("10.0.0.1", 50000), ("10.0.0.9", 4000));
        assert!(!accepts(&filter, &v4(6, node, own, 0)));
        assert!(!accepts(&filter, &v4(6, own, node, 0)));
        assert!(accepts(&filter, &v4(6, ("10.0.0.9", 4001), node, 0)));
        assert!(accepts(&filter, &v4(17, own, node, 0)), "it is of UDP");
        let filter = Filter {
            incoming_only: true,
            ..Filter::default()
        };
        let mut packet = v4(6, node, own, 0);
        assert!(accepts(&filter, &packet));
        packet.direction = OUTGOING;
        assert!(!accepts(&filter, &packet));
    }

    proptest! {
        /// Every filter has a program, and whatever a packet is, it ends.
        #[test]
        fn every_program_ends(
            hosts in (any::<Option<[u8; 4]>>(), any::<Option<[u8; 16]>>()),
            port: Option<u16>,
            without: Option<([u8; 16], u16)>,
            incoming_only: bool,
            protocol in prop::sample::select(vec![IPV4, IPV6, 0x0806]),
            bytes in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let filter = Filter {
                host: hosts.0.map(IpAddr::from).or(hosts.1.map(IpAddr::from)),
                port,
                without: without.map(|(host, port)| SocketAddr::new(host.into(), port)),
                incoming_only,
            };
            let _ = accepts(&filter, &Packet { protocol, direction: 0, bytes });
        }
    }
}
