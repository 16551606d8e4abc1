//! Links in the documents lead somewhere.

use super::{Finding, Lint, Tree};

pub struct DocLinks;

impl Lint for DocLinks {
    fn name(&self) -> &'static str {
        "doc-links"
    }

    fn reason(&self) -> &'static str {
        "a newcomer follows the links of the documents: each relative one leads to a file, folder or heading of the tree"
    }

    fn check(&self, tree: &Tree) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (path, text) in tree.files.iter().filter(|(path, _)| path.ends_with(".md")) {
            for (line, target) in links(text) {
                if !leads_somewhere(tree, path, target) {
                    findings.push(Finding::at(
                        path,
                        line,
                        format!("the link {target} leads nowhere"),
                    ));
                }
            }
        }
        findings
    }
}

/// Lists the targets of `[text](target)` with their lines, outside fenced code.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut links = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if !fenced {
            let targets = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
            links.extend(targets.map(|(target, _)| (index + 1, target)));
        }
    }
    links
}

fn leads_somewhere(tree: &Tree, from: &str, target: &str) -> bool {
    if target.contains("://") || target.starts_with("mailto:") {
        return true;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let Some(path) = resolve(from, file) else {
        return false;
    };
    let Some(text) = tree.files.get(&path) else {
        let folder = format!("{path}/");
        return anchor.is_empty() && tree.files.keys().any(|file| file.starts_with(&folder));
    };
    // What follows the `#` of other files, such as a line of code, nobody can look up here.
    anchor.is_empty() || !path.ends_with(".md") || anchors(text).any(|known| known == anchor)
}

/// Returns the path in the tree that a link in the file `from` means; none when it leads out of the tree.
fn resolve(from: &str, file: &str) -> Option<String> {
    if file.is_empty() {
        return Some(from.to_owned());
    }
    let mut path: Vec<&str> = from.split('/').collect();
    path.pop();
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                path.pop()?;
            }
            part => path.push(part),
        }
    }
    Some(path.join("/"))
}

/// Lists the anchors of a document's headings, as GitHub makes them: small letters, dashes for blanks, no punctuation.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    let mut fenced = false;
    text.lines().filter_map(move |line| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let heading = line.strip_prefix('#').filter(|_| !fenced)?;
        let heading = heading.trim_start_matches('#').strip_prefix(' ')?.trim();
        let plain = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        Some(
            plain
                .flat_map(char::to_lowercase)
                .map(|c| if c == ' ' { '-' } else { c })
                .collect(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_from_where_they_stand() {
        let text = "[a](guide.md) [b](../README.md#top) [c](https://example.org) [d](gone.md)\n```\n[e](no.md)\n```\n[f](../crates)\n";
        let tree = Tree::of(&[
            ("docs/a.md", text),
            ("docs/guide.md", ""),
            ("README.md", "# Top\n"),
            ("crates/a.rs", ""),
        ]);
        assert_eq!(
            DocLinks.check(&tree),
            [Finding::at("docs/a.md", 1, "the link gone.md leads nowhere")]
        );
    }

    #[test]
    fn anchors_are_headings() {
        let guide = "# Guide\n## Don't panic: `no_std`!\n```sh\n# comment\n```\n";
        let links = "[a](guide.md#guide) [b](guide.md#dont-panic-no_std) [c](#here) [d](../a.rs#L1)\n\
                     [e](guide.md#comment) [f](#gone) [g](../docs#guide)\n# Here\n";
        let tree = Tree::of(&[("docs/a.md", links), ("docs/guide.md", guide), ("a.rs", "")]);
        let found: Vec<String> = DocLinks
            .check(&tree)
            .into_iter()
            .map(|finding| finding.what)
            .collect();
        let expected = ["guide.md#comment", "#gone", "../docs#guide"]
            .map(|target| format!("the link {target} leads nowhere"));
        assert_eq!(found, expected);
    }
}
