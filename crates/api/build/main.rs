//! Generates code from the `.proto` files, in Rust: protoc is not needed.
//!
//! Besides messages, clients and servers: the table of [`access`], and the names of [`enums`].

mod access;
mod enums;

use std::error::Error;
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_types::FileDescriptorSet;
use prost_types::field_descriptor_proto::Type;
use protox::Compiler;

const INCLUDE: &str = "proto";
const FOLDER: &str = "proto/bedplate/v1alpha1";
const PACKAGE: &str = "bedplate.v1alpha1";

const DERIVE: &str =
    r#"#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]"#;

#[expect(clippy::disallowed_macros, reason = "cargo reads what build scripts print")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={INCLUDE}");
    println!("cargo::rerun-if-changed=build");
    let mut compiler = Compiler::new([INCLUDE])?;
    compiler.include_source_info(true).open_files(proto_files()?)?;
    let described = ours(compiler.file_descriptor_set());

    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(
        out.join("methods.rs"),
        access::methods(&compiler.descriptor_pool())?,
    )?;
    std::fs::write(out.join("names.rs"), enums::names(&described)?)?;

    let mut builder = tonic_prost_build::configure()
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .message_attribute(".", DERIVE);
    for (field, enumeration) in enum_fields(&described) {
        let name = enumeration.rsplit('.').next().unwrap_or_default();
        let attribute = format!(
            r#"#[cfg_attr(feature = "serde", serde(serialize_with = "crate::names::serialize::<{name}, _>"))]"#
        );
        builder = builder.field_attribute(field, attribute);
    }
    for choice in choices(&described) {
        builder = builder.enum_attribute(choice, DERIVE);
    }
    builder.compile_fds(described.clone())?;

    // Reflection needs no comments: the agent carries the set in memory.
    std::fs::write(
        out.join("descriptors.bin"),
        without_comments(described).encode_to_vec(),
    )?;
    Ok(())
}

fn proto_files() -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(Path::new(FOLDER))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Returns only the package that clients see: options of methods are for the build alone.
fn ours(mut described: FileDescriptorSet) -> FileDescriptorSet {
    described.file.retain(|file| file.package() == PACKAGE);
    let names: Vec<String> = described.file.iter().map(|file| file.name().to_owned()).collect();
    for file in &mut described.file {
        file.dependency.retain(|name| names.contains(name));
        for method in file.service.iter_mut().flat_map(|service| &mut service.method) {
            method.options = None;
        }
    }
    described
}

/// Finds the fields that hold an enumeration: prost makes them plain numbers, which are unreadable in JSON.
fn enum_fields(described: &FileDescriptorSet) -> Vec<(String, String)> {
    let messages = described.file.iter().flat_map(|file| &file.message_type);
    let fields = messages.flat_map(|message| message.field.iter().map(move |field| (message.name(), field)));
    fields
        .filter(|(_, field)| field.r#type() == Type::Enum)
        .map(|(message, field)| {
            let path = format!(".{PACKAGE}.{message}.{}", field.name());
            (path, field.type_name().to_owned())
        })
        .collect()
}

/// Finds the groups of fields of which at most one is set: prost makes them enumerations.
fn choices(described: &FileDescriptorSet) -> Vec<String> {
    let messages = described.file.iter().flat_map(|file| &file.message_type);
    let choices = messages.flat_map(|message| message.oneof_decl.iter().map(move |choice| (message, choice)));
    choices
        .map(|(message, choice)| format!(".{PACKAGE}.{}.{}", message.name(), choice.name()))
        .collect()
}

fn without_comments(mut described: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut described.file {
        file.source_code_info = None;
    }
    described
}
