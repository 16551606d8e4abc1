//! The table of methods: who may call each, read from the option `(bedplate.access)` in the `.proto` files.

use std::error::Error;
use std::fmt::Write as _;

use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, ReflectMessage as _};

/// Name of the option.
const OPTION: &str = "bedplate.access";

/// Methods of others that a node serves, too: their `.proto` files cannot have our option. All are reads.
const STANDARD: [&str; 3] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
];

/// Writes the table `METHODS` as Rust code.
///
/// # Errors
///
/// A method without the option, or without a role in it.
pub fn methods(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let option = pool
        .get_extension_by_name(OPTION)
        .ok_or("access.proto is not imported")?;
    let mut code = String::from(
        "/// Every method that a node serves. Others are refused.\npub const METHODS: &[Method] = &[\n",
    );
    // In an order of their own: that of the files changes when one imports another.
    let mut services: Vec<_> = pool.services().collect();
    services.sort_by(|a, b| a.full_name().cmp(b.full_name()));
    for method in services
        .iter()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
    {
        let path = path(&method);
        let options = method.options();
        if !options.has_extension(&option) {
            let hint = format!("add `option ({OPTION}) = {{role: …}}`");
            return Err(format!("{path} does not say who may call it: {hint}").into());
        }
        let access = options.get_extension(&option);
        code.push_str(&row(
            &path,
            access.as_message().ok_or("the option is not a message")?,
        )?);
    }
    for path in STANDARD {
        write_row(&mut code, path, "Reader", "InMaintenance", 0, false)?;
    }
    code.push_str("];\n");
    Ok(code)
}

fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// Writes the row of a method with this option.
fn row(path: &str, access: &DynamicMessage) -> Result<String, Box<dyn Error>> {
    let (role, open) = (variant(access, "role")?, variant(access, "open")?);
    if role == "Unspecified" {
        return Err(format!("the option of {path} names no role").into());
    }
    let largest = access.get_field_by_name("max_request_bytes");
    let largest = largest.and_then(|value| value.as_u32()).unwrap_or(0);
    let paced = access.get_field_by_name("paced");
    let paced = paced.and_then(|value| value.as_bool()).unwrap_or(false);
    let mut code = String::new();
    write_row(&mut code, path, &role, &open, largest, paced)?;
    Ok(code)
}

fn write_row(
    code: &mut String,
    path: &str,
    role: &str,
    open: &str,
    largest: u32,
    paced: bool,
) -> std::fmt::Result {
    let largest = match largest {
        0 => "crate::MAX_SMALL_MESSAGE".to_owned(),
        largest => largest.to_string(),
    };
    writeln!(
        code,
        "    Method {{ path: {path:?}, role: Role::{role}, open: Open::{open}, max_request_bytes: {largest}, paced: {paced} }},"
    )
}

/// Reads an enumeration field as the Rust variant of the same name: `OPEN_WHEN_LOCKED` is `WhenLocked`.
fn variant(access: &DynamicMessage, field: &str) -> Result<String, Box<dyn Error>> {
    let descriptor = access.descriptor().get_field_by_name(field);
    let kind = descriptor.map(|field| field.kind());
    let number = access.get_field_by_name(field);
    let value = kind
        .as_ref()
        .and_then(|kind| kind.as_enum())
        .zip(number.and_then(|number| number.as_enum_number()))
        .and_then(|(kind, number)| kind.get_value(number));
    let value = value.ok_or_else(|| format!("the option has no value of {field} that is known"))?;
    Ok(value.name().split('_').skip(1).map(capitalized).collect())
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    format!("{first}{}", rest.to_ascii_lowercase())
}
