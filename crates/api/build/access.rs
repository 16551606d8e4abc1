//! The table of methods: who may call each, read from the option `(bedplate.access)` in the `.proto` files.

use std::error::Error;
use std::fmt::Write as _;

use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, ExtensionDescriptor, MethodDescriptor,
    ReflectMessage as _,
};

/// Name of the option.
const OPTION: &str = "bedplate.access";

/// Methods of others that a node serves, too: their `.proto` files cannot carry our option.
const STANDARD: [Method; 3] = [
    Method::read_only("/grpc.health.v1.Health/Check"),
    Method::read_only("/grpc.health.v1.Health/Watch"),
    Method::read_only("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
];

/// One row of the table, as Rust code.
struct Method {
    path: std::borrow::Cow<'static, str>,
    role: std::borrow::Cow<'static, str>,
    open: std::borrow::Cow<'static, str>,
    max_request_bytes: u32,
}

impl Method {
    /// Returns a method for readers, and for everybody in maintenance mode.
    const fn read_only(path: &'static str) -> Self {
        use std::borrow::Cow::Borrowed;
        Self {
            path: Borrowed(path),
            role: Borrowed("Reader"),
            open: Borrowed("InMaintenance"),
            max_request_bytes: 0,
        }
    }

    /// Reads a method's option.
    fn read(method: &MethodDescriptor, option: &ExtensionDescriptor) -> Result<Self, Box<dyn Error>> {
        let service = method.parent_service();
        let path = format!("/{}/{}", service.full_name(), method.name());
        let options = method.options();
        if !options.has_extension(option) {
            return Err(format!(
                "{path} does not say who may call it: add `option ({OPTION}) = {{role: …}}`"
            )
            .into());
        }
        let access = options.get_extension(option);
        let access = access.as_message().ok_or("the option is not a message")?;
        let max_request_bytes = access.get_field_by_name("max_request_bytes");
        let max_request_bytes = max_request_bytes.and_then(|value| value.as_u32()).unwrap_or(0);
        let role = word(access, "role")?;
        if role == "Unspecified" {
            return Err(format!("{path} names no role").into());
        }
        Ok(Self {
            path: path.into(),
            role: role.into(),
            open: word(access, "open")?.into(),
            max_request_bytes,
        })
    }
}

/// Writes the tables `METHODS` and `LARGE` as Rust code.
pub fn tables(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let option = pool
        .get_extension_by_name(OPTION)
        .ok_or("access.proto is not imported")?;
    let mut methods = Vec::new();
    for service in pool.services() {
        for method in service.methods() {
            methods.push(Method::read(&method, &option)?);
        }
    }
    methods.extend(STANDARD);
    let mut code = String::from(
        "/// Every method a node serves: its path, the least role, and when callers without a certificate are answered.\n///\n\
         /// Methods that are not in this table are refused.\n\
         pub const METHODS: &[(&str, Role, Open)] = &[\n",
    );
    for method in &methods {
        writeln!(
            code,
            "    ({:?}, Role::{}, Open::{}),",
            method.path, method.role, method.open
        )?;
    }
    code.push_str(
        "];\n\n/// The methods whose requests may be larger than [`crate::MAX_SMALL_MESSAGE`].\n\
         const LARGE: &[(&str, usize)] = &[\n",
    );
    for method in methods.iter().filter(|method| method.max_request_bytes > 0) {
        writeln!(code, "    ({:?}, {}),", method.path, method.max_request_bytes)?;
    }
    code.push_str("];\n");
    Ok(code)
}

/// Reads an enumeration field as the Rust variant of the same name: `OPEN_WHEN_LOCKED` is `WhenLocked`.
fn word(access: &DynamicMessage, field: &str) -> Result<String, Box<dyn Error>> {
    let value = access
        .get_field_by_name(field)
        .ok_or("the option lacks a field")?;
    let number = value.as_enum_number().ok_or("the field is not an enumeration")?;
    let kind = access
        .descriptor()
        .get_field_by_name(field)
        .map(|field| field.kind());
    let kind: Option<EnumDescriptor> = kind.and_then(|kind| kind.as_enum().cloned());
    let value = kind
        .and_then(|kind| kind.get_value(number))
        .ok_or("an unknown value")?;
    let name = value.name().split('_').skip(1).map(capitalized);
    Ok(name.collect())
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    format!("{first}{}", rest.to_ascii_lowercase())
}
