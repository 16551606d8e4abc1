//! Finds the line of a value, for checks that run after the document was read.

/// Returns the line of the value with this path of plain names, such as `machine.ca.cert`; 0 when it is absent.
pub fn line_of(text: &str, path: &str) -> usize {
    let Ok(root) = yaml::read(text) else { return 0 };
    let (mut node, mut line) = (&root, 0);
    for name in path.split('.') {
        let Some((key, value)) = node.entry(name) else {
            return 0;
        };
        (node, line) = (value, key.line);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_path() {
        let text = "a: 1\nb:\n  c: [1]\n  d:\n    e: |\n      x\n";
        for (path, line) in [("a", 1), ("b", 2), ("b.d.e", 5), ("b.c.d", 0), ("f", 0)] {
            assert_eq!(line_of(text, path), line, "{path}");
        }
        assert_eq!(line_of("[", "a"), 0);
    }
}
