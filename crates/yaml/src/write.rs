//! From a value to text.

use serde::Serialize;
use serde_yaml::Value;

/// Line breaks of YAML 1.1, by which the writer goes; in YAML 1.2, by which we read, they are letters like any other.
const BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

/// Why a value cannot be written: it has a key that is not a text, or bytes.
pub use serde_yaml::Error as WriteError;

/// Writes a value as a document, which [`crate::from_str`] reads back.
///
/// # Errors
///
/// A value that YAML has no form for, such as a map whose keys are lists.
pub fn to_string<T: Serialize>(value: &T) -> Result<String, WriteError> {
    let text = serde_yaml::to_string(value)?;
    if !text.contains(BREAKS) {
        return Ok(text);
    }
    // Written as letters that occur nowhere else, and put back when their line is written.
    let unused = ('\u{e000}'..='\u{f8ff}').filter(|letter| !text.contains(*letter));
    let pairs: Vec<(char, char)> = BREAKS.into_iter().zip(unused).collect();
    let mut tree = serde_yaml::to_value(value)?;
    exchange(&mut tree, &pairs);
    let text = serde_yaml::to_string(&tree)?;
    Ok(pairs.iter().fold(text, |text, (letter, placeholder)| {
        text.replace(*placeholder, &letter.to_string())
    }))
}

fn exchange(value: &mut Value, pairs: &[(char, char)]) {
    let exchanged = |text: &str| {
        pairs.iter().fold(text.to_owned(), |text, (letter, placeholder)| {
            text.replace(*letter, &placeholder.to_string())
        })
    };
    match value {
        Value::String(text) => *text = exchanged(text),
        Value::Sequence(items) => items.iter_mut().for_each(|item| exchange(item, pairs)),
        Value::Mapping(entries) => {
            let taken = std::mem::take(entries);
            entries.extend(taken.into_iter().map(|(mut key, mut value)| {
                exchange(&mut key, pairs);
                exchange(&mut value, pairs);
                (key, value)
            }));
        }
        _ => {}
    }
}
