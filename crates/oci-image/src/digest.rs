//! Digests, by which everything in an image is named.

use manifest::Digest;

/// Returns true for `sha256:` and 64 hexadecimal digits in lower case.
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.parse::<Digest>().is_ok())
}

/// Returns the digest of bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", Digest::of(bytes))
}

/// Returns the file of an OCI image layout that has the bytes of a digest, and none if it is not one.
pub fn blob_path(digest: &str) -> Option<String> {
    let hex = digest.strip_prefix("sha256:").filter(|_| is_digest(digest))?;
    Some(format!("blobs/sha256/{hex}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_names_its_blob_and_nothing_else_names_a_file() {
        let empty = digest(b"");
        assert_eq!(
            blob_path(&empty).unwrap(),
            "blobs/sha256/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        for wrong in [
            "",
            "sha256:",
            "sha256:../../x",
            &empty[7..],
            &empty[..70],
            &empty.replace("256", "512"),
        ] {
            assert_eq!(blob_path(wrong), None, "{wrong}");
        }
    }
}
