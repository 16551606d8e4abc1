//! Faults of a document as a whole: another kind, too large, too small.

use super::SMALLEST;
use super::faults::faults;
use crate::{LIMIT, parse};

#[test]
fn other_documents_are_refused_before_their_body_is_read() {
    let table = [
        ("", "the document is empty"),
        ("- a", "expected a map, found a list (line 1)"),
        (
            "machine: {}",
            "apiVersion: is missing; expected bedplate.dev/v1alpha1 (line 1)",
        ),
        (
            "apiVersion: bedplate.dev/v2\nkind: MachineConfig\nbody: 1",
            "apiVersion: \"bedplate.dev/v2\" is not known here; expected bedplate.dev/v1alpha1 (line 1)",
        ),
        ("a: [1", "not YAML: "),
        (
            "a: 1\na: 2",
            "key \"a\" is listed twice; first on line 1 (line 2)",
        ),
        (
            "a: &x 1\nb: *x",
            "anchors, aliases and tags are not allowed; write the value out (line 1)",
        ),
        (
            "a: !!str 1",
            "anchors, aliases and tags are not allowed; write the value out (line 1)",
        ),
        ("? [a]\n: b", "the key of a map must be a text (line 1)"),
    ];
    for (text, expected) in table {
        let found = faults(text);
        assert!(found[0].starts_with(expected), "{text}\n{found:?}");
    }
    assert_eq!(faults(&format!("{SMALLEST}---\na: 1\n")).len(), 1);
    assert!(faults(&format!("{SMALLEST}---\na: 1\n"))[0].starts_with("a second document starts here"));
}

#[test]
fn a_truncated_document_is_wrong_on_its_last_line() {
    for (text, line) in [
        ("kind: MachineConfig\nmachine:\n  role: x\nclus", 4),
        ("# nothing\n---\n ", 3),
    ] {
        assert_eq!(parse(text).unwrap_err().list()[0].line, line, "{text:?}");
    }
}

#[test]
fn size_depth_and_number_are_bounded() {
    let long = format!("# {}\n", "x".repeat(LIMIT));
    assert!(faults(&long)[0].contains("are allowed"), "{:?}", faults(&long));
    let deeper = "[".repeat(100_000);
    assert!(
        faults(&deeper)[0].contains("recursion limit"),
        "{:?}",
        faults(&deeper)
    );
    let deep = "[".repeat(100);
    assert!(
        faults(&deep)[0].contains("more than 32 deep"),
        "{:?}",
        faults(&deep)
    );
    let wide = format!("a: [{}]", "1,".repeat(100_000));
    assert!(
        faults(&wide)[0].contains("more than 10000 values"),
        "{:?}",
        faults(&wide)
    );
}
