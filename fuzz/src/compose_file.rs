//! Compose files: people copy them from anywhere.

use std::collections::BTreeSet;

use compose::{Options, translate as translated};

/// Whatever is left out is named with a line of the file and a reason, no workload twice, and the result can be written and read.
pub(super) fn translate(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let Ok(translation) = translated(text, &Options::default()) else {
        return;
    };
    // A line may end without a line feed, and nothing may come after the last one.
    let lines = text.bytes().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
    for left in &translation.left {
        assert!(
            (1..=lines).contains(&left.line),
            "line {} of {lines}: {left:?}",
            left.line
        );
        // A key may be empty, and so is its path.
        assert!(!left.reason.is_empty(), "{left:?}");
    }
    let names: BTreeSet<_> = translation.workloads.iter().map(|one| &one.name).collect();
    assert_eq!(names.len(), translation.workloads.len(), "a workload twice");
    for workload in &translation.workloads {
        for other in &workload.depends_on {
            assert!(names.contains(other), "{} waits for {other}", workload.name);
        }
        let ports = &workload.network.ports;
        for (at, port) in ports.iter().enumerate() {
            assert!(
                !ports[..at].iter().any(|other| other.collides(port)),
                "{port:?} twice"
            );
        }
    }
    let written = yaml::to_string(&translation).expect("a translation can be written");
    let read: Result<yaml::Node, _> = yaml::read(&written);
    assert!(read.is_ok(), "{written}");
}
