//! What a document says that it is.

use serde::de::DeserializeOwned;

use crate::typed::{explain, typed};
use crate::{Fault, Node, Value, read};

/// Reads a document of this version and kind; the type holds both as texts, or leaves them out of its own fields.
///
/// # Errors
///
/// As [`crate::from_str`], and another version or kind. Those are told first: what else is wrong follows from them.
pub fn document<T: DeserializeOwned>(text: &str, api_version: &str, kind: &str) -> Result<T, Fault> {
    explain(text, || {
        let root = read(text)?;
        match wrong_header(&root, api_version, kind).into_iter().next() {
            Some(fault) => Err(fault),
            None => typed(&root),
        }
    })
}

/// Returns what is wrong with `apiVersion` and `kind`, in this order; nothing where they are as expected.
pub fn wrong_header(root: &Node, api_version: &str, kind: &str) -> Vec<Fault> {
    let Value::Map(_) = &root.value else {
        return vec![Fault::at(
            root.line,
            format!("expected a map, found {}", root.kind()),
        )];
    };
    [("apiVersion", api_version), ("kind", kind)]
        .into_iter()
        .filter_map(|(name, expected)| wrong(root, name, expected))
        .collect()
}

fn wrong(root: &Node, name: &str, expected: &str) -> Option<Fault> {
    let fault = |line, message| Fault {
        line,
        path: name.to_owned(),
        message,
    };
    let Some((key, node)) = root.entry(name) else {
        return Some(fault(root.line, format!("is missing; expected {expected}")));
    };
    match &node.value {
        Value::Scalar(scalar) if *scalar.text == expected => None,
        Value::Scalar(scalar) => {
            let message = format!("{:?} is not known here; expected {expected}", *scalar.text);
            Some(fault(key.line, message))
        }
        _ => Some(fault(
            key.line,
            format!("expected {expected}, found {}", node.kind()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct File {
        api_version: String,
        kind: String,
        size: u8,
    }

    #[test]
    fn the_header_is_told_before_all_else() {
        let parse = |text: &str| document::<File>(text, "x/v1", "File").map_err(|fault| fault.to_string());
        assert_eq!(parse("apiVersion: x/v1\nkind: File\nsize: 5\n").unwrap().size, 5);
        for (text, said) in [
            (
                "apiVersion: x/v2\nkind: File\nsise: 5\n",
                "apiVersion: \"x/v2\" is not known here; expected x/v1 (line 1)",
            ),
            (
                "apiVersion: x/v1\nkind: Config\n",
                "kind: \"Config\" is not known here; expected File (line 2)",
            ),
            (
                "apiVersion: x/v1\nkind: [File]\n",
                "kind: expected File, found a list (line 2)",
            ),
            ("kind: File\n", "apiVersion: is missing; expected x/v1 (line 1)"),
            ("[]\n", "expected a map, found a list (line 1)"),
            ("", "the document is empty"),
            (
                "apiVersion: x/v1\nkind: File\nsise: 5\n",
                "sise: unknown field, did you mean \"size\"?; known here: apiVersion, kind, size (line 3)",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), said);
        }
    }
}
