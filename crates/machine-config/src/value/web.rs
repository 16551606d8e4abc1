//! Addresses on web servers.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::{NotA, is_authority};

/// The longest address.
const LONGEST: usize = 2048;

checked_text!(
    /// The address of a file on a web server, without user and password.
    WebAddress, is_web_address,
    "an address; expected http://HOST/PATH or https://HOST/PATH, without user and password",
    r"^https?://[^/@\s]+/[^#\s]+$",
    "An address of the form http://HOST/PATH or https://HOST/PATH."
);

fn is_web_address(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let Some((authority, path)) = rest.and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    // A part after # is never sent: whoever writes one means something else.
    let plain = path.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    is_authority(authority) && plain && !path.is_empty() && text.len() <= LONGEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_on_web_servers_are_accepted() {
        for right in [
            "https://releases.example.org/rollout.json",
            "http://10.0.2.2:8080/a/b.json?token=1",
            "http://[2001:db8::1]:80/x",
        ] {
            assert_eq!(right.parse::<WebAddress>().unwrap().as_str(), right);
        }
        let long = format!("https://a/{}", "b".repeat(LONGEST));
        for wrong in [
            "",
            "rollout.json",
            "ftp://a/b",
            "https://",
            "https://a",
            "https://a/",
            "https:///b",
            "https://me:secret@a/b",
            "https://a/b c",
            "https://a/b#c",
            "https://a/ä",
            "https://a:0/b",
            &long,
        ] {
            assert!(wrong.parse::<WebAddress>().is_err(), "{wrong}");
        }
    }
}
