//! How images of registries are pulled. The doc comments here are the reference page: write them for users.

use serde::Serialize;

use crate::secret::Secret;
use crate::value::{Certificate, MirrorAddress, RegistryHost};

/// How images of one registry are pulled by workloads and by `bedplate images pull`. A registry without an entry is asked itself, over HTTPS, as nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
pub struct Registry {
    /// The registry, as it stands in references: `registry.example.org:5000`, or `docker.io`.
    pub host: RegistryHost,
    /// Servers that are asked in its place, in this order, before the registry itself. One with `http://` is not encrypted, so give the images their digests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub mirrors: Vec<MirrorAddress>,
    /// The authorities that its certificates, and those of its mirrors, are from, besides the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<Certificate>,
    /// The user, with `password`. Mirrors are not given either of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The user's password or token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
}
