//! Several documents in one text, as manifests of Kubernetes are written.

use serde::de::DeserializeOwned;

use crate::Fault;
use crate::tree::{Limits, read_within};
use crate::typed::{explain, typed};

/// The line between two documents.
const MARK: &str = "---";
/// What schemas of custom resources need: they are the largest documents of all.
const LIMITS: Limits = Limits {
    depth: 128,
    values: 200_000,
};

/// Reads every document in a text as a value of a type; empty ones are left out. The caller limits the length of the text.
///
/// # Errors
///
/// The first fault, with its line in the whole text.
pub fn documents<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, Fault> {
    let mut found = Vec::new();
    for (line, part) in parts(text) {
        if part.lines().all(is_blank) {
            continue;
        }
        let read = explain(&part, || typed(&read_within(&part, LIMITS)?));
        found.push(read.map_err(|fault| Fault {
            line: fault.line + line,
            ..fault
        })?);
    }
    Ok(found)
}

/// Divides a text at its marks. Returns the number of lines before each part.
fn parts(text: &str) -> Vec<(usize, String)> {
    let mut parts = vec![(0, String::new())];
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let rest = line
            .strip_prefix(MARK)
            .filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        match (rest, parts.last_mut()) {
            // What stands behind the mark belongs to the document: often a comment.
            (Some(rest), _) => parts.push((number, format!("   {rest}"))),
            (None, Some((_, part))) => part.push_str(line),
            (None, None) => {}
        }
    }
    parts
}

fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn each_document_is_read_and_empty_ones_are_left_out() {
        let text = "# first\n---\na: 1\n---  # second\nb: |\n  ---\n  x\n---\n\n# nothing\n---\n";
        let found: Vec<Value> = documents(text).unwrap();
        assert_eq!(found, [json!({ "a": 1 }), json!({ "b": "---\nx\n" })]);
        assert_eq!(documents::<Value>("").unwrap(), Vec::<Value>::new());
        assert_eq!(documents::<Value>("a: 1").unwrap(), [json!({ "a": 1 })]);
        assert_eq!(documents::<Value>("----: 1").unwrap(), [json!({ "----": 1 })]);
    }

    #[test]
    fn a_fault_is_on_its_line_of_the_whole_text() {
        let fault = documents::<Value>("a: 1\n---\nb: 1\nb: 2\n").unwrap_err();
        assert_eq!(fault.line, 4, "{fault}");
        let fault = documents::<Value>("---\na: &x 1\n").unwrap_err();
        assert_eq!(fault.line, 2, "{fault}");
    }

    #[test]
    fn a_schema_is_deeper_than_a_config_and_still_bounded() {
        let nested = |depth: usize| {
            (0..depth)
                .map(|level| format!("{}a:\n", " ".repeat(level)))
                .collect::<String>()
        };
        assert!(documents::<Value>(&nested(100)).is_ok());
        assert!(documents::<Value>(&nested(200)).is_err());
    }
}
