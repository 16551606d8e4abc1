//! Checked texts: a value of these types has been validated.
//!
//! Every error completes the sentence `"TEXT" is not …`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// The error of a checked text: what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotA(&'static str);

/// Parses a checked text whose error has no context, as on a command line.
///
/// # Errors
///
/// A sentence that says what was expected.
pub fn argument<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("it is not {error}"))
}

/// Serializes a checked text as its text, and describes its form in the JSON Schema.
macro_rules! as_text {
    ($name:ident, $pattern:expr, $description:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(|error| serde::de::Error::custom(format!("{text:?} is not {error}")))
            }
        }

        #[cfg(any(test, feature = "schema"))]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern, "description": $description })
            }
        }
    };
}

/// A text that obeys a rule.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $rule:path, $expected:literal, $pattern:literal, $description:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NotA;

            fn from_str(text: &str) -> Result<Self, NotA> {
                if $rule(text) { Ok(Self(text.to_owned())) } else { Err(NotA($expected)) }
            }
        }

        as_text!($name, $pattern, $description);
    };
}

checked_text!(
    /// A host name: at most 63 characters, as the kernel's limit is 64.
    HostName, is_host_name,
    "a host name; expected letters, digits and hyphens, in parts divided by dots, 63 characters at most, and not localhost",
    r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$",
    "A host name of at most 63 characters: letters, digits, hyphens, dots."
);
checked_text!(
    /// A host name or an IP address.
    Host, is_host,
    "a host; expected a DNS name or an IP address",
    r"^[A-Za-z0-9:.-]{1,253}$",
    "A DNS name or an IP address."
);
checked_text!(
    /// The name of a network interface, by the kernel's rule.
    InterfaceName, is_interface_name,
    "an interface name; expected 1 to 15 characters without spaces, slashes and colons",
    r"^[^\s/:]{1,15}$",
    "The name of a network interface, such as eth0."
);
checked_text!(
    /// A line of the firmware's configuration file; a Raspberry Pi reads 98 characters of it.
    FirmwareLine, is_firmware_line,
    "a line for the firmware; expected 1 to 98 printable ASCII characters, without spaces at either end",
    r"^[!-~]([ -~]{0,96}[!-~])?$",
    "A line of the firmware's configuration file, such as dtparam=spi=on."
);
checked_text!(
    /// The name of a kernel module.
    ModuleName, is_module_name,
    "a module name; expected letters, digits, hyphens and underscores",
    r"^[A-Za-z0-9_-]{1,64}$",
    "The name of a kernel module."
);
checked_text!(
    /// The name of a cluster or service.
    Name, is_name,
    "a name; expected lower-case letters, digits and hyphens, starting and ending with a letter or digit, 63 at most",
    r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    "A name: lower-case letters, digits and hyphens, 63 at most."
);
checked_text!(
    /// Holds the domain under which a cluster's services have their names.
    DnsDomain, is_domain,
    "a DNS domain; expected lower-case names with dots between, such as cluster.local",
    r"^[a-z0-9]([a-z0-9.-]{0,178}[a-z0-9])?$",
    "A DNS domain in lower case, such as cluster.local."
);
checked_text!(
    /// The address of a cluster's API, without a path.
    Endpoint, is_endpoint,
    "an endpoint; expected https://HOST:PORT, with brackets around an IPv6 address",
    r"^https://[^/]+(:[0-9]+)?$",
    "An address of the form https://HOST:PORT."
);
checked_text!(
    /// The address of an HTTP proxy, without user and password.
    ProxyAddress, is_proxy,
    "a proxy; expected http://HOST:PORT, without user and password",
    r"^http://[^/@]+$",
    "An address of the form http://HOST:PORT."
);

mod address;
mod kubernetes;
mod networks;
mod pem;
mod schedule;
mod sysctl;
mod web;
mod workload;

pub use address::{IpPrefix, MacAddress};
pub use kubernetes::{
    Document, FeatureGate, FlagName, ImagePath, LabelKey, LabelValue, PluginName, TaintEffect, TaintValue,
};
pub use networks::{ClusterNetworks, NetworkFault, NetworkKind};
pub use pem::Certificate;
pub(crate) use pem::private_key;
pub use schedule::{ByteRate, TimeOfDay};
pub use sysctl::SysctlName;
pub use web::WebAddress;
pub use workload::{
    ByteSize, ContainerPath, ContainerUser, DataPath, DevicePath, ImageReference, MirrorAddress, Processors,
    RegistryHost, UsbId, VariableName, VolumeName,
};

fn is_firmware_line(text: &str) -> bool {
    let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    (1..=98).contains(&text.len()) && printable && text.trim() == text
}

fn is_host_name(text: &str) -> bool {
    // Every machine calls itself localhost, so a node of that name would be ambiguous.
    let is_local = text
        .split('.')
        .next()
        .is_some_and(|first| first.eq_ignore_ascii_case("localhost"));
    text.len() <= 63 && is_dns_name(text) && !is_local
}

fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A name whose last part is a number is a mistyped address: 10.0.0.300.
    let last_is_number = text
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= 253 && text.split('.').all(label) && !(last_is_number && text.contains('.'))
}

fn is_host(text: &str) -> bool {
    is_dns_name(text) || text.parse::<IpAddr>().is_ok()
}

fn is_interface_name(text: &str) -> bool {
    let allowed = |c: char| !c.is_whitespace() && !c.is_control() && c != '/' && c != ':';
    (1..=15).contains(&text.len()) && text.chars().all(allowed) && text != "." && text != ".."
}

fn is_module_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

fn is_name(text: &str) -> bool {
    let lower = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    lower && (1..=63).contains(&text.len()) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_domain(text: &str) -> bool {
    // Names of services stand in front of it, and the whole must stay within 253.
    text.len() <= 180 && is_dns_name(text) && !text.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_endpoint(text: &str) -> bool {
    text.strip_prefix("https://").is_some_and(is_authority)
}

fn is_proxy(text: &str) -> bool {
    text.strip_prefix("http://").is_some_and(is_authority)
}

/// Returns true if a text is a host with or without a port, as it stands in an address.
fn is_authority(authority: &str) -> bool {
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        let port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return port && address.parse::<Ipv6Addr>().is_ok();
    }
    match authority.split_once(':') {
        Some((host, port)) => is_host(host) && is_port(port),
        None => is_host(authority),
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// A length of time in whole seconds, written `90s`, `5m`, `2h` or `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(u32);

impl Period {
    /// Makes a period of some seconds.
    pub const fn seconds(seconds: u32) -> Self {
        Self(seconds)
    }

    /// Returns the same length of time as the standard library has it.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Self {
        period.duration()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quantity::show_time(self.duration()))
    }
}

impl FromStr for Period {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        let wrong =
            NotA("a length of time; expected a whole number with s, m, h or d behind it, such as 90s");
        let time = quantity::time(text).ok().filter(|time| time.subsec_nanos() == 0);
        let seconds = time.and_then(|time| u32::try_from(time.as_secs()).ok());
        seconds.map(Self).ok_or(wrong)
    }
}

as_text!(
    Period,
    quantity::TIME_PATTERN,
    "A length of time: a whole number and s, m, h or d, or a sum of such, as 1h30m."
);
