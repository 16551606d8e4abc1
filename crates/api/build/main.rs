//! Compiles the `.proto` files in Rust: nobody needs protoc.

use std::error::Error;
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};

const INCLUDE: &str = "proto";
const FOLDER: &str = "proto/bedplate/v1alpha1";

#[expect(clippy::disallowed_macros, reason = "cargo reads what build scripts print")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={FOLDER}");
    let described = protox::compile(proto_files()?, [INCLUDE])?;

    let derive =
        r#"#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]"#;
    let mut builder = tonic_prost_build::configure()
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .message_attribute(".", derive);
    for (field, enumeration) in enum_fields(&described) {
        let name = enumeration.rsplit('.').next().unwrap_or_default();
        let attribute = format!(
            r#"#[cfg_attr(feature = "serde", serde(serialize_with = "crate::names::serialize::<{name}, _>"))]"#
        );
        builder = builder.field_attribute(field, attribute);
    }
    for choice in choices(&described) {
        builder = builder.enum_attribute(choice, derive);
    }
    builder.compile_fds(described.clone())?;

    // Reflection needs no comments: the agent carries the set in memory.
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
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

/// Finds the fields that hold an enumeration: prost makes them plain numbers, which nobody wants to read.
fn enum_fields(described: &FileDescriptorSet) -> Vec<(String, String)> {
    let fields = |package: &str, message: &DescriptorProto| -> Vec<(String, String)> {
        let path = format!(".{package}.{}", message.name());
        message
            .field
            .iter()
            .filter(|field| field.r#type() == Type::Enum)
            .map(|field| (format!("{path}.{}", field.name()), field.type_name().to_owned()))
            .collect()
    };
    described
        .file
        .iter()
        .flat_map(|file| {
            file.message_type
                .iter()
                .flat_map(|message| fields(file.package(), message))
        })
        .collect()
}

/// Finds the fields of which one at most is set: prost makes them enumerations of their own.
fn choices(described: &FileDescriptorSet) -> Vec<String> {
    let mut found = Vec::new();
    for file in &described.file {
        for message in &file.message_type {
            for choice in &message.oneof_decl {
                found.push(format!(
                    ".{}.{}.{}",
                    file.package(),
                    message.name(),
                    choice.name()
                ));
            }
        }
    }
    found
}

fn without_comments(mut described: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut described.file {
        file.source_code_info = None;
    }
    described
}
