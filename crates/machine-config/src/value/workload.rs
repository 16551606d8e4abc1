//! Texts of workloads: images, paths, devices, users, amounts.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::{NotA, is_authority};

/// The longest reference, as containerd and registries have it.
const LONGEST_REFERENCE: usize = 255;
/// The longest path.
const LONGEST_PATH: usize = 1024;
/// The registry of references that name none.
const DEFAULT_REGISTRY: &str = "docker.io";

checked_text!(
    /// The reference of an image, as `podman pull` takes it. Without a registry it is one of `docker.io`.
    ImageReference, is_reference,
    "the reference of an image; expected [REGISTRY/]NAME[:TAG][@sha256:DIGEST] in lower case, such as registry.example.org/camera:1.4",
    r"^[a-z0-9][a-zA-Z0-9._:/@\[\]-]*$",
    "The reference of an image: [REGISTRY/]NAME[:TAG][@sha256:DIGEST]."
);
checked_text!(
    /// The host of a registry with its port, if any: what stands before the first slash of a reference.
    RegistryHost, is_registry,
    "a registry; expected HOST or HOST:PORT, such as registry.example.org:5000, without https:// and without a path",
    r"^[^/\s]+$",
    "The host of a registry, with its port if it has one."
);
checked_text!(
    /// The address of a mirror, without a path.
    MirrorAddress, is_mirror,
    "the address of a mirror; expected https://HOST[:PORT] or http://HOST[:PORT], without user, password and path",
    r"^https?://[^/@\s]+$",
    "An address of the form https://HOST:PORT or http://HOST:PORT."
);
checked_text!(
    /// An absolute path in a container.
    ContainerPath, is_path,
    "a path; expected one from the root such as /data, without . and .. and a slash at its end",
    r"^(/[^/\x00-\x1f]+)+$",
    "A path from the root, such as /data, without . and .."
);
checked_text!(
    /// The path of a file on DATA.
    DataPath, is_data_path,
    "a file on DATA; expected a path below /var such as /var/lib/workloads/images/camera.tar, without . and ..",
    r"^/var(/[^/\x00-\x1f]+)+$",
    "The path of a file below /var, where DATA is."
);
checked_text!(
    /// The name of a folder on DATA that is mounted into containers.
    VolumeName, is_volume,
    "the name of a volume; expected letters, digits, dots, hyphens and underscores, with slashes between such parts",
    r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$",
    "The name of a folder on DATA: letters, digits, dots, hyphens and underscores, with slashes between such parts."
);
checked_text!(
    /// The path of a device of the node.
    DevicePath, is_device,
    "a device; expected a path below /dev such as /dev/ttyUSB0",
    r"^/dev(/[A-Za-z0-9._:-]+)+$",
    "The path of a device, such as /dev/ttyUSB0."
);
checked_text!(
    /// A USB device by vendor and product, as `lsusb` shows them.
    UsbId, is_usb,
    "a USB device; expected VENDOR:PRODUCT in lower-case hexadecimal digits as lsusb shows it, such as 10c4:ea60, in quotes",
    r"^[0-9a-f]{4}:[0-9a-f]{4}$",
    "A USB device: vendor and product as lsusb shows them, such as 10c4:ea60."
);
checked_text!(
    /// The name of an environment variable.
    VariableName, is_variable,
    "the name of a variable; expected letters, digits and underscores, not starting with a digit",
    r"^[A-Za-z_][A-Za-z0-9_.-]{0,254}$",
    "The name of an environment variable."
);
checked_text!(
    /// The user of a container by numbers.
    ContainerUser, is_user,
    "a user; expected numbers in quotes, \"UID\" or \"UID:GID\", such as \"1000:1000\"",
    r"^[0-9]{1,10}(:[0-9]{1,10})?$",
    "A user by number, UID or UID:GID."
);

impl ImageReference {
    /// Returns the full reference: registry, name, and tag or digest. Two references of the same image may differ as
    /// written, and are the same here.
    pub fn full(&self) -> String {
        let (registry, name) = self.split();
        let name = match (registry, name.contains('/')) {
            (DEFAULT_REGISTRY, false) => format!("library/{name}"),
            _ => name.to_owned(),
        };
        let last = name.rsplit('/').next().unwrap_or_default();
        let tag = if last.contains([':', '@']) { "" } else { ":latest" };
        format!("{registry}/{name}{tag}")
    }

    /// Returns the registry, such as `docker.io` or `registry.example.org:5000`.
    pub fn registry(&self) -> &str {
        self.split().0
    }

    /// Returns the digest that pins the image, if there is one.
    pub fn digest(&self) -> Option<&str> {
        Some(self.0.split_once('@')?.1)
    }

