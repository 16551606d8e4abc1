//! Asks before a disk is overwritten.

use std::io::{self, BufRead, IsTerminal};

use crate::safety::Caution;

/// The consent that the user gave on the command line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Consent {
    /// `--yes`.
    pub yes: bool,
    /// `--allow-fixed`, and its value.
    pub allow_fixed: Option<Option<String>>,
}

/// Why there is no consent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A built-in disk, without `--allow-fixed`.
    #[error("{target}: {why}. If it is the right one, add --allow-fixed={word}")]
    Fixed {
        /// The disk.
        target: String,
        /// Why it needs more than a yes.
        why: String,
        /// What to add.
        word: String,
    },
    /// The value does not match.
    #[error("{target} is not {said:?} but {word:?}: nothing was written")]
    OtherDisk {
        /// The disk.
        target: String,
        /// What the user said.
        said: String,
        /// The expected value.
        word: String,
    },
    /// There is no terminal.
    #[error("nothing was written: there is no terminal to ask on; add --yes to go ahead")]
    NoTerminal,
    /// The answer was no.
    #[error("nothing was written")]
    No,
}

/// The user at the terminal.
pub(crate) trait Person {
    /// Asks, and returns the answer; `None` when nobody is there.
    fn ask(&mut self, question: &str) -> Option<String>;
}

/// Standard input.
pub(crate) struct Terminal;

impl Person for Terminal {
    fn ask(&mut self, question: &str) -> Option<String> {
        if !io::stdin().is_terminal() {
            return None;
        }
        stdio::ask(format_args!("{question} "));
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).ok()?;
        Some(answer.trim().to_owned())
    }
}

/// Returns if the user consents to losing what is named, such as everything, on the target.
pub(crate) fn consent(
    target: &str,
    loses: &str,
    caution: Option<&Caution>,
    said: &Consent,
    person: &mut dyn Person,
) -> Result<(), Refused> {
    if let Some(Caution { why, word }) = caution {
        let fixed = || Refused::Fixed {
            target: target.into(),
            why: why.clone(),
            word: word.clone(),
        };
        let typed = match &said.allow_fixed {
            None => return Err(fixed()),
            Some(Some(typed)) => typed.clone(),
            Some(None) => {
                let question = format!("{target}: {why}. Type {word} to overwrite it:");
                person.ask(&question).ok_or_else(fixed)?
            }
        };
        if typed != *word {
            return Err(Refused::OtherDisk {
                target: target.into(),
                said: typed,
                word: word.clone(),
            });
        }
        // The user has just typed the name of the disk, which is consent.
        if matches!(said.allow_fixed, Some(None)) {
            return Ok(());
        }
    }
    if said.yes {
        return Ok(());
    }
    match person.ask(&format!("{loses} on {target} will be lost. Continue? [y/N]")) {
        None => Err(Refused::NoTerminal),
        Some(answer) if ["y", "yes"].contains(&answer.to_lowercase().as_str()) => Ok(()),
        Some(_) => Err(Refused::No),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A user with one answer, or none.
    struct Says(Option<&'static str>);

    impl Person for Says {
        fn ask(&mut self, _: &str) -> Option<String> {
            self.0.map(str::to_owned)
        }
    }

    fn said(yes: bool, allow_fixed: Option<Option<&str>>) -> Consent {
        Consent {
            yes,
            allow_fixed: allow_fixed.map(|word| word.map(str::to_owned)),
        }
    }

    #[test]
    fn a_card_takes_a_yes() {
        let ask = |yes, answer| {
            consent(
                "/dev/sdb",
                "Everything",
                None,
                &said(yes, None),
                &mut Says(answer),
            )
        };
        assert_eq!(ask(true, None), Ok(()));
        assert_eq!(ask(false, Some("Y")), Ok(()));
        assert_eq!(ask(false, Some("")), Err(Refused::No));
        assert_eq!(ask(false, Some("no")), Err(Refused::No));
        assert_eq!(ask(false, None), Err(Refused::NoTerminal));
    }

    #[test]
    fn a_built_in_disk_takes_its_name() {
        let caution = Caution {
            why: "it is built in".into(),
            word: "4711".into(),
        };
        let ask = |yes, word, answer| {
            consent(
                "/dev/sda",
                "Everything",
                Some(&caution),
                &said(yes, word),
                &mut Says(answer),
            )
        };
        assert!(matches!(ask(true, None, Some("y")), Err(Refused::Fixed { .. })));
        assert!(matches!(ask(true, Some(None), None), Err(Refused::Fixed { .. })));
        assert!(matches!(
            ask(true, Some(None), Some("y")),
            Err(Refused::OtherDisk { .. })
        ));
        assert!(matches!(
            ask(true, Some(Some("4712")), None),
            Err(Refused::OtherDisk { .. })
        ));
        assert_eq!(ask(false, Some(None), Some("4711")), Ok(()));
        assert_eq!(ask(true, Some(Some("4711")), None), Ok(()));
        assert_eq!(ask(false, Some(Some("4711")), None), Err(Refused::NoTerminal));
    }
}
