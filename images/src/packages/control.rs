//! Reads the `Field: value` stanzas that apt and dpkg speak in.

/// One stanza: fields with their values, continuation lines joined by line feeds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Stanza {
    fields: Vec<(String, String)>,
}

impl Stanza {
    /// Returns the value of a field; names of fields do not tell upper from lower case.
    pub fn get(&self, field: &str) -> Option<&str> {
        let found = self
            .fields
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(field));
        found.map(|(_, value)| value.as_str())
    }
}

/// Splits a text into stanzas, leaving out comments.
pub fn stanzas(text: &str) -> Vec<Stanza> {
    let mut all = Vec::new();
    let mut current = Stanza::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.trim().is_empty() {
            if !current.fields.is_empty() {
                all.push(std::mem::take(&mut current));
            }
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = current.fields.last_mut() {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            current.fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    if !current.fields.is_empty() {
        all.push(current);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_fields_and_continuations() {
        let found = stanzas("# c\nPackage: a\nDescription: x\n y\n\n\nPackage: b\nurl: http://x.test/\n");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].get("description"), Some("x\ny"));
        assert_eq!(found[1].get("URL"), Some("http://x.test/"));
        assert_eq!(found[1].get("absent"), None);
    }
}
