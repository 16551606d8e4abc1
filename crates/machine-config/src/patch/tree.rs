//! The tree that patches change, and the order in which it is written.

use yaml::{Fault, Node, Value, join};

/// A document without lines. The keys of its maps are in no order of their own.
pub type Tree = serde_json::Value;

/// How large a patched document may be: as large as one that can be read.
const DEPTH: usize = 32;
const VALUES: usize = 10_000;

/// The fields that name an entry of a list, in the order in which they count.
const NAMES: [&str; 2] = ["name", "macAddress"];

/// Returns the tree of a node.
///
/// # Errors
///
/// A number that would be written in another way than it was read.
pub fn of(node: &Node) -> Result<Tree, Fault> {
    at(node, "")
}

/// Returns the tree of a node with this path.
pub fn at(node: &Node, path: &str) -> Result<Tree, Fault> {
    Ok(match &node.value {
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, node)| {
                let value = at(node, &join(path, &key.name))?;
                Ok((key.name.clone(), value))
            });
            Tree::Object(entries.collect::<Result<_, Fault>>()?)
        }
        Value::List(items) => {
            let items = items
                .iter()
                .enumerate()
                .map(|(index, node)| at(node, &format!("{path}[{index}]")));
            Tree::Array(items.collect::<Result<_, Fault>>()?)
        }
        Value::Scalar(_) => scalar(node, path)?,
    })
}

fn scalar(node: &Node, path: &str) -> Result<Tree, Fault> {
    let Value::Scalar(scalar) = &node.value else {
        return Ok(Tree::Null);
    };
    let text = scalar.text.as_str();
    Ok(match node.kind() {
        "nothing" => Tree::Null,
        "true or false" => Tree::Bool(text == "true"),
        "a number" => {
            let number: Tree = match (text.parse::<u64>(), text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(number), _, _) => number.into(),
                (_, Ok(number), _) => number.into(),
                (_, _, Ok(number)) => number.into(),
                _ => Tree::Null,
            };
            let written = yaml::to_string(&number).unwrap_or_default();
            if written.trim_end() != text {
                return Err(Fault {
                    line: node.line,
                    path: path.to_owned(),
                    message: format!(
                        "{text} would be written back as {}; write it so, or put it in quotes if it is a text",
                        written.trim_end()
                    ),
                });
            }
            number
        }
        _ => Tree::String(text.to_owned()),
    })
}

/// Returns what is wrong with a tree that is too large.
pub fn too_large(tree: &Tree) -> Option<String> {
    let mut left = (VALUES, crate::LIMIT);
    if !fits(tree, 0, &mut left) {
        return Some(format!(
            "makes the config larger than a config may be: {VALUES} values, {DEPTH} levels and {} bytes",
            crate::LIMIT
        ));
    }
    None
}

fn fits(tree: &Tree, depth: usize, left: &mut (usize, usize)) -> bool {
    let text = |text: &str, left: &mut (usize, usize)| match left.1.checked_sub(text.len()) {
        Some(rest) => {
            left.1 = rest;
            true
        }
        None => false,
    };
    if depth > DEPTH || left.0 == 0 {
        return false;
    }
    left.0 -= 1;
    match tree {
        Tree::Object(map) => map
            .iter()
            .all(|(key, value)| text(key, left) && fits(value, depth + 1, left)),
        Tree::Array(items) => items.iter().all(|item| fits(item, depth + 1, left)),
        Tree::String(value) => text(value, left),
        _ => true,
    }
}

/// Returns the name of an entry of a list, and the field that has it; `None` for entries without a name.
pub fn name_of(node: &Node) -> Option<(&'static str, &str)> {
    NAMES.iter().find_map(|&field| match &node.entry(field)?.1.value {
        Value::Scalar(scalar) => Some((field, scalar.text.as_str())),
        _ => None,
    })
}

/// Returns true if a tree has this name. Hardware addresses are the same in either case.
pub fn has_name(tree: &Tree, field: &str, name: &str) -> bool {
    tree.get(field)
        .and_then(Tree::as_str)
        .is_some_and(|own| own == name || (field == "macAddress" && own.eq_ignore_ascii_case(name)))
}

/// Returns the tree with the keys of each map in the order in which the nodes have them; others follow by the alphabet.
pub fn in_order(tree: &Tree, nodes: &[&Node]) -> serde_yaml::Value {
    match tree {
        Tree::Object(map) => {
            let mut keys: Vec<&str> = Vec::new();
            let named = nodes.iter().filter_map(|node| node.entries().ok()).flatten();
            for name in named
                .map(|(key, _)| key.name.as_str())
                .chain(map.keys().map(String::as_str))
            {
                if map.contains_key(name) && !keys.contains(&name) {
                    keys.push(name);
                }
            }
            let entry = |name: &str| {
                let inner: Vec<&Node> = nodes
                    .iter()
                    .filter_map(|node| node.entry(name).map(|(_, node)| node))
                    .collect();
                (serde_yaml::Value::from(name), in_order(&map[name], &inner))
            };
            serde_yaml::Value::Mapping(keys.into_iter().map(entry).collect())
        }
        Tree::Array(items) => {
            let item = |(index, item): (usize, &Tree)| {
                let inner: Vec<&Node> = nodes
                    .iter()
                    .filter_map(|node| same_item(node.items().ok()?, index, item))
                    .collect();
                in_order(item, &inner)
            };
            serde_yaml::Value::Sequence(items.iter().enumerate().map(item).collect())
        }
        Tree::Null => serde_yaml::Value::Null,
        Tree::Bool(value) => (*value).into(),
        Tree::String(text) => text.as_str().into(),
        Tree::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(number), _, _) => number.into(),
            (_, Some(number), _) => number.into(),
            (_, _, number) => number.unwrap_or_default().into(),
        },
    }
}

/// Finds the item of this name, or else the one in the same place.
fn same_item<'a>(items: &'a [Node], index: usize, item: &Tree) -> Option<&'a Node> {
    let named = items
        .iter()
        .find(|node| name_of(node).is_some_and(|(field, name)| has_name(item, field, name)));
    named.or_else(|| items.get(index))
}
