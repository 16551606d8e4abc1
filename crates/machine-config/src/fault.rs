//! What is wrong with a document, and where.

use std::fmt;

pub use yaml::Fault;

/// All faults of a document, in the order of their lines. Never empty.
///
/// `Display` writes a sentence and one line per fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Returns the faults, or `None` when there are none.
    pub fn from_list(mut faults: Vec<Fault>) -> Option<Self> {
        faults.sort();
        faults.dedup();
        (!faults.is_empty()).then_some(Self(faults))
    }

    /// Makes a list of one fault.
    pub fn one(line: usize, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self(vec![Fault {
            line,
            path: path.into(),
            message: message.into(),
        }])
    }

    /// Returns the faults in the order of their lines.
    pub fn list(&self) -> &[Fault] {
        &self.0
    }

    /// Formats one line per fault in the form that editors can jump to: `FILE:LINE: PATH: MESSAGE`.
    pub fn in_file(&self, file: &str) -> String {
        let mut text = String::new();
        for fault in &self.0 {
            text.push_str(&format!(
                "{file}:{}: {}\n",
                fault.line.max(1),
                fault.without_line()
            ));
        }
        text
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl From<text::TextError> for Faults {
    fn from(error: text::TextError) -> Self {
        Self::one(error.line(), "", error.message())
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() == 1 { "fault" } else { "faults" };
        write!(f, "the machine config has {} {plural}:", self.0.len())?;
        for fault in &self.0 {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}
