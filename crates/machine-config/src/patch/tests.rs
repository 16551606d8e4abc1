//! What patches do to configs, by examples and by properties.

use proptest::prelude::*;
use serde_json::json;

use super::tree::Tree;
use super::*;
use crate::tests::GOLDEN;

fn patched(config: &str, patch: &str) -> Result<String, String> {
    let patch = Patch::parse(patch).map_err(|fault| format!("parse: {fault}"))?;
    apply(config, &[patch])
        .map(|text| text.to_string())
        .map_err(|error| error.to_string())
}

#[track_caller]
fn check(config: &str, patch: &str, expected: &str) {
    assert_eq!(patched(config, patch).as_deref(), Ok(expected));
}

#[track_caller]
fn refused(config: &str, patch: &str, expected: &str) {
    let error = patched(config, patch).unwrap_err();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn maps_are_merged_scalars_are_replaced_and_lists_grow() {
    check(
        "b: {x: 1, y: 2}\na: [one]\nc: old\n",
        "c: new\na: [one, two]\nb: {y: 3, z: true}\nd: \"7\"\n",
        "b:\n  x: 1\n  y: 3\n  z: true\na:\n- one\n- two\nc: new\nd: '7'\n",
    );
}

#[test]
fn items_with_a_name_are_merged_by_it() {
    let config = "i:\n  - name: eth0\n    mtu: 1500\n  - macAddress: 52:54:00:aa:00:01\n";
    check(
        config,
        "i:\n  - macAddress: 52:54:00:AA:00:01\n    dhcp: true\n  - name: eth0\n    mtu: 9000\n  - name: eth1\n",
        "i:\n- name: eth0\n  mtu: 9000\n- macAddress: 52:54:00:AA:00:01\n  dhcp: true\n- name: eth1\n",
    );
    check(
        config,
        "i:\n  - name: eth0\n    $patch: delete\n",
        "i:\n- macAddress: 52:54:00:aa:00:01\n",
    );
}

#[test]
fn directives_delete_and_replace() {
    check(
        "a: 1\nb: {c: 1, d: 2}\n",
        "a: {$patch: delete}\nx: {$patch: delete}\n",
        "b:\n  c: 1\n  d: 2\n",
    );
    check(
        "b: {c: 1, d: 2}\n",
        "b: {$patch: replace, e: 3}\n",
        "b:\n  e: 3\n",
    );
    check("l: [1, 2]\n", "l: [$patch: replace, 3]\n", "l:\n- 3\n");
    check(
        "r: [{to: a, via: b}, {to: c, via: b}]\n",
        "r: [{to: a, $patch: delete}]\n",
        "r:\n- to: c\n  via: b\n",
    );
    check(
        "cluster: {network: {pods: [10.1.0.0/16]}, apiServer: {auditPolicy: {rules: [1]}}}\n",
        "cluster: {network: {pods: [10.2.0.0/16]}, apiServer: {auditPolicy: {x: 1}}}\n",
        "cluster:\n  network:\n    pods:\n    - 10.2.0.0/16\n  apiServer:\n    auditPolicy:\n      x: 1\n",
    );
}

#[test]
fn json_patches_follow_the_rfc() {
    let patch = r#"[
        {"op": "test", "path": "/a", "value": 1},
        {"op": "add", "path": "/l/0", "value": "zero"},
        {"op": "add", "path": "/l/-", "value": "last"},
        {"op": "replace", "path": "/a", "value": {"x~y/z": true}},
        {"op": "copy", "from": "/a", "path": "/c"},
        {"op": "move", "from": "/a/x~0y~1z", "path": "/d"},
        {"op": "remove", "path": "/b"}
    ]"#;
    check(
        "l: [one]\na: 1\nb: 2\n",
        patch,
        "l:\n- zero\n- one\n- last\na: {}\nc:\n  x~y/z: true\nd: true\n",
    );
}

