//! Text that must not be shown by accident.

use std::cell::Cell;
use std::fmt;

use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

/// The text that replaces a secret wherever it is shown.
pub const REDACTED: &str = "<redacted>";

thread_local! {
    /// Set only while [`reveal`] runs: serialising is one synchronous call, so nothing else can see it set.
    static REVEALED: Cell<bool> = const { Cell::new(false) };
}

/// A key or a token.
///
/// Printed, logged or serialised it reads [`REDACTED`]; the text is available only through [`Secret::expose`] and
/// [`crate::MachineConfig::to_yaml_with_secrets`]. Its memory is zeroed when it is dropped.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a text. The caller is responsible for erasing its own copies.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Returns the text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns true if this is only the redaction mark, as in a document that was read back.
    pub fn is_redacted(&self) -> bool {
        self.0.as_str() == REDACTED
    }
}

impl PartialEq for Secret {
    /// Compares in constant time for equal lengths.
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.0.as_bytes(), other.0.as_bytes());
        a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if REVEALED.get() { self.expose() } else { REDACTED })
    }
}

#[cfg(any(test, feature = "schema"))]
impl schemars::JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "writeOnly": true,
            "description": "A secret text: redacted wherever it is shown."
        })
    }
}

/// Runs `serialise` with secrets in plain text.
pub(crate) fn reveal<T>(serialise: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            REVEALED.set(self.0);
        }
    }
    let _restore = Restore(REVEALED.replace(true));
    serialise()
}
