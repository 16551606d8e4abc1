//! The SHA-256 of a certificate, for people to compare.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};

use crate::Error;

/// Identifies one certificate. Printed as 32 hex bytes with colons, as other tools do.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Takes the fingerprint of a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }

    /// Takes one fingerprint over several certificates, in their order.
    pub(crate) fn of_all<'a>(certificates: impl Iterator<Item = &'a CertificateDer<'static>>) -> Self {
        let mut hash = Sha256::new();
        for certificate in certificates {
            hash.update(Sha256::digest(certificate));
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = Error;

    /// Reads hex digits in either case; colons, blanks and a leading `sha256:` are passed over.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Fingerprint(text.to_owned());
        let hex = text.trim();
        let hex = hex
            .strip_prefix("sha256:")
            .or_else(|| hex.strip_prefix("SHA256:"))
            .unwrap_or(hex);
        let digits = hex
            .chars()
            .filter(|c| !matches!(c, ':' | ' '))
            .map(|c| c.to_digit(16));
        let digits: Option<Vec<u32>> = digits.collect();
        let digits = digits.filter(|digits| digits.len() == 64).ok_or_else(wrong)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::try_from(pair[0] * 16 + pair[1]).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_printed_is_read(bytes: [u8; 32]) {
            let fingerprint = Fingerprint(bytes);
            let text = fingerprint.to_string();
            prop_assert_eq!(text.parse::<Fingerprint>().unwrap(), fingerprint);
            let plain = format!("sha256:{}", text.replace(':', "").to_lowercase());
            prop_assert_eq!(plain.parse::<Fingerprint>().unwrap(), fingerprint);
        }

        #[test]
        fn nothing_else_is(text in "\\PC{0,80}") {
            prop_assume!(text.chars().filter(char::is_ascii_hexdigit).count() != 64);
            prop_assert!(text.parse::<Fingerprint>().is_err());
        }
    }
}
