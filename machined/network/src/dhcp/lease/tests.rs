use machine_config::value::MacAddress;
use proptest::prelude::*;

use super::super::message::Kind;
use super::*;

fn answer(options: &[(u8, &[u8])]) -> Answer {
    let ordinary: [(u8, &[u8]); 4] = [
        (option::MASK, &[255, 255, 255, 0]),
        (option::LEASE_TIME, &[0, 0, 0x03, 0xe8]),
        (option::SERVER, &[10, 0, 2, 2]),
        (option::ROUTERS, &[0, 0, 0, 0, 10, 0, 2, 2]),
    ];
    let all = ordinary.iter().chain(options);
    Answer {
        kind: Kind::Ack,
        xid: 1,
        mac: MacAddress([2, 0, 0, 0, 0, 9]),
        address: [10, 0, 2, 15].into(),
        options: all.map(|(code, value)| (*code, value.to_vec())).collect(),
    }
}

fn without(code: u8) -> Answer {
    let mut answer = answer(&[]);
    answer.options.remove(&code);
    answer
}

#[test]
fn an_ordinary_lease_is_accepted_completely() {
    let (lease, terms) = check(&answer(&[
        (option::NAME_SERVERS, &[10, 0, 2, 3]),
        (option::DOMAIN, b"example.org.\0"),
        (option::SEARCH, b"\x03lab\x07example\x00\x01a\xc0\x04"),
        (option::HOST_NAME, b"node7"),
        (option::MTU, &[5, 120]),
    ]))
    .unwrap();
    assert_eq!(lease.address.to_string(), "10.0.2.15/24");
    assert_eq!(lease.routes[0].via.unwrap().to_string(), "10.0.2.2");
    let search: Vec<_> = lease.search.iter().map(Host::as_str).collect();
    assert_eq!(search, ["lab.example", "a.example", "example.org"]);
    assert_eq!((lease.nameservers.len(), lease.mtu), (1, Some(1400)));
    assert_eq!(lease.hostname.unwrap().as_str(), "node7");
    let expected = Terms {
        renewal: 500,
        rebinding: 875,
        end: 1000,
    };
    assert_eq!(terms, expected, "half and seven eighths");
    assert_eq!(
        lease.remarks,
        ["routers that are no addresses of hosts are left out"]
    );
}

