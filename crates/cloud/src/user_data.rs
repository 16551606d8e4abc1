//! User data: the document that people give to an instance.

use std::io::Read as _;

use flate2::bufread::MultiGzDecoder;
use zeroize::Zeroizing;

/// The first bytes of a gzip file.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// First words of documents that are made for other systems, in lower case, and what these are.
const FOREIGN: &[(&str, &str)] = &[
    ("#!", "a script, which no node runs"),
    ("#cloud-config-archive", "a cloud-config archive, for cloud-init"),
    ("#cloud-config-jsonp", "a cloud-config patch, for cloud-init"),
    ("#cloud-config", "a cloud-config document, for cloud-init"),
    ("#cloud-boothook", "a boot hook, for cloud-init"),
    ("#include", "a list of addresses to include, for cloud-init"),
    ("#part-handler", "a part handler, for cloud-init"),
    ("#upstart-job", "an Upstart job"),
    ("## template:", "a template, for cloud-init"),
    ("content-type:", "a multipart document, for cloud-init"),
    ("mime-version:", "a multipart document, for cloud-init"),
    ("<powershell>", "a script for Windows"),
    ("<script>", "a script for Windows"),
    ("{\"ignition\"", "an Ignition config, for CoreOS"),
];

/// Says why user data is not a machine config.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserDataError {
    /// It is made for another system.
    #[error("the user data is {0}; give the machine config as the whole of the user data")]
    Foreign(&'static str),
    /// It is longer than a machine config may be.
    #[error("the user data has more than {0} bytes, which is the most that a machine config may have")]
    TooLong(usize),
    /// It begins as gzip does, and is damaged or cut short.
    #[error("the user data is compressed by gzip, and damaged or cut short")]
    Damaged,
}

/// Returns the bytes of the document in user data, at most `most`; `None` when there is none. What gzip compressed is inflated, once.
///
/// # Errors
///
/// When it cannot be a machine config. It is not parsed.
pub fn decode(bytes: &[u8], most: usize) -> Result<Option<Zeroizing<Vec<u8>>>, UserDataError> {
    let document = match bytes.starts_with(GZIP) {
        true => inflate(bytes, most)?,
        false => Zeroizing::new(bytes.to_vec()),
    };
    if document.len() > most {
        return Err(UserDataError::TooLong(most));
    }
    let text = document
        .strip_prefix("\u{feff}".as_bytes())
        .unwrap_or(&document)
        .trim_ascii_start();
    if text.is_empty() {
        return Ok(None);
    }
    match foreign(text) {
        Some(what) => Err(UserDataError::Foreign(what)),
        None => Ok(Some(document)),
    }
}

fn foreign(text: &[u8]) -> Option<&'static str> {
    let starts = |word: &str| {
        let head = text.get(..word.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
    };
    let found = FOREIGN.iter().find(|(word, _)| starts(word));
    found.map(|(_, what)| *what)
}

/// Inflates at most one byte more than `most`: a few bytes can stand for gigabytes.
fn inflate(bytes: &[u8], most: usize) -> Result<Zeroizing<Vec<u8>>, UserDataError> {
    let mut inflated = Zeroizing::new(Vec::new());
    MultiGzDecoder::new(bytes)
        .take(most as u64 + 1)
        .read_to_end(&mut inflated)
        .map_err(|_| UserDataError::Damaged)?;
    Ok(inflated)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    const MOST: usize = 4096;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_document_is_taken_plain_or_compressed() {
        let document = b"# of node1\napiVersion: x\n";
        for data in [
            document.to_vec(),
            gzip(document),
            [gzip(b"# of node1\n"), gzip(b"apiVersion: x\n")].concat(),
        ] {
            assert_eq!(decode(&data, MOST).unwrap().unwrap()[..], document[..]);
        }
        for empty in [&b""[..], b" \n\r\n", b"\xef\xbb\xbf", &gzip(b"")] {
            assert_eq!(decode(empty, MOST), Ok(None));
        }
    }

    #[test]
    fn what_is_for_others_is_refused_by_its_name() {
        for (data, part) in [
            ("#!/bin/sh\n", "script"),
            ("#cloud-config\nusers: []\n", "cloud-config document"),
            ("#cloud-config-archive\n", "archive"),
            ("\n#include\nhttp://a\n", "include"),
            (
                "Content-Type: multipart/mixed; boundary=\"=\"\nMIME-Version: 1.0\n",
                "multipart",
            ),
            ("MIME-Version: 1.0\n", "multipart"),
            ("## template: jinja\n", "template"),
            ("\u{feff}#!/bin/sh\n", "script"),
            ("{\"ignition\": {}}", "Ignition"),
        ] {
            for data in [data.as_bytes().to_vec(), gzip(data.as_bytes())] {
                let error = decode(&data, MOST).unwrap_err();
                assert!(error.to_string().contains(part), "{data:?}: {error}");
            }
        }
        assert!(decode(b"# cloud-config was here\n", MOST).unwrap().is_some());
    }

    #[test]
    fn a_bomb_is_not_inflated() {
        let bomb = gzip(&vec![b'x'; 64 << 20]);
        assert!(bomb.len() < 128 << 10);
        assert_eq!(decode(&bomb, MOST), Err(UserDataError::TooLong(MOST)));
        assert_eq!(decode(&gzip(&[b'x'; MOST]), MOST).unwrap().unwrap().len(), MOST);
        assert_eq!(decode(&[b'x'; MOST + 1], MOST), Err(UserDataError::TooLong(MOST)));
    }

    #[test]
    fn a_damaged_file_is_told() {
        let whole = gzip(b"apiVersion: x\n");
        for cut in 2..whole.len() {
            assert_eq!(decode(&whole[..cut], MOST), Err(UserDataError::Damaged), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_give_more_than_there_may_be(
            compressed: bool,
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            most in 0..200_usize,
        ) {
            let data = if compressed { gzip(&bytes) } else { bytes };
            if let Ok(Some(document)) = decode(&data, most) {
                prop_assert!(document.len() <= most);
            }
        }
    }
}