    fn split(&self) -> (&str, &str) {
        match self.0.split_once('/') {
            // By the rule of every tool: what could not be part of a name is a registry.
            Some((first, rest)) if first.contains(['.', ':', '[']) || first == "localhost" => (first, rest),
            _ => (DEFAULT_REGISTRY, &self.0),
        }
    }
}

impl ContainerUser {
    /// Returns the numbers of the user and of the group; a user without a group has group 0.
    pub fn ids(&self) -> (u32, u32) {
        let (user, group) = self.0.split_once(':').unwrap_or((&self.0, "0"));
        (user.parse().unwrap_or(0), group.parse().unwrap_or(0))
    }
}

fn is_reference(text: &str) -> bool {
    if text.len() > LONGEST_REFERENCE {
        return false;
    }
    let (rest, digest) = text
        .split_once('@')
        .map_or((text, None), |(rest, digest)| (rest, Some(digest)));
    let reference = ImageReference(rest.to_owned());
    let (registry, name) = reference.split();
    let (path, tag) = match name.rsplit_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (name, None),
    };
    is_registry(registry)
        && path.split('/').all(is_component)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest)
}

/// Letters and digits, with single separators between: the distribution specification's path component.
fn is_component(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let allowed =
        |between: &str| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-');
    let ends = |byte: Option<&u8>| byte.is_some_and(|byte| plain(*byte));
    ends(text.as_bytes().first()) && ends(text.as_bytes().last()) && separators.into_iter().all(allowed)
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64
            && hex
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

fn is_registry(text: &str) -> bool {
    text.len() <= 253 && is_authority(text) && !text.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_mirror(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(is_authority)
}

fn is_path(text: &str) -> bool {
    let part =
        |part: &str| !part.is_empty() && part != "." && part != ".." && !part.chars().any(char::is_control);
    text.len() <= LONGEST_PATH
        && text
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(part))
}

fn is_data_path(text: &str) -> bool {
    is_path(text) && text.starts_with("/var/")
}

fn is_volume(text: &str) -> bool {
    let part = |part: &str| {
        part.bytes()
            .next()
            .is_some_and(|first| first.is_ascii_alphanumeric() || first == b'_')
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    text.len() <= 255 && text.split('/').all(part)
}

fn is_device(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-' | b'/');
    text.starts_with("/dev/") && is_path(text) && text.bytes().all(allowed)
}

fn is_usb(text: &str) -> bool {
    let hex = |part: &str| {
        part.len() == 4
            && part
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    text.split_once(':')
        .is_some_and(|(vendor, product)| hex(vendor) && hex(product))
}

fn is_variable(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 255
        && bytes
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn is_user(text: &str) -> bool {
    let number = |text: &str| {
        text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u32>().is_ok_and(|number| number < u32::MAX)
    };
    let (user, group) = text.split_once(':').unwrap_or((text, "0"));
    number(user) && number(group)
}

/// A number of bytes, written `64MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// Makes a size of so many bytes.
    pub const fn of(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Returns the number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quantity::show_bytes(self.0))
    }
}

impl FromStr for ByteSize {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        quantity::bytes(text)
            .map(Self)
            .map_err(|_| NotA("a size; expected a number and a unit, such as 64MiB"))
    }
}

as_text!(
    ByteSize,
    quantity::BYTES_PATTERN,
    "A size: a number of bytes with its unit, such as 64MiB."
);

/// An amount of processor time in thousandths of one processor, written `500m`, `1.5` or `2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Processors(u32);

impl Processors {
    /// The most that can be written: 1024 processors.
    const MOST: u32 = 1_024_000;

    /// Returns thousandths of a processor.
    pub const fn milli(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Processors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}m", self.0)
    }
}

impl FromStr for Processors {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        let wrong = NotA(
            "an amount of processors; expected thousandths such as 500m, or a number such as 1.5, up to 1024",
        );
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let milli = match text.strip_suffix('m') {
            Some(milli) if digits(milli) => milli.parse::<u32>().ok(),
            Some(_) => None,
            None => {
                let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
                let fine = digits(whole) && digits(part) && (1..=3).contains(&part.len());
                let padded = format!("{part:0<3}");
                let (whole, part) = (whole.parse::<u32>().ok(), padded.parse::<u32>().ok());
                let sum = whole
                    .zip(part)
                    .and_then(|(whole, part)| whole.checked_mul(1000)?.checked_add(part));
                sum.filter(|_| fine)
            }
        };
        let milli = milli.filter(|milli| (1..=Self::MOST).contains(milli));
        milli.map(Self).ok_or(wrong)
    }
}

