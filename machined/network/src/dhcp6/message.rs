//! Encodes and decodes DHCPv6 messages (RFC 8415, section 8), and checks replies.

use std::net::Ipv6Addr;

use machine_config::value::MacAddress;
use state::kinds::Dhcp6Lease;

use super::super::names::{self, LIST};

mod option {
    pub const CLIENT: u16 = 1;
    pub const SERVER: u16 = 2;
    pub const ADDRESSES: u16 = 3;
    pub const ADDRESS: u16 = 5;
    pub const REQUEST_LIST: u16 = 6;
    pub const ELAPSED: u16 = 8;
    pub const STATUS: u16 = 13;
    pub const NAME_SERVERS: u16 = 23;
    pub const DOMAINS: u16 = 24;
    pub const TIME_SERVERS: u16 = 31;
    pub const REFRESH: u16 = 32;
}

/// The default and the shortest lifetime of settings (RFC 8415, 7.6).
const REFRESH: u32 = 86_400;
const LEAST_REFRESH: u32 = 600;

/// The kinds of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// The node looks for servers.
    Solicit = 1,
    /// A server offers an address.
    Advertise = 2,
    /// The node asks for it.
    Request = 3,
    /// The node asks the server that gave it for more time.
    Renew = 5,
    /// The node asks any server for more time.
    Rebind = 6,
    /// A server answers.
    Reply = 7,
    /// The node asks for settings alone.
    Information = 11,
}

/// A message of the node.
pub(super) struct Question<'a> {
    /// What it wants.
    pub kind: Kind,
    /// The transaction ID: 24 bits.
    pub xid: u32,
    /// The node's hardware address, its identity to servers.
    pub mac: MacAddress,
    /// The addressed server; none means all.
    pub server: Option<&'a [u8]>,
    /// The address that it has or was offered.
    pub address: Option<Ipv6Addr>,
    /// The time since the first request, in hundredths of a second.
    pub elapsed: u16,
}

impl Question<'_> {
    /// Returns the message as bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.kind as u8];
        bytes.extend(&self.xid.to_be_bytes()[1..]);
        let mut put = |code: u16, value: &[u8]| {
            let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
            bytes.extend(code.to_be_bytes());
            bytes.extend(length.to_be_bytes());
            bytes.extend(&value[..usize::from(length)]);
        };
        put(option::CLIENT, &identity(self.mac));
        if let Some(server) = self.server {
            put(option::SERVER, server);
        }
        put(option::ELAPSED, &self.elapsed.to_be_bytes());
        let wanted = [
            option::NAME_SERVERS,
            option::DOMAINS,
            option::TIME_SERVERS,
            option::REFRESH,
        ];
        put(option::REQUEST_LIST, &wanted.map(u16::to_be_bytes).concat());
        if self.kind != Kind::Information {
            // One association, number 1; times are the server's choice.
            let mut association = vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
            if let Some(address) = self.address {
                association.extend(option::ADDRESS.to_be_bytes());
                association.extend(24_u16.to_be_bytes());
                association.extend(address.octets());
                association.extend([0; 8]);
            }
            put(option::ADDRESSES, &association);
        }
        bytes
    }
}

/// The identity made of a hardware address (DUID-LL, RFC 8415, 11.4): the same at each start, with nothing to keep.
fn identity(MacAddress(mac): MacAddress) -> Vec<u8> {
    [&[0, 3, 0, 1], &mac[..]].concat()
}

/// A checked message of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its kind.
    pub kind: Kind,
    /// The server's identity.
    pub server: Vec<u8>,
    /// The lease.
    pub lease: Dhcp6Lease,
    /// When to ask for more time: the same server, then any, in seconds from now.
    pub renewal: u32,
    /// See `renewal`.
    pub rebinding: u32,
}

/// Why a message is ignored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AnswerError {
    /// It is for another client, or another request.
    #[error("it is not for this node")]
    Foreign,
    /// It is cut short.
    #[error("it is cut short")]
    Cut,
    /// It has no server identity.
    #[error("it does not identify its server")]
    Server,
    /// The server refuses.
    #[error("the server refuses with status {0}")]
    Status(u16),
    /// There is no address in it that a node can have.
    #[error("it has no address that a node can have")]
    Address,
}