/// Options that a server sends.
type Sent<'a> = Vec<(u8, &'a [u8])>;
/// What is in the lease: prefix, T1, T2, MTU, host name.
type Taken = (u8, u32, u32, Option<u32>, Option<&'static str>);

/// A bad option is ignored with a remark, and never costs the lease.
#[test]
fn invalid_options_are_ignored_or_replaced_and_reported() {
    let second = |value: u32| value.to_be_bytes().to_vec();
    let (long, late, whole) = (second(900), second(990), second(1000));
    // And a part of what is told.
    let cases: Vec<(Sent<'_>, Taken, &str)> = vec![
        (
            vec![(option::RENEWAL, &long)],
            (24, 500, 875, None, None),
            "renewal after 900 s",
        ),
        (
            vec![(option::RENEWAL, &late), (option::REBINDING, &long)],
            (24, 500, 875, None, None),
            "rebinding after 900 s do not fit into 1000 s",
        ),
        (
            vec![(option::REBINDING, &whole)],
            (24, 500, 875, None, None),
            "rebinding after 1000 s",
        ),
        (vec![(option::REBINDING, &late)], (24, 500, 990, None, None), ""),
        (
            vec![(option::RENEWAL, &[0, 0, 0, 0])],
            (24, 500, 875, None, None),
            "",
        ),
        (
            vec![(option::RENEWAL, &[1])],
            (24, 500, 875, None, None),
            "a renewal time of 1 bytes",
        ),
        (
            vec![(option::MASK, &[255, 0, 255, 0])],
            (8, 500, 875, None, None),
            "255.0.255.0 is not a network mask",
        ),
        (
            vec![(option::MASK, &[0, 0, 0, 0])],
            (8, 500, 875, None, None),
            "by its class the address has /8",
        ),
        (
            vec![(option::MASK, &[255, 255, 255, 255])],
            (32, 500, 875, None, None),
            "",
        ),
        (
            vec![(option::MTU, &[2, 64])],
            (24, 500, 875, None, None),
            "a packet size of 576 bytes",
        ),
        (
            vec![(option::MTU, &[0x23, 0x28])],
            (24, 500, 875, Some(9000), None),
            "",
        ),
        (
            vec![(option::HOST_NAME, b"localhost")],
            (24, 500, 875, None, None),
            "every machine calls itself so",
        ),
        (
            vec![(option::HOST_NAME, b"LocalHost\0")],
            (24, 500, 875, None, None),
            "every machine",
        ),
        (
            vec![(option::HOST_NAME, b"my_node")],
            (24, 500, 875, None, None),
            "\"my_node\" is left out: an underscore",
        ),
        (
            vec![(option::HOST_NAME, b"a b\nnameserver 6.6.6.6")],
            (24, 500, 875, None, None),
            "it is not a host name",
        ),
        (
            vec![(option::DOMAIN, b"x\noptions y")],
            (24, 500, 875, None, None),
            "the domain \"x\\noptions y\"",
        ),
        (
            vec![(option::NAME_SERVERS, &[127, 0, 0, 1])],
            (24, 500, 875, None, None),
            "name servers that are no",
        ),
        (
            vec![(option::NAME_SERVERS, &[10, 0])],
            (24, 500, 875, None, None),
            "name servers that are no",
        ),
        (
            vec![(option::ROUTES, &[77, 1, 2, 3])],
            (24, 500, 875, None, None),
            "classless routes that cannot be read",
        ),
    ];
    for (options, (length, renewal, rebinding, mtu, hostname), told) in cases {
        let (lease, terms) = check(&answer(&options)).unwrap();
        let found = (lease.address.length, terms.renewal, terms.rebinding, lease.mtu);
        assert_eq!(found, (length, renewal, rebinding, mtu), "{options:?}");
        assert_eq!(
            lease.hostname.as_ref().map(HostName::as_str),
            hostname,
            "{options:?}"
        );
        // One remark is about the router of the ordinary answer.
        assert_eq!(
            lease.remarks.len(),
            1 + usize::from(!told.is_empty()),
            "{:?}",
            lease.remarks
        );
        assert!(
            lease.remarks.iter().any(|remark| remark.contains(told)),
            "{:?}",
            lease.remarks
        );
        assert!(lease.remarks.iter().all(|remark| !remark.contains('\n')));
    }
}

#[test]
fn without_a_mask_the_class_decides() {
    for (address, length) in [([10, 0, 2, 15], 8), ([172, 16, 0, 5], 16), ([192, 168, 1, 7], 24)] {
        let answer = Answer {
            address: address.into(),
            ..without(option::MASK)
        };
        assert_eq!(check(&answer).unwrap().0.address.length, length);
    }
}

#[test]
fn without_a_time_an_hour_is_assumed() {
    let (lease, terms) = check(&without(option::LEASE_TIME)).unwrap();
    assert_eq!(
        (lease.seconds, terms.renewal, terms.rebinding),
        (3600, 1800, 3150)
    );
    assert!(
        lease
            .remarks
            .contains(&"no lease time: an hour is assumed".to_owned())
    );
    let forever = check(&answer(&[(option::LEASE_TIME, &[255; 4])])).unwrap().1;
    assert!(forever.renewal < forever.rebinding && forever.rebinding < forever.end);
}

#[test]
fn classless_routes_replace_the_router() {
    let bytes = [16, 10, 9, 10, 0, 2, 9, 13, 10, 15, 0, 0, 0, 0];
    let (lease, _) = check(&answer(&[(option::ROUTES, &bytes)])).unwrap();
    let lines: Vec<_> = lease
        .routes
        .iter()
        .map(|r| format!("{} {:?}", r.to, r.via))
        .collect();
    assert_eq!(lines, ["10.9.0.0/16 Some(10.0.2.9)", "10.8.0.0/13 None"]);
}

#[test]
fn an_impossible_address_makes_the_lease_unusable() {
    for address in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255]] {
        let answer = Answer {
            address: address.into(),
            ..answer(&[])
        };
        assert_eq!(check(&answer), Err(LeaseError::Address(address.into())));
    }
}

proptest! {
    #[test]
    fn no_reply_panics(
        address in any::<u32>(),
        options in proptest::collection::btree_map(any::<u8>(), proptest::collection::vec(any::<u8>(), 0..80), 0..20),
        (name, routes) in (any::<String>(), proptest::collection::vec(any::<u8>(), 0..200)),
    ) {
        let mut answer = Answer { address: Ipv4Addr::from_bits(address), ..answer(&[]) };
        answer.options.extend(options);
        answer.options.insert(option::HOST_NAME, name.clone().into_bytes());
        answer.options.insert(option::DOMAIN, name.into_bytes());
        answer.options.insert(option::ROUTES, routes);
        if let Ok((lease, terms)) = check(&answer) {
            prop_assert!(terms.renewal <= terms.rebinding && terms.rebinding <= terms.end);
            prop_assert!(lease.routes.len() <= LIST && lease.nameservers.len() <= LIST && lease.search.len() <= LIST);
            prop_assert!(lease.routes.iter().all(|route| route.to.network() == route.to));
            prop_assert!(lease.remarks.iter().all(|remark| !remark.contains(char::is_control)));
            let back: DhcpLease = serde_json::from_value(serde_json::to_value(&lease).unwrap()).unwrap();
            prop_assert_eq!(back, lease);
        }
    }
}
