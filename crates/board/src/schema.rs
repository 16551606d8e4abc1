//! JSON Schema of the two kinds of file, for editors.

use crate::document::{Overlay, RawBoard};

/// Gives the JSON Schema of a board file, as pretty JSON with a final newline.
pub fn board() -> String {
    pretty(&schemars::schema_for!(RawBoard))
}

/// Gives the JSON Schema of an overlay file, as pretty JSON with a final newline.
pub fn overlay() -> String {
    pretty(&schemars::schema_for!(Overlay))
}

fn pretty(schema: &schemars::Schema) -> String {
    let text = serde_json::to_string_pretty(schema).expect("a schema has only string keys");
    text + "\n"
}
