//! Encodes and decodes DHCP messages (RFC 2131, section 2). What is parsed here is untrusted.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use machine_config::value::MacAddress;

/// The length of the header before the options, and the offsets of its parts.
const HEAD: usize = 240;
const SNAME: usize = 44;
const FILE: usize = 108;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const BROADCAST: u16 = 1 << 15;
/// Old relays drop messages that are shorter.
const LEAST: usize = 300;

/// Options by their numbers, RFC 2132 and its successors.
pub(super) mod option {
    pub const PAD: u8 = 0;
    pub const MASK: u8 = 1;
    pub const ROUTERS: u8 = 3;
    pub const NAME_SERVERS: u8 = 6;
    pub const HOST_NAME: u8 = 12;
    pub const DOMAIN: u8 = 15;
    pub const MTU: u8 = 26;
    pub const TIME_SERVERS: u8 = 42;
    pub const REQUESTED_ADDRESS: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const OVERLOAD: u8 = 52;
    pub const KIND: u8 = 53;
    pub const SERVER: u8 = 54;
    pub const REQUEST_LIST: u8 = 55;
    pub const MESSAGE: u8 = 56;
    pub const MOST_BYTES: u8 = 57;
    pub const RENEWAL: u8 = 58;
    pub const REBINDING: u8 = 59;
    pub const CLIENT: u8 = 61;
    pub const SEARCH: u8 = 119;
    pub const ROUTES: u8 = 121;
    /// Microsoft's number for the same, which some servers send alone.
    pub const MICROSOFT_ROUTES: u8 = 249;
    pub const END: u8 = 255;
}

/// The requested options, in the order of RFC 3442: classless routes before routers.
const WANTED: &[u8] = &[
    option::MASK,
    option::ROUTES,
    option::ROUTERS,
    option::NAME_SERVERS,
    option::HOST_NAME,
    option::DOMAIN,
    option::SEARCH,
    option::MTU,
    option::TIME_SERVERS,
    option::MICROSOFT_ROUTES,
];

/// The kinds of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// The node looks for servers.
    Discover = 1,
    /// A server offers an address.
    Offer = 2,
    /// The node asks for one.
    Request = 3,
    /// The server gives it.
    Ack = 5,
    /// The server refuses it, or takes it back.
    Nak = 6,
}

/// Why bytes are not a reply to the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ParseError {
    /// Cut short.
    #[error("it is too short")]
    Short,
    /// It is not DHCP.
    #[error("it is not a DHCP message")]
    Foreign,
    /// An option is longer than the message.
    #[error("its option {0} is cut short")]
    Cut(u8),
    /// Not a kind that servers send.
    #[error("it does not say what kind of message it is")]
    Kind,
}

/// A message of the node to servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question<'a> {
    /// What it wants.
    pub kind: Kind,
    /// The transaction ID.
    pub xid: u32,
    /// The node's hardware address, which is also its identity to the server.
    pub mac: MacAddress,
    /// The node's address while it has one that it may use.
    pub own: Option<Ipv4Addr>,
    /// The address that it asks for.
    pub asked: Option<Ipv4Addr>,
    /// The server whose offer it accepts.
    pub server: Option<Ipv4Addr>,
    /// The name of the node.
    pub hostname: Option<&'a str>,
}

