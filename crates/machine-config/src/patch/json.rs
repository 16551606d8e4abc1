//! JSON patches, by RFC 6902.

use std::str::FromStr as _;

use json_patch::{PatchErrorKind, PatchOperation, jsonptr::PointerBuf};
use serde::Deserialize;
use serde::de::IgnoredAny;
use yaml::{Fault, Node, join};

use super::tree::{self, Tree};

/// An operation, and where it is in the patch.
pub struct Operation {
    line: usize,
    operation: PatchOperation,
}

/// An operation as it is written. What its fields must be is checked in [`operations`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    op: Verb,
    path: String,
    from: Option<String>,
    value: Option<IgnoredAny>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Verb {
    Add,
    Remove,
    Replace,
    Move,
    Copy,
    Test,
}

/// Reads the operations of a patch.
///
/// # Errors
///
/// The first that is not an operation, with its line.
pub fn operations(root: &Node) -> Result<Vec<Operation>, Fault> {
    let items = root.items().map_err(|message| Fault::at(root.line, message))?;
    let numbered = items.iter().enumerate();
    numbered
        .map(|(index, node)| operation(node, &format!("[{index}]")))
        .collect()
}

fn operation(node: &Node, path: &str) -> Result<Operation, Fault> {
    let written: Written = yaml::from_node(node).map_err(|fault| Fault {
        path: match fault.path.as_str() {
            "" => path.to_owned(),
            inner => join(path, inner),
        },
        ..fault
    })?;
    let fault = |field: &str, message: String| Fault {
        line: node.entry(field).map_or(node.line, |(key, _)| key.line),
        path: join(path, field),
        message,
    };
    let pointer = |field: &str, text: &str| {
        PointerBuf::from_str(text).map_err(|_| {
            let message = format!("{text:?} is not a JSON pointer; expected a form like /machine/sysctls");
            fault(field, message)
        })
    };
    let needs = |field: &str| fault(field, "is missing; this operation needs it".to_owned());
    let value = || match (node.entry("value"), &written.value) {
        (Some((_, value)), Some(_)) => tree::at(value, &join(path, "value")),
        _ => Err(needs("value")),
    };
    let from = || match &written.from {
        Some(from) => pointer("from", from),
        None => Err(needs("from")),
    };
    let path = pointer("path", &written.path)?;
    let operation = match written.op {
        Verb::Add => PatchOperation::Add(json_patch::AddOperation {
            path,
            value: value()?,
        }),
        Verb::Remove => PatchOperation::Remove(json_patch::RemoveOperation { path }),
        Verb::Replace => PatchOperation::Replace(json_patch::ReplaceOperation {
            path,
            value: value()?,
        }),
        Verb::Move => PatchOperation::Move(json_patch::MoveOperation { from: from()?, path }),
        Verb::Copy => PatchOperation::Copy(json_patch::CopyOperation { from: from()?, path }),
        Verb::Test => PatchOperation::Test(json_patch::TestOperation {
            path,
            value: value()?,
        }),
    };
    Ok(Operation {
        line: node.line,
        operation,
    })
}

/// Applies operations in their order.
///
/// # Errors
///
/// The first that does not fit the config, and one that makes it too large: copies of copies grow fast.
pub fn apply(config: &mut Tree, operations: &[Operation]) -> Result<(), Fault> {
    for Operation { line, operation } in operations {
        let path = operation.path().to_string();
        let fault = |message: String| Fault {
            line: *line,
            path: path.clone(),
            message,
        };
        json_patch::patch(config, std::slice::from_ref(operation))
            .map_err(|error| fault(describe(&error.kind).to_owned()))?;
        if let Some(message) = tree::too_large(config) {
            return Err(fault(message));
        }
        if !config.is_object() {
            return Err(fault(
                "puts something that is not a map in the place of the config".to_owned(),
            ));
        }
    }
    Ok(())
}

fn describe(kind: &PatchErrorKind) -> &'static str {
    match kind {
        PatchErrorKind::TestFailed => "the config has another value here",
        PatchErrorKind::InvalidFromPointer => "nothing is at the place that \"from\" names",
        PatchErrorKind::CannotMoveInsideItself => "a value cannot be moved into itself",
        _ => "does not exist in the config; add the map that holds it first, or use a merge patch",
    }
}
