use proptest::prelude::*;

use super::*;

const HEAD: &str = "apiVersion: bedplate.dev/v1alpha1\nkind: Fleet\n";

fn fleet(rest: &str) -> Result<Fleet, String> {
    parse(&format!("{HEAD}{rest}")).map_err(|fault| fault.to_string())
}

#[test]
fn rows_have_all_that_a_card_gets() {
    let fleet = fleet(
        "config: worker.yaml
gateway: 10.0.0.1
interface: eth0
cards:
- hostname: node1
  address: 10.0.0.11/24
  serial: 0x4711
  labels: {rack: a}
- hostname: node2
  address: 10.1.0.12/24
  gateway: 10.1.0.1
  interface: eth1
  port: 1-1.2
  config: other.yaml
  configPatch:
    machine:
      sysctls: {}
- hostname: node3
",
    )
    .unwrap();
    assert_eq!(fleet.config, Some("worker.yaml".into()));
    let [first, second, third] = fleet.rows.as_slice() else {
        panic!("three rows");
    };
    assert_eq!((first.line, second.line, third.line), (7, 11, 20));
    assert_eq!(first.gateway.unwrap().to_string(), "10.0.0.1");
    assert_eq!(first.interface.as_ref().unwrap().as_str(), "eth0");
    assert_eq!(first.wants.serial.as_deref(), Some("0x4711"));
    assert_eq!(first.labels["rack"], "a");
    assert_eq!(second.gateway.unwrap().to_string(), "10.1.0.1");
    assert_eq!(second.interface.as_ref().unwrap().as_str(), "eth1");
    assert_eq!(second.wants.port.as_deref(), Some("1-1.2"));
    let (place, patch) = second.patch.as_ref().unwrap();
    assert_eq!((place.as_str(), patch.line), ("cards[1].configPatch", 18));
    // A gateway without an address of one's own would end DHCP's.
    assert_eq!((third.gateway, &third.interface), (None, &None));
    assert!(third.wants.is_open() && third.patch.is_none());
}

#[test]
fn a_fault_names_line_and_path() {
    let many = format!("cards:\n{}", "- hostname: x\n".repeat(ROWS + 1));
    let long = format!("cards:\n- hostname: a\n  serial: {}\n", "x".repeat(TEXT + 1));
    for (rest, said) in [
        (
            "cards: []\n",
            "cards: lists no card; each row begins with `- hostname: NAME` (line 3)",
        ),
        ("", "cards: is missing (line 1)"),
        (
            "cards:\n- hostname: a\n- hostname: b\n- hostname: A\n",
            "cards[2].hostname: a is listed twice; first on line 4 (line 6)",
        ),
        (
            "cards:\n- hostname: a\n  address: 10.0.0.1/24\n- hostname: b\n  address: 10.0.0.1/16\n",
            "cards[1].address: 10.0.0.1 is listed twice; first on line 5 (line 7)",
        ),
        (
            "cards:\n- {hostname: a, serial: \"0xAB\"}\n- {hostname: b, serial: \"0xab\"}\n",
            "cards[1].serial: 0xab is listed twice; first on line 4 (line 5)",
        ),
        (
            "cards:\n- hostname: a\n  adress: 10.0.0.1/24\n",
            "cards[0].adress: unknown field, did you mean \"address\"?; known here: hostname, address, gateway, interface, \
config, configPatch, serial, port, labels (line 5)",
        ),
        (
            "cards:\n- address: 10.0.0.1/24\n",
            "cards[0].hostname: is missing (line 4)",
        ),
        (
            "cards:\n- hostname: a\n  port: \"\"\n",
            "cards[0].port: expected 1 to 128 bytes of text without control characters (line 5)",
        ),
        (
            "cards:\n- hostname: a\n  labels: {x: \"a\\tb\"}\n",
            "cards[0].labels: expected 1 to 128 bytes of text without control characters (line 5)",
        ),
        (long.as_str(), "cards[0].serial: expected 1 to 128 bytes"),
        (many.as_str(), "cards: has 1001 rows; at most 1000 are allowed"),
        (
            "cards:\n- hostname: -a-\n",
            "cards[0].hostname: \"-a-\" is not a host name",
        ),
        (
            "cards:\n- hostname: a\n  address: 10.0.0.1\n",
            "is not an address; expected IP/prefix",
        ),
        ("cards:\n- hostname: a\n  serial: 4711\n", "put it in quotes"),
        (
            "cards:\n- hostname: a\n  configPatch: {a: &x b}\n",
            "anchors, aliases and tags are not allowed",
        ),
    ] {
        let found = fleet(rest).unwrap_err();
        assert!(found.starts_with(said) || found.contains(said), "{rest}\n{found}");
    }
    let other = parse("apiVersion: bedplate.dev/v1alpha1\nkind: Rollout\n").unwrap_err();
    assert_eq!((other.line, other.path.as_str()), (2, "kind"));
    assert!(
        parse(&" ".repeat(LIMIT + 1))
            .unwrap_err()
            .message
            .contains("at most")
    );
}

fn address() -> impl Strategy<Value = Option<[u8; 4]>> {
    proptest::option::of(any::<[u8; 4]>())
}

proptest! {
    #[test]
    fn rows_that_are_accepted_are_distinct(rows in proptest::collection::vec(("[abAB]{1,2}", address()), 1..6)) {
        let mut text = format!("{HEAD}cards:\n");
        for (hostname, address) in &rows {
            text.push_str(&format!("- hostname: {hostname}\n"));
            if let Some([a, b, c, d]) = address {
                text.push_str(&format!("  address: {a}.{b}.{c}.{d}/8\n"));
            }
        }
        let mut names: Vec<String> = rows.iter().map(|(name, _)| name.to_lowercase()).collect();
        let mut addresses: Vec<[u8; 4]> = rows.iter().filter_map(|(_, address)| *address).collect();
        names.sort();
        names.dedup();
        addresses.sort_unstable();
        addresses.dedup();
        let given = rows.iter().filter(|(_, address)| address.is_some()).count();
        let distinct = names.len() == rows.len() && addresses.len() == given;
        prop_assert_eq!(parse(&text).is_ok(), distinct, "{}", text);
    }

    #[test]
    fn no_text_is_too_odd(text in "(cards:\n- )?((hostname|address|configPatch|serial|labels|cards): |- |[a-z0-9./]{1,5}|[{}\\[\\]\":&*!|>~\n\t ]|\\PC){0,40}") {
        let _ = parse(&text);
        let _ = parse(&format!("{HEAD}{text}"));
    }
}
