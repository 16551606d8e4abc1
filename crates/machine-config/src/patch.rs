//! Patches of a machine config: strategic merge patches and JSON patches.
//!
//! A patch whose document is a map is merged into the config (`merge`), one whose document is a list is a JSON patch by RFC
//! 6902 (`json`). Both change the tree of the text (`tree`), not the checked config: what was left out stays left out, and a
//! config that is not valid before all patches are applied can be valid afterwards. `comments` carries the comments over.
//! Never validates the result: that is what [`crate::parse`] does.

mod comments;
mod json;
mod merge;
mod tree;

#[cfg(test)]
mod tests;

use yaml::{Fault, Node, Value};
use zeroize::Zeroizing;

use tree::Tree;

/// A patch that was read.
pub struct Patch(Kind);

enum Kind {
    Merge(Node),
    Json(Vec<json::Operation>),
}

/// The reason why patches were not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The config is not a document that can be patched.
    #[error("the machine config cannot be patched: {0}")]
    Config(Fault),
    /// A patch does not fit the config.
    #[error("{fault}")]
    Patch {
        /// The position of the patch, from 0.
        index: usize,
        /// What does not fit, with the line of the patch.
        fault: Fault,
    },
}

impl Patch {
    /// Reads a patch in YAML or JSON.
    ///
    /// # Errors
    ///
    /// What is not a patch: too long, not YAML, neither a map nor a list, an unknown operation.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.len() > crate::LIMIT {
            let message = format!(
                "the patch has {} bytes; at most {} are allowed",
                text.len(),
                crate::LIMIT
            );
            return Err(Fault::at(0, message));
        }
        Self::from_node(yaml::read(text.trim_start_matches('\u{feff}'))?)
    }

    /// Reads a patch that is a part of another document. Lines of faults are those of that document.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn from_node(root: Node) -> Result<Self, Fault> {
        let kind = match &root.value {
            Value::Map(_) => {
                merge::check(&root)?;
                Kind::Merge(root)
            }
            Value::List(_) => Kind::Json(json::operations(&root)?),
            Value::Scalar(_) => {
                let message = root.expected(
                    "a map, which is merged into the config, or a list of JSON patch operations (RFC 6902)",
                );
                return Err(Fault::at(root.line, message));
            }
        };
        Ok(Self(kind))
    }
}

/// Applies patches in their order. Returns the text as it is if they change nothing, or else the whole document, written again
/// with the comments of what is still there.
///
/// # Errors
///
/// The first thing that does not fit. Nothing is changed then.
pub fn apply(config: &str, patches: &[Patch]) -> Result<Zeroizing<String>, PatchError> {
    if config.len() > crate::LIMIT {
        let message = format!("the document has more than {} bytes", crate::LIMIT);
        return Err(PatchError::Config(Fault::at(0, message)));
    }
    let config = config.trim_start_matches('\u{feff}');
    let root = yaml::read(config).map_err(PatchError::Config)?;
    if !matches!(root.value, Value::Map(_)) {
        let fault = Fault::at(root.line, root.expected("a map"));
        return Err(PatchError::Config(fault));
    }
    let before = tree::of(&root).map_err(PatchError::Config)?;
    let mut after = before.clone();
    for (index, Patch(kind)) in patches.iter().enumerate() {
        let changed = match kind {
            Kind::Merge(patch) => merge::merge(&mut after, patch),
            Kind::Json(operations) => json::apply(&mut after, operations),
        };
        changed.map_err(|fault| PatchError::Patch { index, fault })?;
    }
    if after == before {
        return Ok(Zeroizing::new(config.to_owned()));
    }
    Ok(write(config, &root, patches, &after))
}

/// Writes the tree in the order of the config, with what is new in the order of the patches.
fn write(config: &str, root: &Node, patches: &[Patch], after: &Tree) -> Zeroizing<String> {
    let merged = patches.iter().filter_map(|Patch(kind)| match kind {
        Kind::Merge(patch) => Some(patch),
        Kind::Json(_) => None,
    });
    let order: Vec<&Node> = std::iter::once(root).chain(merged).collect();
    let text = yaml::to_string(&tree::in_order(after, &order))
        .expect("maps, lists and texts can always be written as YAML");
    comments::carry_over(config, root, Zeroizing::new(text))
}
