//! Variables and command lines, as Compose reads them.

use std::collections::BTreeMap;

/// Fills in variables: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME-default}`; `$$` is a dollar.
///
/// # Errors
/// Fails on a variable without a value, with the way to give one, and on other forms.
pub(super) fn filled(text: &str, values: &BTreeMap<String, String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = behind.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(braced) = behind.strip_prefix('{') {
            let (inside, after) = braced
                .split_once('}')
                .ok_or_else(|| format!("{text:?} has a ${{ without an end; a dollar is written $$"))?;
            out.push_str(&braced_value(inside, values)?);
            rest = after;
        } else {
            let end = behind.find(|c: char| !is_name(c)).unwrap_or(behind.len());
            let (name, after) = behind.split_at(end);
            out.push_str(&value(name, values)?);
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn braced_value(inside: &str, values: &BTreeMap<String, String>) -> Result<String, String> {
    let end = inside.find(|c: char| !is_name(c)).unwrap_or(inside.len());
    let (name, form) = inside.split_at(end);
    let set = values.get(name);
    let default = |default: &str| match default.contains('$') {
        true => Err(format!(
            "variable {name} has a default with variables; write it out"
        )),
        false => Ok(default.to_owned()),
    };
    match (form, set) {
        ("", _) => value(name, values),
        (form, Some(set)) if form.starts_with('-') || (form.starts_with(":-") && !set.is_empty()) => {
            Ok(set.clone())
        }
        (form, _) if form.starts_with(":-") => default(&form[2..]),
        (form, None) if form.starts_with('-') => default(&form[1..]),
        (form, Some(set)) if form.starts_with('?') || form.starts_with(":?") => Ok(set.clone()),
        (form, None) if form.starts_with('?') || form.starts_with(":?") => value(name, values),
        _ => Err(format!("${{{inside}}} is not known; write its value out")),
    }
}

fn value(name: &str, values: &BTreeMap<String, String>) -> Result<String, String> {
    if name.is_empty() {
        return Err("a dollar without a name; a dollar alone is written $$".into());
    }
    let found = values.get(name).cloned();
    found.ok_or_else(|| format!("variable {name} has no value; give one with --set {name}=VALUE"))
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Splits a command line as Compose does, by the quotes and backslashes of a shell; nothing of a shell's else.
///
/// # Errors
/// Fails on a quote without its end.
pub(super) fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"'), '\\') => {
                let next = chars.next().unwrap_or('\\');
                let word = word.get_or_insert_default();
                if !matches!(next, '"' | '\\') {
                    word.push('\\');
                }
                word.push(next);
            }
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '\\') => {
                let next = chars.next().unwrap_or('\\');
                word.get_or_insert_default().push(next);
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(format!("{text:?} has a quote without its end"));
    }
    words.extend(word);
    Ok(words)
}
