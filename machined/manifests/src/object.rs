//! An object of Kubernetes, as a manifest has it.

use std::fmt;

use serde_json::{Map, Value};

/// A text that is no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// It is not YAML.
    #[error("{0}")]
    Yaml(String),
    /// A document that is no object.
    #[error(
        "document {number} has no {field}; expected an object of Kubernetes with apiVersion, kind and metadata.name"
    )]
    NoObject {
        /// Which document, from 1.
        number: usize,
        /// What is missing.
        field: &'static str,
    },
    /// An object that the server would name.
    #[error(
        "document {number} has metadata.generateName; give it a name: it would be created again and again"
    )]
    GeneratedName {
        /// Which document, from 1.
        number: usize,
    },
    /// No document at all.
    #[error("it has no document")]
    Empty,
}

/// What an object is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    /// The group of its kind; empty for the core.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace; none for one of the cluster, or before its scope is known.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}

/// An object, as it is to be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    /// What it is called.
    pub id: Id,
    /// The version of its kind.
    pub version: String,
    /// All of it.
    pub content: Map<String, Value>,
}

/// Reads a manifest: one or several documents, each an object or a list of objects.
pub(crate) fn parse(text: &str) -> Result<Vec<Object>, Error> {
    let documents: Vec<Map<String, Value>> =
        yaml::documents(text).map_err(|fault| Error::Yaml(fault.to_string()))?;
    let mut objects = Vec::new();
    for (index, document) in documents.into_iter().enumerate() {
        let number = index + 1;
        let is_list = document.get("kind").is_some_and(|kind| kind == "List");
        match document.get("items") {
            Some(Value::Array(items)) if is_list => {
                for item in items {
                    let Value::Object(item) = item else {
                        return Err(Error::NoObject {
                            number,
                            field: "kind",
                        });
                    };
                    objects.push(object(item.clone(), number)?);
                }
            }
            _ => objects.push(object(document, number)?),
        }
    }
    match objects.is_empty() {
        true => Err(Error::Empty),
        false => Ok(objects),
    }
}

fn object(mut content: Map<String, Value>, number: usize) -> Result<Object, Error> {
    let missing = |field| Error::NoObject { number, field };
    let text = |value: Option<&Value>, field| {
        let text = value.and_then(Value::as_str).filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or(missing(field))
    };
    let api_version = text(content.get("apiVersion"), "apiVersion")?;
    let kind = text(content.get("kind"), "kind")?;
    let metadata = content.get("metadata").and_then(Value::as_object);
    let metadata = metadata.ok_or(missing("metadata"))?;
    if metadata.contains_key("generateName") && !metadata.contains_key("name") {
        return Err(Error::GeneratedName { number });
    }
    let name = text(metadata.get("name"), "metadata.name")?;
    let namespace = metadata.get("namespace").and_then(Value::as_str);
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let id = Id {
        group: group.to_owned(),
        kind,
        namespace: namespace
            .filter(|namespace| !namespace.is_empty())
            .map(str::to_owned),
        name,
    };
    let version = version.to_owned();
    // What a server writes and nobody else, as in a manifest that was read from a cluster.
    content.remove("status");
    if let Some(Value::Object(metadata)) = content.get_mut("metadata") {
        for field in [
            "managedFields",
            "resourceVersion",
            "uid",
            "creationTimestamp",
            "generation",
        ] {
            metadata.remove(field);
        }
    }
    Ok(Object { id, version, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_a_list_of_objects() {
        let objects = parse(
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, uid: x}\nstatus: {phase: Active}\n---\n\
             apiVersion: v1\nkind: List\nitems:\n\
             - {apiVersion: apps/v1, kind: Deployment, metadata: {name: b, namespace: a}}\n",
        )
        .unwrap();
        let shown: Vec<String> = objects.iter().map(|object| object.id.to_string()).collect();
        assert_eq!(shown, ["Namespace a", "Deployment a/b"]);
        assert_eq!(
            (objects[1].id.group.as_str(), objects[1].version.as_str()),
            ("apps", "v1")
        );
        let content = serde_json::to_string(&objects[0].content).unwrap();
        assert!(
            !content.contains("uid") && !content.contains("status"),
            "{content}"
        );
    }

    #[test]
    fn what_is_none_is_refused_with_the_document() {
        for (text, error) in [
            ("", "it has no document"),
            ("# nothing\n---\n", "it has no document"),
            ("a: [", "not YAML"),
            ("[]", "expected a map"),
            ("kind: Pod\nmetadata: {name: a}", "document 1 has no apiVersion"),
            ("apiVersion: v1\nkind: Pod", "document 1 has no metadata;"),
            (
                "apiVersion: v1\nkind: Pod\nmetadata: {}",
                "document 1 has no metadata.name",
            ),
            (
                "apiVersion: v1\nkind: A\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Pod\nmetadata: {generateName: a}",
                "document 2 has metadata.generateName",
            ),
        ] {
            let found = parse(text).unwrap_err().to_string();
            assert!(found.contains(error), "{error}: {found}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[ -~\\n]{0,200}") {
            let _ = parse(&text);
            let _ = parse(&format!("apiVersion: v1\nkind: Pod\nmetadata:\n  name: {text}\n"));
        }
    }
}
