//! The field's own terms: words that came back, and what to write instead.

use super::{Finding, Lint, Tree};

pub struct Words;

/// A word or phrase that is not used here.
struct Rule {
    /// The forms of the word, in lower case; a finding matches whole words, in any case.
    words: &'static [&'static str],
    /// What to write instead.
    instead: &'static str,
    /// Files that may use it, and why.
    except: &'static [&'static str],
}

/// `docs/contributing.md` has the same table for people.
const RULES: &[Rule] = &[
    Rule {
        words: &["unwell"],
        instead: "unhealthy",
        // The code of a finding in the API, which stays.
        except: &[
            "machined/upgrades/src/preflight.rs",
            "machined/upgrades/src/tests/refusals.rs",
        ],
    },
    Rule {
        words: &["wish", "wishes", "wished"],
        instead: "request",
        except: &[],
    },
    Rule {
        words: &["mend", "mends", "mended", "mending"],
        instead: "repair or fix",
        except: &[],
    },
    Rule {
        words: &["given up"],
        instead: "abandoned",
        except: &[],
    },
    Rule {
        words: &["squeeze", "squeezes", "squeezed"],
        instead: "compress",
        except: &[],
    },
    Rule {
        words: &["borne"],
        instead: "tolerated or confirmed",
        except: &[],
    },
    Rule {
        words: &["anew"],
        instead: "again, from scratch, or the verb: recreate, regenerate, restart, reopen",
        except: &[],
    },
    Rule {
        words: &["stands twice", "stand twice"],
        instead: "is listed twice",
        except: &[],
    },
    Rule {
        words: &["begun again", "begins again"],
        instead: "resumed, retried or restarted",
        except: &[],
    },
    Rule {
        words: &["came to nothing", "comes to nothing", "come to nothing"],
        instead: "what failed, and what follows: starts empty because X cannot be read",
        except: &[],
    },
    Rule {
        words: &["likeness"],
        instead: "similarity",
        except: &[],
    },
    Rule {
        words: &["misdeed", "misdeeds"],
        instead: "fault injection",
        except: &[],
    },
    Rule {
        words: &["for ever"],
        instead: "forever",
        except: &[],
    },
];

/// How a doc comment does not begin: functions begin with a verb, types and fields with a noun phrase.
const BEGINNINGS: &[&str] = &["Is ", "Has ", "Whether "];

/// What this lint does not read: decisions and the changelog are history, and these two hold the words as a table.
const SKIPPED: &[&str] = &[
    "CHANGELOG.md",
    "docs/contributing.md",
    "docs/decisions/",
    "xtask/src/lint/words.rs",
];

impl Lint for Words {
    fn name(&self) -> &'static str {
        "words"
    }

    fn reason(&self) -> &'static str {
        "a word that only the authors know costs every reader a guess: the field's own term wins"
    }

    fn check(&self, tree: &Tree) -> Vec<Finding> {
        let mut findings = Vec::new();
        let skipped = |path: &str| SKIPPED.iter().any(|skipped| path.starts_with(skipped));
        for (path, text) in tree.files.iter().filter(|(path, _)| !skipped(path)) {
            let rust = path.ends_with(".rs");
            if !rust && !path.ends_with(".md") && !path.ends_with(".yaml") {
                continue;
            }
            let mut in_doc = false;
            for (index, line) in text.lines().enumerate() {
                findings.extend(unwanted(path, line).map(|(word, instead)| {
                    Finding::at(path, index + 1, format!("{word:?}: write {instead}"))
                }));
                let doc = rust.then(|| line.trim_start().strip_prefix("/// ")).flatten();
                if let Some(begins) = doc.filter(|_| !in_doc).and_then(badly_begun) {
                    let what = format!(
                        "a doc comment begins with {begins:?}: write \"Returns …\", \"Set when …\" or a noun phrase"
                    );
                    findings.push(Finding::at(path, index + 1, what));
                }
                in_doc = line.trim_start().starts_with("///");
            }
        }
        findings
    }
}

/// Returns the unwanted words in a line, each with what to write instead.
fn unwanted<'a>(path: &'a str, line: &str) -> impl Iterator<Item = (&'static str, &'static str)> + 'a {
    let line = without_links(&line.to_lowercase());
    let rules = RULES.iter().filter(move |rule| !rule.except.contains(&path));
    rules.filter_map(move |rule| {
        let word = rule.words.iter().find(|word| has_word(&line, word))?;
        Some((*word, rule.instead))
    })
}

/// Returns how a doc comment begins, if that is not how it should.
fn badly_begun(doc: &str) -> Option<&'static str> {
    BEGINNINGS
        .iter()
        .find(|begins| doc.starts_with(*begins))
        .map(|begins| begins.trim_end())
}

/// Removes the targets of links: the names of old files stay as they are.
fn without_links(line: &str) -> String {
    let mut parts = line.split("](");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push(' ');
        text.push_str(part.split_once(')').map_or("", |(_, rest)| rest));
    }
    text
}

/// Returns true if the text has the word, with no letter, digit or underscore on either side.
fn has_word(text: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(part_of_word) && !after.is_some_and(part_of_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let findings = Words.check(&Tree::of(&[(path, text)]));
        findings.into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn unwanted_words_are_found_in_code_documents_and_comments() {
        assert_eq!(
            found("a/src/lib.rs", "fn a() {}\n// Mends the table.\n"),
            ["a/src/lib.rs:2: \"mends\": write repair or fix"]
        );
        assert_eq!(found("docs/a.md", "It is given up.").len(), 1);
        assert_eq!(found("boards/a.yaml", "# Compiled anew.").len(), 1);
        assert_eq!(found("a.rs", "let unwell = 1;").len(), 1);
    }

    #[test]
    fn only_whole_words_count_and_links_may_name_old_files() {
        assert_eq!(
            found("a.rs", "/// Returns an amendment; the wishlist.\nfn a() {}"),
            [""; 0]
        );
        assert_eq!(
            found("a.md", "see [0095](decisions/0095-pieces-on-wish.md)."),
            [""; 0]
        );
        assert_eq!(found("docs/decisions/0001-a.md", "It was given up."), [""; 0]);
        assert_eq!(found("machined/upgrades/src/preflight.rs", "\"unwell\""), [""; 0]);
    }

    #[test]
    fn doc_comments_begin_with_a_verb_or_a_noun() {
        assert_eq!(found("a.rs", "/// Is a slot.\nstruct Slot;").len(), 1);
        assert_eq!(
            found("a.rs", "    /// Whether it runs.\n    pub runs: bool,").len(),
            1
        );
        assert_eq!(
            found(
                "a.rs",
                "/// A slot.\n/// Is committed, or on trial.\nstruct Slot;"
            ),
            [""; 0]
        );
        assert_eq!(found("a.md", "/// Is a slot."), [""; 0]);
    }
}
