//! Comments of a config that is written from a tree.
//!
//! A comment belongs to the key or item whose line it is on, or else to the next one below it. It is kept if that key or item
//! is still there. What is before the first key stays at the top, and what is after the last one at the end.
//!
//! Nothing is ever lost by a comment in the wrong place: if the text with comments does not read as the same document, as may
//! happen with texts over several lines, it is written without them.

use std::collections::HashMap;

use yaml::{Node, Value, join};
use zeroize::Zeroizing;

use super::tree;

/// The comments of one key or item.
#[derive(Default)]
struct Comments<'a> {
    above: Vec<&'a str>,
    beside: Option<&'a str>,
}

/// Adds the comments of `old` to `new`, which has none.
pub fn carry_over(old: &str, old_root: &Node, new: Zeroizing<String>) -> Zeroizing<String> {
    if !old.contains('#') {
        return new;
    }
    let Ok(new_root) = yaml::read(&new) else {
        return new;
    };
    let places = places(old_root);
    let lines: Vec<&str> = old.lines().collect();
    let contents = block_contents(&lines);
    let (mut head, mut waiting, mut seen): (Vec<&str>, Vec<&str>, bool) = (Vec::new(), Vec::new(), false);
    let mut of: HashMap<&str, Comments<'_>> = HashMap::new();
    for (index, line) in lines.iter().enumerate() {
        if contents[index] {
            continue;
        }
        if line.trim_start().starts_with('#') {
            waiting.push(line.trim());
            continue;
        }
        let Some(place) = places.get(&(index + 1)) else {
            continue;
        };
        let comments = of.entry(place).or_default();
        match seen {
            true => comments.above = std::mem::take(&mut waiting),
            false => head = std::mem::take(&mut waiting),
        }
        seen = true;
        comments.beside = comment_of(line);
    }
    let new_places = self::places(&new_root);
    let mut text = Zeroizing::new(String::with_capacity(new.len() + old.len()));
    for line in head {
        push(&mut text, "", line);
    }
    for (index, line) in new.lines().enumerate() {
        let comments = new_places
            .get(&(index + 1))
            .and_then(|place| of.remove(place.as_str()));
        let comments = comments.unwrap_or_default();
        let indent = &line[..line.len() - line.trim_start_matches(' ').len()];
        for above in comments.above {
            push(&mut text, indent, above);
        }
        match comments.beside {
            Some(beside) => push(&mut text, line, &format!("  {beside}")),
            None => push(&mut text, line, ""),
        }
    }
    for line in waiting {
        push(&mut text, "", line);
    }
    let same = text.len() <= crate::LIMIT
        && yaml::read(&text).is_ok_and(|root| tree::of(&root).ok() == tree::of(&new_root).ok());
    if same { text } else { new }
}

fn push(text: &mut String, before: &str, after: &str) {
    text.push_str(before);
    text.push_str(after);
    text.push('\n');
}

/// Returns the key or item that begins on each line; of several, the outermost.
fn places(root: &Node) -> HashMap<usize, String> {
    let mut places = HashMap::new();
    visit(root, "", &mut places);
    places
}

fn visit(node: &Node, path: &str, places: &mut HashMap<usize, String>) {
    match &node.value {
        Value::Map(entries) => {
            for (key, node) in entries {
                let path = join(path, &key.name);
                places.entry(key.line).or_insert_with(|| path.clone());
                visit(node, &path, places);
            }
        }
        Value::List(items) => {
            for (index, node) in items.iter().enumerate() {
                let path = match (tree::name_of(node), &node.value) {
                    (Some((field, name)), _) => format!("{path}[{field}={name}]"),
                    (None, Value::Scalar(scalar)) => format!("{path}[={}]", *scalar.text),
                    (None, _) => format!("{path}[{index}]"),
                };
                places.entry(node.line).or_insert_with(|| path.clone());
                visit(node, &path, places);
            }
        }
        Value::Scalar(_) => {}
    }
}

/// Returns, for each line, whether it is the content of a text in block style (`|` or `>`), where `#` is a letter.
fn block_contents(lines: &[&str]) -> Vec<bool> {
    let mut parent: Option<usize> = None;
    let mut contents = Vec::with_capacity(lines.len());
    for line in lines {
        let indent = line.len() - line.trim_start_matches(' ').len();
        let inside = parent.is_some_and(|parent| line.trim().is_empty() || indent > parent);
        contents.push(inside);
        if !inside {
            parent = block_parent(line);
        }
    }
    contents
}

/// Returns the indentation that the content of the text in block style exceeds that begins on this line.
fn block_parent(line: &str) -> Option<usize> {
    let code = match comment_of(line) {
        Some(comment) => &line[..line.len() - comment.len()],
        None => line,
    };
    let header = code.trim_end().rsplit([' ', '\t']).next()?;
    let indicators = header.strip_prefix(['|', '>'])?;
    if indicators.len() > 2 || !indicators.bytes().all(|b| matches!(b, b'+' | b'-' | b'1'..=b'9')) {
        return None;
    }
    let mut column = line.len() - line.trim_start_matches(' ').len();
    let mut parent = column;
    while let Some(rest) = line.get(column..).and_then(|rest| rest.strip_prefix("- ")) {
        parent = column;
        column += 2 + (rest.len() - rest.trim_start_matches(' ').len());
    }
    // After the dashes there is a key, or the header of the text itself.
    let has_key = line
        .get(column..)
        .is_some_and(|rest| !rest.starts_with(['|', '>']));
    Some(if has_key { column } else { parent })
}

/// Returns the comment at the end of a line, which begins with `#` after a blank, outside of quotes.
fn comment_of(line: &str) -> Option<&str> {
    let (mut quote, mut before) = (None, ' ');
    for (index, letter) in line.char_indices() {
        match (quote, letter) {
            (None, '#') if before.is_whitespace() => return Some(line[index..].trim_end()),
            (None, '"' | '\'') if matches!(before, ' ' | '[' | '{' | ',' | ':') => quote = Some(letter),
            (Some('"'), '"') if before == '\\' => {}
            (Some(open), _) if letter == open => quote = None,
            _ => {}
        }
        before = letter;
    }
    None
}