/// Reads the reply to a request. With `managed` it must have an address.
pub(super) fn read(bytes: &[u8], xid: u32, mac: MacAddress, managed: bool) -> Result<Answer, AnswerError> {
    let (head, rest) = bytes.split_first_chunk::<4>().ok_or(AnswerError::Cut)?;
    let kind = match head[0] {
        2 => Kind::Advertise,
        7 => Kind::Reply,
        _ => return Err(AnswerError::Foreign),
    };
    if u32::from_be_bytes([0, head[1], head[2], head[3]]) != xid & 0x00ff_ffff {
        return Err(AnswerError::Foreign);
    }
    let options = Options::read(rest)?;
    if options.first(option::CLIENT) != Some(&identity(mac)[..]) {
        return Err(AnswerError::Foreign);
    }
    let server = options.first(option::SERVER).filter(|server| !server.is_empty());
    let server = server.ok_or(AnswerError::Server)?.to_vec();
    options.good()?;
    let mut lease = Dhcp6Lease {
        address: None,
        nameservers: servers(options.first(option::NAME_SERVERS)),
        search: options
            .first(option::DOMAINS)
            .map(names::decode)
            .unwrap_or_default(),
        time_servers: servers(options.first(option::TIME_SERVERS)),
        // Settings are valid until others arrive: after the refresh time they are requested again.
        seconds: u32::MAX,
    };
    let refresh = options.first(option::REFRESH).and_then(word).unwrap_or(REFRESH);
    let (mut renewal, mut rebinding) = (refresh.max(LEAST_REFRESH), u32::MAX);
    if managed {
        let given = options.first(option::ADDRESSES).ok_or(AnswerError::Address)?;
        let (times, rest) = given.split_first_chunk::<12>().ok_or(AnswerError::Cut)?;
        let association = Options::read(rest)?;
        association.good()?;
        let (address, preferred, valid) = association.address()?;
        (lease.address, lease.seconds) = (Some(address), valid);
        let time = |at: usize| u32::from_be_bytes([times[at], times[at + 1], times[at + 2], times[at + 3]]);
        (renewal, rebinding) = terms(time(4), time(8), preferred, valid);
    }
    Ok(Answer {
        kind,
        server,
        lease,
        renewal,
        rebinding,
    })
}

/// RFC 8415, 21.4: zero leaves the times to the node, and inconsistent ones are ignored.
fn terms(t1: u32, t2: u32, preferred: u32, valid: u32) -> (u32, u32) {
    if 0 < t1 && t1 <= t2 && t2 < valid {
        return (t1, t2);
    }
    let base = u64::from(if preferred == 0 {
        valid
    } else {
        preferred.min(valid)
    });
    let part = |tenths: u64| u32::try_from(base * tenths / 10).unwrap_or(u32::MAX).max(1);
    (part(5), part(8))
}

struct Options<'a>(Vec<(u16, &'a [u8])>);

impl<'a> Options<'a> {
    fn read(mut bytes: &'a [u8]) -> Result<Self, AnswerError> {
        let mut all = Vec::new();
        while let Some((head, rest)) = bytes.split_first_chunk::<4>() {
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let (value, rest) = rest.split_at_checked(length).ok_or(AnswerError::Cut)?;
            all.push((u16::from_be_bytes([head[0], head[1]]), value));
            bytes = rest;
        }
        Ok(Options(all))
    }

    fn first(&self, code: u16) -> Option<&'a [u8]> {
        self.0
            .iter()
            .find(|(found, _)| *found == code)
            .map(|(_, value)| *value)
    }

    fn good(&self) -> Result<(), AnswerError> {
        match self
            .first(option::STATUS)
            .and_then(|value| value.first_chunk::<2>())
        {
            Some([0, 0]) | None => Ok(()),
            Some(code) => Err(AnswerError::Status(u16::from_be_bytes(*code))),
        }
    }

    /// Returns the first address that can be used, and for how many seconds it is preferred and valid.
    fn address(&self) -> Result<(Ipv6Addr, u32, u32), AnswerError> {
        let usable = |(code, value): &(u16, &'a [u8])| {
            let (head, rest) = value
                .split_first_chunk::<24>()
                .filter(|_| *code == option::ADDRESS)?;
            let address = Ipv6Addr::from(*head.first_chunk::<16>()?);
            let (preferred, valid) = (word(&head[16..20])?, word(&head[20..24])?);
            let good = Options::read(rest).and_then(|options| options.good()).is_ok();
            let host = names::is_server(&address) && !address.is_unicast_link_local();
            (good && host && valid > 0).then_some((address, preferred, valid))
        };
        self.0.iter().find_map(usable).ok_or(AnswerError::Address)
    }
}