impl Question<'_> {
    /// Returns the message as bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let MacAddress(mac) = self.mac;
        let mut bytes = vec![1, 1, 6, 0];
        bytes.extend(self.xid.to_be_bytes());
        bytes.extend([0, 0]);
        // Without an address, an answer to it alone would be lost on some hardware.
        let flags = if self.own.is_none() { BROADCAST } else { 0 };
        bytes.extend(flags.to_be_bytes());
        bytes.extend(self.own.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
        bytes.resize(28, 0);
        bytes.extend(mac);
        bytes.resize(HEAD - COOKIE.len(), 0);
        bytes.extend(COOKIE);
        let mut put = |code: u8, value: &[u8]| {
            // What is put is short: names have 63 characters at most.
            let length = u8::try_from(value.len()).unwrap_or(u8::MAX);
            bytes.extend([code, length]);
            bytes.extend(&value[..usize::from(length)]);
        };
        put(option::KIND, &[self.kind as u8]);
        let identity: Vec<u8> = [&[1], &mac[..]].concat();
        put(option::CLIENT, &identity);
        if let Some(address) = self.asked {
            put(option::REQUESTED_ADDRESS, &address.octets());
        }
        if let Some(server) = self.server {
            put(option::SERVER, &server.octets());
        }
        put(option::MOST_BYTES, &1472_u16.to_be_bytes());
        put(option::REQUEST_LIST, WANTED);
        if let Some(name) = self.hostname {
            put(option::HOST_NAME, name.as_bytes());
        }
        bytes.push(option::END);
        bytes.resize(bytes.len().max(LEAST), option::PAD);
        bytes
    }
}

/// A message of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// What it is.
    pub kind: Kind,
    /// The number of the question.
    pub xid: u32,
    /// The hardware address that it is for.
    pub mac: MacAddress,
    /// The address that is offered or given.
    pub address: Ipv4Addr,
    /// The values of all options; parts of one are joined (RFC 3396).
    pub options: BTreeMap<u8, Vec<u8>>,
}

impl Answer {
    /// Reads a message.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let head = bytes.first_chunk::<HEAD>().ok_or(ParseError::Short)?;
        if head[..3] != [2, 1, 6] || head[HEAD - COOKIE.len()..] != COOKIE {
            return Err(ParseError::Foreign);
        }
        let mut options = BTreeMap::new();
        read(&bytes[HEAD..], &mut options)?;
        // Fields for the names of a server and a file may hold more options, RFC 2132, 9.3.
        let overload = match options.get(&option::OVERLOAD).map(Vec::as_slice) {
            Some([bits]) => *bits,
            _ => 0,
        };
        if overload & 1 != 0 {
            read(&head[FILE..HEAD - COOKIE.len()], &mut options)?;
        }
        if overload & 2 != 0 {
            read(&head[SNAME..FILE], &mut options)?;
        }
        let kind = match options.get(&option::KIND).map(Vec::as_slice) {
            Some([2]) => Kind::Offer,
            Some([5]) => Kind::Ack,
            Some([6]) => Kind::Nak,
            _ => return Err(ParseError::Kind),
        };
        let word = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
        Ok(Answer {
            kind,
            xid: u32::from_be_bytes(word(4)),
            mac: MacAddress([head[28], head[29], head[30], head[31], head[32], head[33]]),
            address: word(16).into(),
            options,
        })
    }

    /// Returns the server's address, by which it knows itself.
    pub(super) fn server(&self) -> Option<Ipv4Addr> {
        let value = self.options.get(&option::SERVER)?;
        Some(<[u8; 4]>::try_from(value.as_slice()).ok()?.into())
    }

    /// Returns the server's message text, sanitized.
    pub(super) fn words(&self) -> Option<String> {
        let value = self.options.get(&option::MESSAGE)?;
        let text = String::from_utf8_lossy(value);
        Some(text.chars().filter(|c| !c.is_control()).take(100).collect())
    }
}

