//! A certificate and its key, as they are in the secrets file.

use serde::{Deserialize, Serialize};

use crate::{Authority, Error};

/// An authority, as it stands in the file. Its key is erased when it is dropped.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pair {
    cert: String,
    key: String,
}

impl Pair {
    /// Copies an authority.
    pub fn of(authority: &Authority) -> Self {
        Self {
            cert: authority.certificate_pem().to_owned(),
            key: authority.key_pem().to_string(),
        }
    }

    /// Reads the authority; `what` names it in errors.
    pub fn authority(&self, what: &'static str) -> Result<Authority, Error> {
        Authority::from_pem(&self.cert, &self.key, what)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.key);
    }
}
