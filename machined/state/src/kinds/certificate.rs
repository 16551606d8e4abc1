//! The certificate that the API is served with.

use serde::{Deserialize, Serialize};

use crate::Resource;

/// The name of the one `CertificateStatus`.
pub const ID: &str = "api";

/// The certificate that the API is served with. Owned by the controller `certificate`; one, named `api`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateStatus {
    /// Set when a client certificate is asked for: not in maintenance mode.
    pub mutual: bool,
    /// Set when the cluster's authority signed it. Where not, people compare the fingerprint.
    pub signed: bool,
    /// SHA-256 of the certificate, as printed on the console.
    pub fingerprint: String,
    /// Names and addresses it is valid for.
    pub names: Vec<String>,
    /// First moment at which it is valid, in seconds since 1970.
    pub not_before: u64,
    /// Last moment at which it is valid, in seconds since 1970.
    pub not_after: u64,
    /// Something to know about it, such as why it is not signed.
    pub remark: Option<String>,
    /// What is wrong with it, and how to reach the node all the same.
    pub problem: Option<String>,
}

impl Resource for CertificateStatus {
    const KIND: &'static str = "CertificateStatus";
}
