//! Strategic merge patches, by the rules that Talos has.
//!
//! - Maps are merged, key by key.
//! - Scalars replace scalars.
//! - Items are added to a list, unless it has them already; those with a `name` (or `macAddress`) are merged with the item
//!   of that name. The networks of a cluster (`cluster.network.pods` and `.services`) are replaced, and so is
//!   `cluster.apiServer.auditPolicy`.
//! - `$patch: delete` in a map removes it, as a value of a key or as an item of a list; `$patch: replace` puts the rest of the
//!   map, or the other items of the list, in the place of what was there.

use yaml::{Fault, Node, Value, join};

use super::tree::{self, Tree};

/// The key of a directive.
const DIRECTIVE: &str = "$patch";
/// What a patch replaces as a whole: half of each would be wrong.
const REPLACED: [&str; 3] = [
    "cluster.network.pods",
    "cluster.network.services",
    "cluster.apiServer.auditPolicy",
];

/// What a map of a patch does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

/// Checks the directives of a patch, before it meets a config.
///
/// # Errors
///
/// An unknown directive, and one that would delete the whole config.
pub fn check(root: &Node) -> Result<(), Fault> {
    if directive(root, "")? == Directive::Delete {
        return Err(fault(root.line, "", "would delete the whole config"));
    }
    check_at(root, "")
}

fn check_at(node: &Node, path: &str) -> Result<(), Fault> {
    directive(node, path)?;
    match &node.value {
        Value::Map(entries) => entries
            .iter()
            .try_for_each(|(key, node)| check_at(node, &join(path, &key.name))),
        Value::List(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, node)| check_at(node, &format!("{path}[{index}]"))),
        Value::Scalar(_) => Ok(()),
    }
}

/// Merges a patch into a config.
///
/// # Errors
///
/// What is of another kind in the config, empty values, and a result that is too large.
pub fn merge(config: &mut Tree, patch: &Node) -> Result<(), Fault> {
    merge_at(config, patch, "", patch.line)?;
    match tree::too_large(config) {
        Some(message) => Err(fault(patch.line, "", message)),
        None => Ok(()),
    }
}

fn merge_at(old: &mut Tree, patch: &Node, path: &str, line: usize) -> Result<(), Fault> {
    if patch.is_null() {
        let message = "is empty; write `$patch: delete` below it to remove it, or leave it out";
        return Err(fault(line, path, message));
    }
    let whole = directive(patch, path)? == Directive::Replace || REPLACED.contains(&path);
    if whole {
        *old = Tree::Null;
    }
    match &patch.value {
        Value::Map(entries) => {
            if old.is_null() {
                *old = Tree::Object(serde_json::Map::new());
            }
            let kind = kind(old);
            let Tree::Object(map) = old else {
                return Err(mismatch(patch, kind, path, line));
            };
            for (key, node) in entries.iter().filter(|(key, _)| key.name != DIRECTIVE) {
                let path = join(path, &key.name);
                if directive(node, &path)? == Directive::Delete {
                    map.remove(&key.name);
                } else {
                    let value = map.entry(key.name.clone()).or_insert(Tree::Null);
                    merge_at(value, node, &path, key.line)?;
                }
            }
        }
        Value::List(patches) => {
            if old.is_null() {
                *old = Tree::Array(Vec::new());
            }
            let kind = kind(old);
            let Tree::Array(items) = old else {
                return Err(mismatch(patch, kind, path, line));
            };
            if patches.iter().any(replaces_list) {
                items.clear();
            }
            merge_items(items, patches, path)?;
        }
        Value::Scalar(_) => {
            if old.is_object() || old.is_array() {
                return Err(mismatch(patch, kind(old), path, line));
            }
            *old = tree::at(patch, path)?;
        }
    }
    Ok(())
}

/// Merges the items of a patch into a list: removes first, then merges what has the name of an item that was there, and adds
/// what is new. Items of the patch never meet each other.
fn merge_items(items: &mut Vec<Tree>, patches: &[Node], path: &str) -> Result<(), Fault> {
    let mut others = Vec::new();
    for (index, patch) in patches.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if directive(patch, &path)? == Directive::Delete {
            delete_items(items, patch, &path)?;
        } else if !replaces_list(patch) {
            others.push((path, patch));
        }
    }
    let there = items.len();
    for (path, patch) in others {
        let found = tree::name_of(patch).and_then(|(field, name)| {
            items[..there]
                .iter_mut()
                .find(|item| tree::has_name(item, field, name))
        });
        if let Some(item) = found {
            merge_at(item, patch, &path, patch.line)?;
            continue;
        }
        let mut new = Tree::Null;
        merge_at(&mut new, patch, &path, patch.line)?;
        if !items[..there].contains(&new) {
            items.push(new);
        }
    }
    Ok(())
}

/// Removes the item of this name or, without one, those that have all these fields.
fn delete_items(items: &mut Vec<Tree>, patch: &Node, path: &str) -> Result<(), Fault> {
    if let Some((field, name)) = tree::name_of(patch) {
        items.retain(|item| !tree::has_name(item, field, name));
        return Ok(());
    }
    let mut fields = tree::at(patch, path)?;
    let wanted = fields.as_object_mut().map(|fields| {
        fields.remove(DIRECTIVE);
        &*fields
    });
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else {
        let message = "does not say which item to delete; give its name, or its other fields";
        return Err(fault(patch.line, path, message));
    };
    let matches = |item: &Tree| wanted.iter().all(|(key, value)| item.get(key) == Some(value));
    items.retain(|item| !matches(item));
    Ok(())
}

/// Returns true for the item that replaces its list: `- $patch: replace`, and nothing else.
fn replaces_list(node: &Node) -> bool {
    let alone = matches!(&node.value, Value::Map(entries) if entries.len() == 1);
    alone && matches!(directive(node, ""), Ok(Directive::Replace))
}

fn directive(node: &Node, path: &str) -> Result<Directive, Fault> {
    let Some((key, value)) = node.entry(DIRECTIVE) else {
        return Ok(Directive::Merge);
    };
    match value.text() {
        Ok("merge") => Ok(Directive::Merge),
        Ok("replace") => Ok(Directive::Replace),
        Ok("delete") => Ok(Directive::Delete),
        _ => Err(fault(
            key.line,
            &join(path, DIRECTIVE),
            "is not one of delete, replace, merge",
        )),
    }
}

fn mismatch(patch: &Node, old: &str, path: &str, line: usize) -> Fault {
    let message = format!(
        "is {} here, and {old} in the config; check the indentation, or delete it first",
        patch.kind()
    );
    fault(line, path, message)
}

fn kind(tree: &Tree) -> &'static str {
    match tree {
        Tree::Object(_) => "a map",
        Tree::Array(_) => "a list",
        Tree::Null => "nothing",
        Tree::Bool(_) => "true or false",
        Tree::Number(_) => "a number",
        Tree::String(_) => "a text",
    }
}

fn fault(line: usize, path: &str, message: impl Into<String>) -> Fault {
    Fault {
        line,
        path: path.to_owned(),
        message: message.into(),
    }
}
