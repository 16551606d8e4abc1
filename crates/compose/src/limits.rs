//! The log of a service, and its filter of system calls.

use machine_config::v1alpha1::{Seccomp, Workload};
use machine_config::value::ByteSize;
use yaml::{Node, join};

use super::{Notes, values};

/// Sizes of files that a log can have, and their most, as the machine config has them.
const SIZES: (ByteSize, ByteSize) = (ByteSize::of(256 << 10), ByteSize::of(1 << 30));
const MOST_FILES: u32 = 20;

pub(super) fn logging(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    let entries = node.entries();
    for (key, value) in notes.good(node, path, entries).unwrap_or_default() {
        let inner = join(path, &key.name);
        match key.name.as_str() {
            "driver" => match notes.text(value, &inner).as_deref() {
                Some("json-file" | "local") | None => (),
                Some(_) => notes.left(
                    key.line,
                    &inner,
                    "the node itself keeps the logs of workloads, in files on DATA; see `bedplate logs`",
                ),
            },
            "options" => options(workload, value, &inner, notes),
            _ => notes.left(key.line, &inner, "is not a key of logging"),
        }
    }
}

fn options(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    for (key, value) in node.entries().unwrap_or_default() {
        let inner = join(path, &key.name);
        match key.name.as_str() {
            "max-size" => {
                let text = notes.text(value, &inner).unwrap_or_default();
                let size = values::size(&text).map(|size| size.clamp(SIZES.0, SIZES.1));
                if let Some(size) = notes.good(value, &inner, size) {
                    workload.logs.max_size = size;
                }
            }
            "max-file" => {
                let text = notes.text(value, &inner).unwrap_or_default();
                let count = text
                    .parse::<u32>()
                    .map_err(|_| format!("{text:?} is not a number"));
                if let Some(count) = notes.good(value, &inner, count) {
                    workload.logs.max_files = count.clamp(1, MOST_FILES);
                }
            }
            _ => notes.left(key.line, &inner, "the logs of workloads have no such option"),
        }
    }
}

pub(super) fn security_opt(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    for text in notes.texts(node, path) {
        match text.as_str() {
            "seccomp:unconfined" | "seccomp=unconfined" => workload.seccomp = Seccomp::Unconfined,
            // So is every workload.
            "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true" => (),
            _ => notes.left(
                node.line,
                path,
                format!("{text:?} has no counterpart; only seccomp:unconfined and no-new-privileges:true do"),
            ),
        }
    }
}
