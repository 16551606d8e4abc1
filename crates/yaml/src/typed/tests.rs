use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Everything {
    name: String,
    #[serde(default)]
    small: i8,
    #[serde(default)]
    large: u64,
    #[serde(default)]
    flag: bool,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    list: Vec<String>,
    #[serde(default)]
    map: BTreeMap<String, u32>,
    #[serde(default)]
    choice: Choice,
    #[serde(default)]
    inner: Vec<Inner>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Choice {
    #[default]
    Always,
    OnFailure,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Inner {
    stop_seconds: u32,
    #[serde(default)]
    port: Option<u16>,
}

fn fault(text: &str) -> String {
    from_str::<Everything>(text).unwrap_err().to_string()
}

#[test]
fn a_fault_has_line_path_and_way_out() {
    for (text, said) in [
        ("small: 1", "name: is missing (line 1)"),
        (
            "nam: x",
            "nam: unknown field, did you mean \"name\"?; known here: name, small, large, flag, text, list, map, choice, inner (line 1)",
        ),
        (
            "name: 5",
            "name: expected a text, found a number; put it in quotes: \"5\" (line 1)",
        ),
        (
            "name: true",
            "name: expected a text, found true or false; put it in quotes: \"true\" (line 1)",
        ),
        ("name: [x]", "name: expected a text, found a list (line 1)"),
        (
            "name: x\nsmall: 128",
            "small: expected a whole number from -128 to 127, found \"128\" (line 2)",
        ),
        (
            "name: x\nsmall: \"1\"",
            "small: expected a whole number from -128 to 127, found \"1\" (line 2)",
        ),
        (
            "name: x\nlarge: -1",
            "large: expected a whole number from 0 to 18446744073709551615, found \"-1\" (line 2)",
        ),
        (
            "name: x\nflag: yes",
            "flag: expected true or false, found a text (line 2)",
        ),
        ("name: x\nlist: x", "list: expected a list, found a text (line 2)"),
        (
            "name: x\nlist:\n- a\n- {}",
            "list[1]: expected a text, found a map (line 4)",
        ),
        (
            "name: x\nmap: {a: 1, b.c: x}",
            "map[\"b.c\"]: expected a whole number from 0 to 4294967295, found \"x\" (line 2)",
        ),
        (
            "name: x\nchoice: onfailure",
            "choice: \"onfailure\" is not one of always, onFailure, did you mean \"onFailure\"? (line 2)",
        ),
        (
            "name: x\ninner:\n- stopSeconds: 1\n- port: 1",
            "inner[1].stopSeconds: is missing (line 4)",
        ),
        (
            "name: x\ninner:\n- stopSeconds: 1\n  port:\n  - 80",
            "inner[0].port: expected a whole number from 0 to 65535, found a list (line 4)",
        ),
        (
            "name: x\nname: y",
            "key \"name\" is listed twice; first on line 1 (line 2)",
        ),
        (
            "name: &a x",
            "anchors, aliases and tags are not allowed; write the value out (line 1)",
        ),
        (
            "name: x\n---\nname: x",
            "a second document starts here; one file is one document (line 2)",
        ),
        ("[]", "expected a map, found a list (line 1)"),
        ("", "the document is empty"),
    ] {
        assert_eq!(fault(text), said, "{text}");
    }
    assert!(fault("name: x\nsmall:\u{a0}1").contains("(U+00A0)"));
    assert!(fault("name: [").starts_with("not YAML: "));
}

#[test]
fn what_is_nothing_is_absent() {
    let read: Everything =
        from_str("name: x\nsmall:\nlist: ~\ntext: null\ninner: [{stopSeconds: 1, port: }]").unwrap();
    assert_eq!((read.small, read.text, read.inner[0].port), (0, None, None));
    assert_eq!(fault("name:"), "name: is missing (line 1)");
    assert!(fault("name: x\nlarg:").contains("unknown field, did you mean \"large\"?"));
    assert_eq!(
        from_str::<BTreeMap<String, Option<u8>>>("a:\nb: 1").unwrap(),
        BTreeMap::from([("a".to_owned(), None), ("b".to_owned(), Some(1))])
    );
}

#[test]
fn a_choice_may_hold_a_value() {
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase")]
    enum Held {
        Nothing,
        One(u8),
        Two(u8, u8),
        Named { port: u16 },
    }
    for (text, held) in [
        ("nothing", Held::Nothing),
        ("one: 5", Held::One(5)),
        ("two: [5, 6]", Held::Two(5, 6)),
        ("named: {port: 80}", Held::Named { port: 80 }),
    ] {
        assert_eq!(from_str::<Held>(text).unwrap(), held);
    }
    let fault = from_str::<Held>("named: {port: x}").unwrap_err();
    assert_eq!(fault.path, "named.port");
}

prop_compose! {
    fn everything()(
        name in "\\PC{0,60}",
        small: i8,
        large: u64,
        flag: bool,
        text in proptest::option::of("(\\PC|[\n\t\r]){0,20}"),
        list in proptest::collection::vec("([\u{85}\u{2028}\u{2029}\u{e000} a\n]{0,6}|[-+.0-9eExo_:]{0,6}|null|~|true|NO|\\PC{0,6})", 0..4),
        map in proptest::collection::btree_map("\\PC{0,8}", any::<u32>(), 0..4),
        choice in prop_oneof![Just(Choice::Always), Just(Choice::OnFailure)],
        inner in proptest::collection::vec((any::<u32>(), any::<Option<u16>>()), 0..3),
    ) -> Everything {
        let inner = inner.into_iter().map(|(stop_seconds, port)| Inner { stop_seconds, port }).collect();
        Everything { name, small, large, flag, text, list, map, choice, inner }
    }
}

proptest! {
    #[test]
    fn what_serde_writes_is_read(value in everything()) {
        let text = crate::to_string(&value).unwrap();
        match from_str::<Everything>(&text) {
            Ok(read) => prop_assert_eq!(read, value),
            Err(fault) => prop_assert!(false, "{}\n{}", fault, text),
        }
    }

    #[test]
    fn no_text_is_too_odd(text in "(name: x\n)?([a-z]{1,6}: |- |[{}\\[\\]\":&*!|>~\n\t ]|\\PC){0,30}") {
        let _ = from_str::<Everything>(&text);
    }
}
