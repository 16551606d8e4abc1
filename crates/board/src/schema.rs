//! JSON Schema of each kind of file, for editors.

use crate::document::{ModuleList, Overlay, RawBoard};

/// Returns the JSON Schema of a board file, as pretty JSON with a final newline.
pub fn board() -> String {
    pretty(&schemars::schema_for!(RawBoard))
}

/// Returns the JSON Schema of an overlay file, as pretty JSON with a final newline.
pub fn overlay() -> String {
    pretty(&schemars::schema_for!(Overlay))
}

/// Returns the JSON Schema of a list of modules, as pretty JSON with a final newline.
pub fn module_list() -> String {
    pretty(&schemars::schema_for!(ModuleList))
}

fn pretty(schema: &schemars::Schema) -> String {
    let text = serde_json::to_string_pretty(schema).expect("a schema has only string keys");
    text + "\n"
}