as_text!(
    Processors,
    r"^([0-9]+m|[0-9]+(\.[0-9]{1,3})?)$",
    "An amount of processors: thousandths such as 500m, or a number such as 1.5."
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reference_names_its_registry_its_tag_and_its_digest() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (text, full, registry) in [
            ("nginx", "docker.io/library/nginx:latest".to_owned(), "docker.io"),
            (
                "nginx:1.27",
                "docker.io/library/nginx:1.27".to_owned(),
                "docker.io",
            ),
            ("me/app", "docker.io/me/app:latest".to_owned(), "docker.io"),
            ("localhost/app:1", "localhost/app:1".to_owned(), "localhost"),
            (
                "127.0.0.1:5000/a/b-c__d",
                "127.0.0.1:5000/a/b-c__d:latest".to_owned(),
                "127.0.0.1:5000",
            ),
            ("[::1]:5000/a:1", "[::1]:5000/a:1".to_owned(), "[::1]:5000"),
            (
                &format!("r.example.org/a:1@{digest}"),
                format!("r.example.org/a:1@{digest}"),
                "r.example.org",
            ),
        ] {
            let reference: ImageReference = text.parse().unwrap();
            assert_eq!(
                (reference.full(), reference.registry()),
                (full, registry),
                "{text}"
            );
        }
        for wrong in [
            "",
            "Nginx",
            "a b",
            "https://a.b/c",
            "a..b",
            "a/",
            "/a",
            "a:",
            "a:-1",
            "a@sha256:12",
            "r.org:x/a",
            "a:b:c",
            "a--/b",
            "r.example.org/",
            "a@b@c",
        ] {
            assert!(wrong.parse::<ImageReference>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn paths_lead_nowhere_else() {
        for wrong in ["", "/", "a", "/a/", "/../a", "/a//b", "/a/./b", "/a\n"] {
            assert!(wrong.parse::<ContainerPath>().is_err(), "{wrong}");
        }
        assert!("/srv/my data".parse::<ContainerPath>().is_ok());
        assert!("/var/lib/a.tar".parse::<DataPath>().is_ok());
        for wrong in ["/etc/shadow", "/var", "/var/../etc/shadow"] {
            assert!(wrong.parse::<DataPath>().is_err(), "{wrong}");
        }
        assert!("camera/media".parse::<VolumeName>().is_ok());
        for wrong in ["", "/a", "../a", "a/../b", "a/", ".hidden", "a b"] {
            assert!(wrong.parse::<VolumeName>().is_err(), "{wrong}");
        }
        assert!("/dev/bus/usb/001/002".parse::<DevicePath>().is_ok());
        for wrong in ["/dev", "/dev/../etc/shadow", "ttyUSB0", "/dev/a b"] {
            assert!(wrong.parse::<DevicePath>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn small_texts_have_one_form() {
        assert_eq!("1000:50".parse::<ContainerUser>().unwrap().ids(), (1000, 50));
        assert_eq!("7".parse::<ContainerUser>().unwrap().ids(), (7, 0));
        for wrong in ["", "root", "-1", "1:", "1:2:3", "4294967295"] {
            assert!(wrong.parse::<ContainerUser>().is_err(), "{wrong}");
        }
        for (text, milli) in [("500m", 500), ("1.5", 1500), ("2", 2000), ("0.05", 50)] {
            assert_eq!(text.parse::<Processors>().unwrap().milli(), milli, "{text}");
        }
        for wrong in ["", "0", "0m", "m", "1.2345", "-1", "1,5", "2000", "+1", ".5"] {
            assert!(wrong.parse::<Processors>().is_err(), "{wrong}");
        }
        assert!("10c4:ea60".parse::<UsbId>().is_ok() && "10C4:EA60".parse::<UsbId>().is_err());
        assert!("https://m.example.org:5000".parse::<MirrorAddress>().is_ok());
        assert!("https://m.example.org/v2".parse::<MirrorAddress>().is_err());
    }

    proptest! {
        #[test]
        fn no_input_panics(text in "[a-z0-9A-Z:/@.\\[\\]_ä-]{0,40}") {
            if let Ok(reference) = text.parse::<ImageReference>() {
                let full: ImageReference = reference.full().parse().unwrap();
                prop_assert_eq!(full.full(), reference.full());
                prop_assert_eq!(full.registry(), reference.registry());
            }
            let _ = (text.parse::<RegistryHost>(), text.parse::<ContainerUser>(), text.parse::<Processors>());
        }

        #[test]
        fn amounts_round_trip(milli in 1_u32..=Processors::MOST, bytes in any::<u64>()) {
            prop_assert_eq!(Processors(milli).to_string().parse(), Ok(Processors(milli)));
            prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }
    }
}
