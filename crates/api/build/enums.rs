//! The names of enumerations, for [`Named`](../src/names.rs).

use std::error::Error;
use std::fmt::Write as _;

use prost_types::FileDescriptorSet;

/// Writes an implementation of `Named` for every enumeration as Rust code.
///
/// # Errors
///
/// A value whose name does not begin with that of its type.
pub fn names(described: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    for enumeration in described.file.iter().flat_map(|file| &file.enum_type) {
        let name = enumeration.name();
        let prefix = format!("{}_", upper_snake(name));
        for value in &enumeration.value {
            if !value.name().starts_with(&prefix) {
                return Err(format!("{} of {name} does not begin with {prefix}", value.name()).into());
            }
        }
        write!(
            code,
            "impl Named for crate::v1alpha1::{name} {{\n    \
                 const PREFIX: &'static str = {prefix:?};\n\n    \
                 fn proto_name(&self) -> &'static str {{\n        self.as_str_name()\n    }}\n}}\n\n"
        )?;
    }
    Ok(code)
}

/// Writes `ApplyMode` as `APPLY_MODE`.
fn upper_snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_uppercase());
    }
    snake
}