fn read(mut bytes: &[u8], options: &mut BTreeMap<u8, Vec<u8>>) -> Result<(), ParseError> {
    while let Some((code, rest)) = bytes.split_first() {
        match *code {
            option::PAD => bytes = rest,
            option::END => return Ok(()),
            code => {
                let (length, rest) = rest.split_first().ok_or(ParseError::Cut(code))?;
                let (value, rest) = rest
                    .split_at_checked(usize::from(*length))
                    .ok_or(ParseError::Cut(code))?;
                options.entry(code).or_default().extend(value);
                bytes = rest;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in super::super) const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 9]);

    /// Makes a server's message with these options.
    pub(in super::super) fn answer(
        kind: Kind,
        xid: u32,
        address: [u8; 4],
        options: &[(u8, &[u8])],
    ) -> Vec<u8> {
        let mut bytes = vec![2, 1, 6, 0];
        bytes.extend(xid.to_be_bytes());
        bytes.resize(16, 0);
        bytes.extend(address);
        bytes.resize(28, 0);
        bytes.extend(MAC.0);
        bytes.resize(HEAD - COOKIE.len(), 0);
        bytes.extend(COOKIE);
        for (code, value) in [(option::KIND, &[kind as u8][..])].iter().chain(options) {
            bytes.extend([*code, u8::try_from(value.len()).unwrap()]);
            bytes.extend(*value);
        }
        bytes.push(option::END);
        bytes
    }

    fn question() -> Question<'static> {
        Question {
            kind: Kind::Request,
            xid: 7,
            mac: MAC,
            own: None,
            asked: Some([10, 0, 0, 5].into()),
            server: Some([10, 0, 0, 1].into()),
            hostname: Some("node1"),
        }
    }

    #[test]
    fn a_question_says_what_it_wants() {
        let bytes = question().bytes();
        assert_eq!(bytes.len(), 300);
        assert_eq!((bytes[0], bytes[10], &bytes[28..34]), (1, 0x80, &MAC.0[..]));
        let mut options = BTreeMap::new();
        read(&bytes[HEAD..], &mut options).unwrap();
        assert_eq!(options[&option::KIND], [3]);
        assert_eq!(options[&option::REQUESTED_ADDRESS], [10, 0, 0, 5]);
        assert_eq!(options[&option::SERVER], [10, 0, 0, 1]);
        assert_eq!(options[&option::CLIENT], [1, 2, 0, 0, 0, 0, 9]);
        assert_eq!(options[&option::HOST_NAME], b"node1");
        let own = Question {
            own: Some([10, 0, 0, 5].into()),
            ..question()
        };
        assert_eq!((own.bytes()[10], &own.bytes()[12..16]), (0, &[10, 0, 0, 5][..]));
    }

    #[test]
    fn an_answer_is_read_with_its_split_and_hidden_options() {
        let whole = answer(
            Kind::Offer,
            7,
            [10, 0, 0, 5],
            &[
                (option::SERVER, &[10, 0, 0, 1]),
                (option::DOMAIN, b"lab."),
                (option::DOMAIN, b"example"),
                (option::OVERLOAD, &[3]),
            ],
        );
        let mut hidden = whole.clone();
        hidden[FILE..FILE + 4].copy_from_slice(&[option::MTU, 2, 5, 220]);
        hidden[SNAME..SNAME + 7].copy_from_slice(&[option::MASK, 4, 255, 255, 255, 0, option::END]);
        let read = Answer::parse(&hidden).unwrap();
        assert_eq!((read.kind, read.xid, read.mac), (Kind::Offer, 7, MAC));
        assert_eq!(read.server(), Some([10, 0, 0, 1].into()));
        assert_eq!(read.options[&option::DOMAIN], b"lab.example");
        assert_eq!(read.options[&option::MTU], [5, 220]);
        assert_eq!(read.options[&option::MASK], [255, 255, 255, 0]);
    }

    #[test]
    fn invalid_replies_are_refused_with_a_reason() {
        let good = answer(Kind::Ack, 7, [10, 0, 0, 5], &[]);
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        let cases = [
            (good[..HEAD - 1].to_vec(), ParseError::Short),
            (with(0, 1), ParseError::Foreign),
            (with(HEAD - 1, 0), ParseError::Foreign),
            (with(HEAD + 2, 3), ParseError::Kind),
            (with(HEAD + 1, 200), ParseError::Cut(option::KIND)),
            (good[..HEAD + 1].to_vec(), ParseError::Cut(option::KIND)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Answer::parse(&bytes), Err(expected));
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(tail in proptest::collection::vec(any::<u8>(), 0..400), cut in 0..600_usize) {
            let mut bytes = answer(Kind::Ack, 7, [10, 0, 0, 5], &[(option::OVERLOAD, &[3])]);
            bytes.pop();
            bytes.extend(tail);
            bytes.truncate(cut);
            if let Ok(answer) = Answer::parse(&bytes) {
                prop_assert!(answer.words().is_none_or(|words| !words.contains('\n')));
            }
        }
    }
}
