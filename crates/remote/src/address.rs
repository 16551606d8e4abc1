//! Addresses, with their secrets kept apart.

use base64ct::{Base64, Encoding};
use http::Uri;

use crate::Error;

/// The address of a file, how it may be shown, and how we authenticate there.
#[derive(Clone)]
pub(crate) struct Address {
    /// The address without user information.
    pub uri: Uri,
    /// The same without its query, which may contain a signature.
    pub shown: String,
    /// The value of the Authorization header.
    pub authorization: Option<String>,
    /// Set when it is encrypted.
    pub secure: bool,
}

impl Address {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |_| Error::Address("it is malformed");
        let uri: Uri = text.parse().map_err(wrong)?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) => return Err(Error::Address("it is neither http nor https")),
            None => return Err(Error::Address("it does not start with http:// or https://")),
        };
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority.as_str()),
        };
        if uri.host().is_none_or(str::is_empty) {
            return Err(Error::Address("it names no host"));
        }
        let scheme = if secure { "https" } else { "http" };
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let shown = match target.split_once('?') {
            None => format!("{scheme}://{host}{target}"),
            Some((path, _)) => format!("{scheme}://{host}{path}?…"),
        };
        Ok(Address {
            uri: format!("{scheme}://{host}{target}").parse().map_err(wrong)?,
            shown,
            authorization: user.map(basic),
            secure,
        })
    }
}

/// Returns an address for display, without what may be secret in it.
pub fn shown(url: &str) -> String {
    Address::parse(url).map_or_else(|_| "an invalid address".to_owned(), |address| address.shown)
}

/// Makes the header's value from the `USER:PASSWORD` part of an address.
fn basic(user: &str) -> String {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let mut credentials = percent_decoded(name);
    credentials.push(b':');
    credentials.extend(percent_decoded(password));
    format!("Basic {}", Base64::encode_string(&credentials))
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let decoded = digits
            .filter(|_| byte == b'%')
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(decoded.unwrap_or(byte));
        rest = if decoded.is_some() { &tail[2..] } else { tail };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_used_and_not_shown() {
        let address =
            Address::parse("https://me:p%40ss@files.example:8443/a/b.bundle?X-Signature=abc").unwrap();
        assert_eq!(address.shown, "https://files.example:8443/a/b.bundle?…");
        assert_eq!(
            address.uri.to_string(),
            "https://files.example:8443/a/b.bundle?X-Signature=abc"
        );
        assert_eq!(address.authorization.as_deref(), Some("Basic bWU6cEBzcw=="));
        assert!(address.secure);
        assert_eq!(shown("https://me:secret@h/x"), "https://h/x");
        assert!(!shown("me:secret@h").contains("secret"));
    }

    #[test]
    fn only_http_and_https_with_a_host_are_accepted() {
        assert_eq!(
            Address::parse("http://[::1]:80").unwrap().shown,
            "http://[::1]:80/"
        );
        for wrong in [
            "",
            "/a",
            "host/a",
            "ftp://host/a",
            "file:///etc/passwd",
            "http://",
            "https:// x/",
        ] {
            let error = Address::parse(wrong).err().map(|error| error.to_string());
            assert!(
                error.is_some_and(|text| text.contains("expected http://")),
                "{wrong:?}"
            );
        }
    }
}
