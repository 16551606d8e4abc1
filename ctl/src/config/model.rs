//! The format of the client config.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

const API_VERSION: &str = "bedplate.dev/v1alpha1";
const KIND: &str = "ClientConfig";

/// The clusters that a client knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientConfig {
    api_version: String,
    kind: String,
    /// Name of the context that is used unless another is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// Clusters by name.
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
}

/// One cluster, with the client certificate for it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// Endpoints of the cluster: the first that answers is called.
    #[serde(default)]
    pub endpoints: Vec<String>,
    /// Nodes that are called together when none are named; without any, one endpoint is called.
    #[serde(default)]
    pub nodes: Vec<String>,
    /// Nodes are called through the first endpoint that answers, not directly.
    #[serde(
        default,
        rename = "throughEndpoints",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub through_endpoints: bool,
    /// The cluster's CA certificate, in PEM.
    pub ca: String,
    /// The client's certificate, in PEM.
    pub cert: String,
    /// The client's key, in PEM.
    pub key: Zeroizing<String>,
}

/// The reason why a client config, or a context in it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not YAML of that form.
    #[error("not a client config")]
    Yaml(#[from] yaml::Fault),
    /// An unknown context.
    #[error("unknown context {name:?}; known contexts: {known}")]
    NoContext {
        /// The name that was given.
        name: String,
        /// The known names.
        known: String,
    },
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            api_version: API_VERSION.into(),
            kind: KIND.into(),
            current: None,
            contexts: BTreeMap::new(),
        }
    }
}

impl ClientConfig {
    /// Parses a client config.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(yaml::document(text, API_VERSION, KIND)?)
    }

    /// Returns the client config as YAML.
    pub fn to_yaml(&self) -> Zeroizing<String> {
        let text = yaml::to_string(self);
        Zeroizing::new(text.expect("maps and texts can always be written as YAML"))
    }

    /// Finds a context by name.
    pub fn context(&self, name: &str) -> Result<&Context, Error> {
        self.contexts.get(name).ok_or_else(|| self.unknown(name))
    }

    /// Finds a context by name, to modify it.
    pub fn context_mut(&mut self, name: &str) -> Result<&mut Context, Error> {
        let unknown = self.unknown(name);
        self.contexts.get_mut(name).ok_or(unknown)
    }

    fn unknown(&self, name: &str) -> Error {
        let known: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
        Error::NoContext {
            name: name.to_owned(),
            known: if known.is_empty() {
                "none".into()
            } else {
                known.join(", ")
            },
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("endpoints", &self.endpoints)
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contexts() -> impl Strategy<Value = BTreeMap<String, Context>> {
        let list = || proptest::collection::vec("[a-z0-9.:\\[\\]-]{1,12}", 0..3);
        let context = (list(), list(), "\\PC{0,40}", "\\PC{0,40}", "\\PC{0,40}");
        let context = context.prop_map(|(endpoints, nodes, ca, cert, key)| Context {
            through_endpoints: ca.len() % 2 == 1,
            endpoints,
            nodes,
            ca,
            cert,
            key: Zeroizing::new(key),
        });
        proptest::collection::btree_map("\\PC{1,12}", context, 0..4)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(contexts in contexts(), current in proptest::option::of("\\PC{1,12}")) {
            let config = ClientConfig { current, contexts, ..ClientConfig::default() };
            prop_assert_eq!(ClientConfig::parse(&config.to_yaml()).unwrap(), config);
        }

        #[test]
        fn garbage_is_an_error_not_a_panic(text in "(apiVersion: bedplate.dev/v1alpha1\nkind: ClientConfig\n)?\\PC{0,80}") {
            let _ = ClientConfig::parse(&text);
        }
    }

    #[test]
    fn errors_name_the_thing() {
        let error = ClientConfig::parse("apiVersion: v1\nkind: Config\n").unwrap_err();
        let said = |error: Error| crate::ui::chain(&error);
        assert_eq!(
            said(error),
            "not a client config: apiVersion: \"v1\" is not known here; expected bedplate.dev/v1alpha1 (line 1)"
        );
        let text = "apiVersion: bedplate.dev/v1alpha1\nkind: ClientConfig\nconteksts: {}\n";
        let error = ClientConfig::parse(text).unwrap_err();
        assert_eq!(
            said(error),
            "not a client config: conteksts: unknown field, did you mean \"contexts\"?; \
             known here: apiVersion, kind, current, contexts (line 3)"
        );
        let error = ClientConfig::default().context("home").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown context \"home\"; known contexts: none"
        );
    }

    #[test]
    fn a_key_is_not_printed() {
        let context = Context {
            through_endpoints: false,
            endpoints: vec![],
            nodes: vec![],
            ca: "ca".into(),
            cert: "cert".into(),
            key: Zeroizing::new("geheim".into()),
        };
        assert!(!format!("{context:?}").contains("geheim"));
    }
}
