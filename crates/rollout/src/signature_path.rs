//! Where the signatures of a document are.

/// The longest file of signatures.
pub const MAX_SIGNATURES: usize = 16 * 1024;

/// Returns where the signatures of a document are, given its path or URL: next to it, with `.minisig` appended to its
/// name.
pub fn signatures_of(source: &str) -> String {
    let is_url = source.starts_with("http://") || source.starts_with("https://");
    let name_end = match is_url {
        true => source.find(['?', '#']).unwrap_or(source.len()),
        false => source.len(),
    };
    let (name, rest) = source.split_at(name_end);
    format!("{name}.minisig{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_next_to_the_document() {
        let cases = [
            ("fleet.json", "fleet.json.minisig"),
            ("a?b.json", "a?b.json.minisig"),
            ("https://a/f.json", "https://a/f.json.minisig"),
            ("https://a/f.json?token=1", "https://a/f.json.minisig?token=1"),
        ];
        for (source, expected) in cases {
            assert_eq!(signatures_of(source), expected);
        }
    }
}
