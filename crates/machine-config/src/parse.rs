//! The only way from text to a checked config.

use yaml::{Node, wrong_header};

use crate::decode::{Cursor, Notes};
use crate::fault::{Fault, Faults};
use crate::v1alpha1::{self, MachineConfig, Marks};

/// The longest document, in bytes.
pub const LIMIT: usize = 512 * 1024;

/// Returns the text of a document in any common encoding of editors, or why it is not text.
///
/// # Errors
///
/// One fault: too long, an encoding other than UTF-8, or not text.
pub fn decode(bytes: &[u8]) -> Result<&str, Faults> {
    Ok(text::decode(bytes, LIMIT)?)
}

/// Reads a machine config, or reports everything that is wrong with it.
///
/// The result obeys every rule of its version: nobody needs to check it again.
pub fn parse(text: &str) -> Result<MachineConfig, Faults> {
    parse_with(text, Marks::Refuse)
}

/// Reads a machine config in which [`crate::secret::REDACTED`] stands for the same secret of `previous`.
///
/// This way a config that was read from a node, with its secrets redacted, can be edited and applied again.
pub fn parse_over(text: &str, previous: &MachineConfig) -> Result<MachineConfig, Faults> {
    parse_with(text, Marks::Replace(previous))
}

pub(crate) fn parse_with(text: &str, marks: Marks<'_>) -> Result<MachineConfig, Faults> {
    if text.len() > LIMIT {
        let message = format!(
            "the document has {} bytes; at most {LIMIT} are allowed",
            text.len()
        );
        return Err(Faults::one(0, "", message));
    }
    read(text.trim_start_matches('\u{feff}'), marks).map_err(|faults| {
        // The other faults follow from a character that looks like a space.
        let odd = ::text::odd_blanks(text).map(|odd| Fault::at(odd.line, odd.message()));
        Faults::from_list(odd.collect()).unwrap_or(faults)
    })
}

fn read(text: &str, marks: Marks<'_>) -> Result<MachineConfig, Faults> {
    let root = yaml::read(text)?;
    let version = version(&root)?;
    let notes = Notes::default();
    let config = match version {
        Version::V1Alpha1 => v1alpha1::decode(Cursor::root(&root, &notes), marks),
    };
    notes.finish(config)
}

/// The versions of the document that can be read.
enum Version {
    V1Alpha1,
}

/// Reads only `apiVersion` and `kind`: they decide how the rest is read, so a wrong one is the only fault reported.
fn version(root: &Node) -> Result<Version, Faults> {
    let wrong = wrong_header(root, v1alpha1::API_VERSION, v1alpha1::KIND);
    Faults::from_list(wrong).map_or(Ok(Version::V1Alpha1), Err)
}