#[test]
fn faults_name_line_and_path_of_the_patch() {
    refused(
        "a: {b: 1}",
        "x: 1\na:\n  - b\n",
        "a: is a list here, and a map in the config",
    );
    refused("a: {b: 1}", "x: 1\na:\n  - b\n", "(line 2)");
    refused("a: 1", "\na:\n", "a: is empty; write `$patch: delete`");
    refused(
        "a: 1",
        "a: {$patch: drop}",
        "parse: a.$patch: is not one of delete, replace, merge (line 1)",
    );
    refused("a: 1", "$patch: delete", "would delete the whole config");
    refused(
        "a: [{b: 1}]",
        "a: [$patch: delete]",
        "does not say which item to delete",
    );
    refused("a: 1", "text", "parse: expected a map");
    refused(
        "a: 1",
        "- op: ad\n  path: /a\n",
        "parse: [0].op: \"ad\" is not one of add, remove",
    );
    refused(
        "a: 1",
        "- op: add\n  path: a\n",
        "[0].path: \"a\" is not a JSON pointer",
    );
    refused("a: 1", "- op: add\n  path: /a\n", "[0].value: is missing");
    refused("a: 1", "- {op: move, path: /a}", "[0].from: is missing");
    refused(
        "a: 1",
        "- {op: test, path: /a, value: 1}\n- {op: remove, path: /b/c}\n",
        "/b/c: does not exist",
    );
    refused(
        "a: 1",
        "- {op: test, path: /a, value: 1}\n- {op: remove, path: /b/c}\n",
        "(line 2)",
    );
    refused(
        "a: 1",
        "- {op: test, path: /a, value: 2}",
        "the config has another value here",
    );
    refused(
        "a: 1",
        "- {op: replace, path: '', value: 2}",
        "not a map in the place of the config",
    );
    refused(
        "a: 1.10",
        "b: 1",
        "cannot be patched: a: 1.10 would be written back as 1.1",
    );
    refused("a: 1", "b: 007", "b: 007 would be written back as 7");
    refused("[1]", "b: 1", "cannot be patched: expected a map");
}

#[test]
fn copies_of_copies_end_at_the_limit() {
    let text = format!("l: [\"{}\"]\n", "x".repeat(1000));
    let bomb = "- {op: copy, from: /l, path: /l/-}\n".repeat(25);
    refused(&text, &bomb, "larger than a config may be");
    let deep = format!("{}x{}", "{a: ".repeat(20), "}".repeat(20));
    let patch = format!("- {{op: add, path: {}, value: {deep}}}", "/a".repeat(20));
    refused(&deep, &patch, "larger than a config may be");
    let long = format!("a: \"{}\"", "x".repeat(crate::LIMIT));
    refused("a: 1", &long, "bytes; at most 524288 are allowed");
}

#[test]
fn comments_stay_with_what_they_are_about() {
    let config = "\
# The head.
a: 1 # one
# About b.
b:
  # About c.
  c: \"#1\"
  text: |
    # not a comment
    x
  gone: 1 # with it
# About the list.
l:
  - name: eth0 # first
  # About the second.
  - name: eth1
# The end.
";
    let expected = "\
# The head.
a: 2  # one
# About b.
b:
  # About c.
  c: '#1'
  text: |
    # not a comment
    x
# About the list.
l:
- name: eth0  # first
  mtu: 9000
# About the second.
- name: eth1
# The end.
";
    check(
        config,
        "a: 2\nb: {gone: {$patch: delete}}\nl: [{name: eth0, mtu: 9000}]\n",
        expected,
    );
}

#[test]
fn a_real_config_is_patched_and_valid() {
    let patch = "\
machine:
  hostname: other
  network:
    interfaces:
      - macAddress: 52:54:00:12:34:56
        mtu: 1500
    nameservers: [10.0.0.1, 10.0.0.2]
  sysctls:
    kernel.panic: {$patch: delete}
";
    let text = patched(GOLDEN, patch).unwrap();
    let (old, new) = (crate::parse(GOLDEN).unwrap(), crate::parse(&text).unwrap());
    let expected = [
        "machine.hostname",
        "machine.network.interfaces[0].mtu",
        "machine.network.nameservers",
        "machine.sysctls[\"kernel.panic\"]",
    ];
    assert_eq!(crate::changes(Some(&old), &new), expected);
    assert!(text.starts_with("# Every field of the version."), "{text}");
}

