//! Links in the documents lead somewhere.

use super::{Finding, Lint, Tree};

pub struct DocLinks;

impl Lint for DocLinks {
    fn name(&self) -> &'static str {
        "doc-links"
    }

    fn reason(&self) -> &'static str {
        "a newcomer follows the links of the documents: each relative one leads to a file or folder of the tree"
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
    let target = target.split('#').next().unwrap_or_default();
    if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return true;
    }
    let mut path: Vec<&str> = from.split('/').collect();
    path.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if path.pop().is_none() {
                    return false;
                }
            }
            part => path.push(part),
        }
    }
    let path = path.join("/");
    tree.files.contains_key(&path)
        || tree
            .files
            .keys()
            .any(|file| file.starts_with(&format!("{path}/")))
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
            ("README.md", ""),
            ("crates/a.rs", ""),
        ]);
        assert_eq!(
            DocLinks.check(&tree),
            [Finding::at("docs/a.md", 1, "the link gone.md leads nowhere")]
        );
    }
}