fn word(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn servers(bytes: Option<&[u8]>) -> Vec<Ipv6Addr> {
    let (addresses, _) = bytes.unwrap_or_default().as_chunks::<16>();
    let all = addresses.iter().map(|bytes| Ipv6Addr::from(*bytes));
    all.filter(names::is_server).take(LIST).collect()
}

#[cfg(test)]
pub(in super::super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in super::super::super) const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 9]);

    fn put(bytes: &mut Vec<u8>, code: u16, value: &[u8]) {
        bytes.extend(code.to_be_bytes());
        bytes.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        bytes.extend(value);
    }

    /// Makes a server's message: settings, and an address for 1000 s where one is given.
    pub(in super::super::super) fn answer(
        kind: u8,
        xid: u32,
        mac: MacAddress,
        address: Option<Ipv6Addr>,
        (t1, t2): (u32, u32),
    ) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend(&xid.to_be_bytes()[1..]);
        put(&mut bytes, option::CLIENT, &identity(mac));
        put(&mut bytes, option::SERVER, b"server");
        put(
            &mut bytes,
            option::NAME_SERVERS,
            &"2001:db8::53".parse::<Ipv6Addr>().unwrap().octets(),
        );
        put(&mut bytes, option::DOMAINS, b"\x03six\x07example\x00");
        if let Some(address) = address {
            let mut association = vec![0, 0, 0, 1];
            association.extend(t1.to_be_bytes());
            association.extend(t2.to_be_bytes());
            let mut given = address.octets().to_vec();
            given.extend(800_u32.to_be_bytes());
            given.extend(1000_u32.to_be_bytes());
            put(&mut association, option::ADDRESS, &given);
            put(&mut bytes, option::ADDRESSES, &association);
        }
        bytes
    }

    fn ours() -> Option<Ipv6Addr> {
        "2001:db8::7".parse().ok()
    }

    #[test]
    fn an_answer_is_read_for_what_was_asked() {
        let read_ok = |bytes: &[u8], managed| read(bytes, 5, MAC, managed).unwrap();
        let settings = read_ok(&answer(7, 5, MAC, None, (0, 0)), false);
        assert_eq!(
            (settings.kind, settings.renewal, settings.lease.seconds),
            (Kind::Reply, 86_400, u32::MAX)
        );
        assert_eq!(
            settings.lease.nameservers,
            ["2001:db8::53".parse::<Ipv6Addr>().unwrap()]
        );
        assert_eq!(settings.lease.search[0].as_str(), "six.example");
        let cases = [
            ((100, 200), (100, 200)),
            ((0, 0), (400, 640)),
            ((300, 200), (400, 640)),
            ((1, 1000), (400, 640)),
        ];
        for (sent, taken) in cases {
            let given = read_ok(&answer(2, 5, MAC, ours(), sent), true);
            assert_eq!(
                (given.kind, given.lease.address, given.lease.seconds),
                (Kind::Advertise, ours(), 1000)
            );
            assert_eq!((given.renewal, given.rebinding), taken, "{sent:?}");
        }
    }

    #[test]
    fn invalid_replies_are_ignored_with_a_reason() {
        let good = answer(7, 5, MAC, ours(), (0, 0));
        let mut refused = good.clone();
        put(&mut refused, option::STATUS, &[0, 2]);
        let other = MacAddress([2, 0, 0, 0, 0, 8]);
        let local = answer(7, 5, MAC, "fe80::1".parse().ok(), (0, 0));
        let cases = [
            (answer(7, 6, MAC, ours(), (0, 0)), AnswerError::Foreign),
            (answer(7, 5, other, ours(), (0, 0)), AnswerError::Foreign),
            (answer(1, 5, MAC, ours(), (0, 0)), AnswerError::Foreign),
            (good[..good.len() - 1].to_vec(), AnswerError::Cut),
            (refused, AnswerError::Status(2)),
            (local, AnswerError::Address),
            (answer(7, 5, MAC, None, (0, 0)), AnswerError::Address),
        ];
        for (bytes, expected) in cases {
            assert_eq!(read(&bytes, 5, MAC, true), Err(expected));
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(tail in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..500_usize, managed in any::<bool>()) {
            let mut bytes = answer(7, 5, MAC, ours(), (0, 0));
            bytes.extend(tail);
            bytes.truncate(cut);
            if let Ok(answer) = read(&bytes, 5, MAC, managed) {
                prop_assert!(answer.renewal > 0 && answer.lease.nameservers.len() <= LIST);
            }
        }
    }
}