/// Trees as they are in configs: without null, which a config has in no place where it means something.
fn tree() -> impl Strategy<Value = Tree> {
    let key = "[a-z$#.]{1,3}|name|null|[0-9]";
    let leaf = prop_oneof![
        any::<bool>().prop_map(Tree::from),
        any::<i32>().prop_map(Tree::from),
        "[ -~\n]{0,8}".prop_map(Tree::from),
        Just(json!("# no comment")),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Tree::from),
            prop::collection::btree_map(key, inner, 0..4)
                .prop_map(|map| Tree::Object(map.into_iter().collect())),
        ]
    })
}

fn map() -> impl Strategy<Value = Tree> {
    prop::collection::btree_map("[a-d]", tree(), 0..4).prop_map(|map| Tree::Object(map.into_iter().collect()))
}

fn text(tree: &Tree) -> String {
    yaml::to_string(tree).unwrap()
}

fn read(text: &str) -> Tree {
    tree::of(&yaml::read(text).unwrap()).unwrap()
}

/// Returns true if a list has two items of one name: both would be merged with the first.
fn has_twins(tree: &Tree) -> bool {
    match tree {
        Tree::Object(map) => map.values().any(has_twins),
        Tree::Array(items) => {
            let mut names: Vec<_> = items.iter().filter_map(|item| item.get("name")).collect();
            let all = names.len();
            names.sort_by_key(|name| name.to_string());
            names.dedup();
            names.len() < all || items.iter().any(has_twins)
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn an_empty_patch_changes_no_letter(config in map()) {
        let config = format!("# head\n{}", text(&config));
        for empty in ["{}", "[]"] {
            prop_assert_eq!(patched(&config, empty), Ok(config.clone()));
        }
    }

    #[test]
    fn the_difference_of_two_configs_makes_the_second_of_the_first(old in map(), new in map()) {
        let difference = serde_json::to_value(json_patch::diff(&old, &new)).unwrap();
        let made = patched(&text(&old), &text(&difference)).unwrap();
        prop_assert_eq!(read(&made), new);
    }

    #[test]
    fn replacing_everything_gives_the_patch(old in map(), new in map()) {
        let mut patch = new.clone();
        patch["$patch"] = json!("replace");
        let made = patched(&text(&old), &text(&patch)).unwrap();
        prop_assert_eq!(read(&made), new);
    }

    #[test]
    fn a_merge_that_was_made_changes_nothing_more(old in map(), patch in map()) {
        prop_assume!(!has_twins(&patch));
        if let Ok(once) = patched(&text(&old), &text(&patch)) {
            prop_assert_eq!(patched(&once, &text(&patch)), Ok(once));
        }
    }

    #[test]
    fn comments_change_nothing_but_comments(config in map(), comment in "[ -~]{0,12}", every in 1usize..4) {
        let plain = text(&config);
        let mut commented = String::new();
        for (index, line) in plain.lines().enumerate() {
            if index % every == 0 {
                commented.push_str(&format!("# {comment}\n"));
            }
            commented.push_str(line);
            commented.push('\n');
        }
        // Inside of a text in block style it is no comment: then there is another config.
        if yaml::read(&commented).is_ok_and(|root| tree::of(&root).ok() == Some(config.clone())) {
            let made = patched(&commented, "zz: 1").unwrap();
            let mut expected = config;
            expected["zz"] = json!(1);
            prop_assert_eq!(read(&made), expected);
        }
    }

    #[test]
    fn no_input_panics(config in ".{0,64}", patch in "[-\\[\\]{}:, a-z$/\n\"]{0,64}") {
        let _ = patched(&config, &patch);
    }
}
