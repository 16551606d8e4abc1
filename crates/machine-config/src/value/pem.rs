//! Certificates and keys in PEM, checked by form only; the crate pki checks their content.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::NotA;

const NO_CERTIFICATE: &str =
    "a certificate; expected PEM, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----";
const CUT_CERTIFICATE: &str = "a certificate; it is cut short: the line -----END CERTIFICATE----- is missing, or something else is before it";
const TRUSTED: &str = "a certificate; it is a TRUSTED CERTIFICATE, which only OpenSSL reads: convert it with openssl x509 -in FILE";
const KEY_INSIDE: &str =
    "a certificate; it also holds a private key, which is not kept secret there: give only the certificate";
const NO_KEY: &str = "a private key; expected PEM, from -----BEGIN PRIVATE KEY----- to its end";
const ENCRYPTED: &str = "a private key; it is encrypted, and nobody could type its passphrase: remove it with openssl pkey -in FILE";

/// One or more certificates in PEM. Text around them, as `openssl` and certificate bundles have it, is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Certificate(String);

impl Certificate {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Certificate {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        let labels = labels(text).ok_or(NotA(CUT_CERTIFICATE))?;
        if labels.iter().any(|label| label.ends_with("PRIVATE KEY")) {
            return Err(NotA(KEY_INSIDE));
        }
        if labels.contains(&"TRUSTED CERTIFICATE") {
            return Err(NotA(TRUSTED));
        }
        if !labels.contains(&"CERTIFICATE") {
            return Err(NotA(NO_CERTIFICATE));
        }
        Ok(Self(text.to_owned()))
    }
}

as_text!(
    Certificate,
    r"-----BEGIN CERTIFICATE-----",
    "One or more certificates in PEM; text around them is allowed."
);

/// Checks that a text holds one private key in PEM, possibly with text around it.
pub(crate) fn private_key(text: &str) -> Result<(), NotA> {
    // The old form of an encrypted key has a header inside the block.
    if text.contains("ENCRYPTED") {
        return Err(NotA(ENCRYPTED));
    }
    let labels = labels(text).ok_or(NotA(NO_KEY))?;
    let keys = labels.iter().filter(|label| label.ends_with("PRIVATE KEY"));
    if keys.count() == 1 {
        Ok(())
    } else {
        Err(NotA(NO_KEY))
    }
}

/// Lists the labels of all blocks, as in RFC 7468: text between blocks is skipped, text inside is not.
/// `None` when a block does not end, or ends without a beginning.
fn labels(text: &str) -> Option<Vec<&str>> {
    let base64 = |line: &str| {
        line.bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
    };
    let boundary = |line: &'_ str, word: &str| -> Option<usize> {
        let rest = line.strip_prefix("-----")?.strip_prefix(word)?;
        Some(rest.strip_suffix("-----")?.len())
    };
    let mut labels = Vec::new();
    let mut open: Option<(&str, usize)> = None;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let begins = boundary(line, "BEGIN ").map(|length| &line[11..11 + length]);
        let ends = boundary(line, "END ").map(|length| &line[9..9 + length]);
        open = match (open, begins, ends) {
            (None, Some(label), _) => Some((label, 0)),
            (None, None, None) if !line.starts_with("-----BEGIN") => None,
            (Some((label, 1..)), _, Some(end)) if label == end => {
                labels.push(label);
                None
            }
            (Some((label, lines)), None, None) if base64(line) => Some((label, lines + 1)),
            _ => return None,
        };
    }
    open.is_none().then_some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n";

    #[test]
    fn certificates_may_have_text_around_them() {
        let openssl = format!(
            "Certificate:\n    Data:\n        Version: 3 (0x2)\n{CERTIFICATE}\n# Ärger & Söhne\n{CERTIFICATE}"
        );
        for right in [
            CERTIFICATE,
            &openssl,
            &CERTIFICATE.replace('\n', "\r\n"),
            &format!("====\n----\n{CERTIFICATE}"),
        ] {
            assert_eq!(right.parse::<Certificate>().unwrap().as_str(), right);
        }
        let table = [
            ("", NO_CERTIFICATE),
            ("MIIB", NO_CERTIFICATE),
            ("-----BEGIN CERTIFICATE-----\nMIIB", CUT_CERTIFICATE),
            (
                "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----",
                CUT_CERTIFICATE,
            ),
            (
                "-----BEGIN CERTIFICATE----\nMIIB\n-----END CERTIFICATE-----",
                CUT_CERTIFICATE,
            ),
            ("MIIB\n-----END CERTIFICATE-----", CUT_CERTIFICATE),
            (
                "-----BEGIN CERTIFICATE-----\nMI IB\n-----END CERTIFICATE-----",
                CUT_CERTIFICATE,
            ),
            (&CERTIFICATE.replace("CERT", "TRUSTED CERT"), TRUSTED),
            (&format!("{CERTIFICATE}{KEY}"), KEY_INSIDE),
            (KEY, KEY_INSIDE),
        ];
        for (wrong, expected) in table {
            assert_eq!(wrong.parse::<Certificate>(), Err(NotA(expected)), "{wrong}");
        }
    }

    #[test]
    fn a_key_is_single_and_unencrypted() {
        for right in [
            KEY,
            &format!("Bag Attributes\n    localKeyID: 01\n{KEY}"),
            &KEY.replace("PRIVATE", "EC PRIVATE"),
        ] {
            assert_eq!(private_key(right), Ok(()));
        }
        let old =
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMC4C\n-----END RSA PRIVATE KEY-----";
        for (wrong, expected) in [
            (CERTIFICATE, NO_KEY),
            ("-----BEGIN PRIVATE KEY-----\nMC4C", NO_KEY),
            (&format!("{KEY}{KEY}"), NO_KEY),
            (&KEY.replace("PRIVATE", "ENCRYPTED PRIVATE"), ENCRYPTED),
            (old, ENCRYPTED),
        ] {
            assert_eq!(private_key(wrong), Err(NotA(expected)), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics(text in "(-----|BEGIN |END |CERTIFICATE|\n|a|ä| ){0,40}") {
            let _ = text.parse::<Certificate>();
            let _ = private_key(&text);
        }
    }
}
