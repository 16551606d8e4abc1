//! Keeps the API's reference current.
//!
//! `UPDATE_EXPECT=1 cargo test -p api` writes it again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto};
use protox::Compiler;

/// A file, and the comments in it by the path of what they belong to.
struct File {
    descriptor: FileDescriptorProto,
    comments: BTreeMap<Vec<i32>, String>,
}

/// Numbers of the fields of descriptors, which paths to comments are made of.
const MESSAGES: i32 = 4;
const ENUMS: i32 = 5;
const SERVICES: i32 = 6;
const FIELDS: i32 = 2;

fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let mut names: Vec<PathBuf> = std::fs::read_dir(root.join("bedplate/v1alpha1"))
        .expect("the folder of protos")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    names.sort();
    let mut compiler = Compiler::new([&root]).expect("a compiler");
    compiler
        .include_source_info(true)
        .open_files(names)
        .expect("protos that compile");
    let files = compiler.file_descriptor_set().file.into_iter();
    let ours = files.filter(|file| file.package().ends_with(api::VERSION));
    ours.map(File::new).collect()
}

impl File {
    fn new(descriptor: FileDescriptorProto) -> Self {
        let info = descriptor.source_code_info.clone().unwrap_or_default();
        let comments = info.location.into_iter().filter_map(|location| {
            let text = location.leading_comments?;
            Some((
                location.path,
                text.split_whitespace().collect::<Vec<_>>().join(" "),
            ))
        });
        Self {
            comments: comments.collect(),
            descriptor,
        }
    }

    fn comment(&self, path: &[i32]) -> &str {
        self.comments.get(path).map_or("", String::as_str)
    }

    fn services(&self, page: &mut String) {
        for (s, service) in (0..).zip(&self.descriptor.service) {
            write!(
                page,
                "\n## {}\n\n{}\n\n",
                service.name(),
                self.comment(&[SERVICES, s])
            )
            .expect("a string");
            page.push_str(
                "| method | request | response | least role | without certificate | |\n|---|---|---|---|---|---|\n",
            );
            for (m, method) in (0..).zip(&service.method) {
                let path = format!(
                    "/{}.{}/{}",
                    self.descriptor.package(),
                    service.name(),
                    method.name()
                );
                let api::Method { role, open, .. } =
                    api::method(&path).expect("every method is in the table");
                let many = |stream| if stream { "stream of " } else { "" };
                writeln!(
                    page,
                    "| {} | {}{} | {}{} | {role} | {} | {} |",
                    method.name(),
                    many(method.client_streaming()),
                    link(method.input_type()),
                    many(method.server_streaming()),
                    link(method.output_type()),
                    match open {
                        api::Open::Never => "never",
                        api::Open::InMaintenance => "in maintenance mode",
                        api::Open::WhenLocked => "in maintenance mode, when locked",
                    },
                    self.comment(&[SERVICES, s, FIELDS, m]),
                )
                .expect("a string");
            }
        }
    }

    fn types(&self, page: &mut String) {
        for (m, message) in (0..).zip(&self.descriptor.message_type) {
            self.message(page, m, message);
        }
        for (e, enumeration) in (0..).zip(&self.descriptor.enum_type) {
            self.enumeration(page, e, enumeration);
        }
    }

    fn message(&self, page: &mut String, m: i32, message: &DescriptorProto) {
        // Most requests ask nothing: a heading without a table would only be in the way.
        if message.field.is_empty() {
            return;
        }
        write!(page, "\n### {}\n\n", message.name()).expect("a string");
        let comment = self.comment(&[MESSAGES, m]);
        if !comment.is_empty() {
            write!(page, "{comment}\n\n").expect("a string");
        }
        page.push_str("| field | type | |\n|---|---|---|\n");
        for (f, field) in (0..).zip(&message.field) {
            let comment = self.comment(&[MESSAGES, m, FIELDS, f]);
            writeln!(page, "| {} | {} | {comment} |", field.name(), kind(field)).expect("a string");
        }
    }

    fn enumeration(&self, page: &mut String, e: i32, enumeration: &EnumDescriptorProto) {
        write!(
            page,
            "\n### {}\n\n{}\n\n",
            enumeration.name(),
            self.comment(&[ENUMS, e])
        )
        .expect("a string");
        page.push_str("| value | number | |\n|---|---|---|\n");
        for (v, value) in (0..).zip(&enumeration.value) {
            let comment = self.comment(&[ENUMS, e, FIELDS, v]);
            writeln!(page, "| {} | {} | {comment} |", value.name(), value.number()).expect("a string");
        }
    }
}

fn link(full: &str) -> String {
    let name = full.rsplit('.').next().unwrap_or(full);
    format!("`{name}`")
}

fn kind(field: &FieldDescriptorProto) -> String {
    let list = if field.label() == Label::Repeated {
        "list of "
    } else {
        ""
    };
    let name = match field.r#type() {
        Type::Message | Type::Enum => link(field.type_name()),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    format!("{list}{name}")
}

fn page() -> String {
    let mut page = format!(
        "<!-- Generated from the protos: `UPDATE_EXPECT=1 cargo test -p api`. Do not edit. -->\n\
         # API reference\n\n\
         gRPC on port {}, package `bedplate.{}`, over TLS 1.3 with client certificates; roles, \
         maintenance mode and certificates are described in [security](../security.md). Besides the services below, a node serves \
         `grpc.health.v1.Health` and `grpc.reflection.v1.ServerReflection`, both for readers and in maintenance mode.\n\n\
         A request has at most {} KiB. Errors use the standard codes; `INVALID_ARGUMENT` for a machine config lists each error as a \
         `google.rpc.BadRequest` detail.\n",
        api::PORT,
        api::VERSION,
        api::MAX_MESSAGE / 1024,
    );
    let files = files();
    for file in &files {
        file.services(&mut page);
    }
    page.push_str("\n## Messages\n");
    for file in &files {
        file.types(&mut page);
    }
    page
}

#[test]
fn the_reference_is_current() {
    golden::check("api", "docs/reference/api.md", &page());
}

#[test]
fn everything_has_a_comment_that_says_more_than_its_name() {
    let missing: Vec<String> = files()
        .iter()
        .flat_map(|file| {
            (0..).zip(&file.descriptor.service).flat_map(move |(s, service)| {
                (0..).zip(&service.method).filter_map(move |(m, method)| {
                    let there = !file.comment(&[SERVICES, s, FIELDS, m]).is_empty();
                    (!there).then(|| format!("{}.{}", service.name(), method.name()))
                })
            })
        })
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}
