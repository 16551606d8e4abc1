//! The small checked values that board and overlay files are made of.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Declares a string type that is checked by one function when it is parsed.
macro_rules! checked_string {
    ($(#[$doc:meta])* $name:ident, $pattern:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(#[schemars(regex(pattern = $pattern))] String);

        impl $name {
            /// Returns the text as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                let check: fn(&str) -> Result<String, String> = $check;
                check(text).map($name)
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_string!(
    /// Names a board, an overlay or a service: lower-case letters, digits and `-`.
    Name,
    r"^[a-z0-9][a-z0-9-]*$",
    |text| {
        let good = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if good && !text.is_empty() && !text.starts_with('-') {
            Ok(text.to_owned())
        } else {
            Err(format!("{text:?} is not a name: use lower-case letters, digits and '-'"))
        }
    }
);

checked_string!(
    /// Names a Debian package.
    PackageName,
    r"^[a-z0-9][a-z0-9.+-]+$",
    |text| {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
        if text.len() > 1 && text.chars().all(good) && !text.starts_with(['+', '-', '.']) {
            Ok(text.to_owned())
        } else {
            Err(format!("{text:?} is not a Debian package name, such as \"libc6\""))
        }
    }
);

checked_string!(
    /// Names a kernel module as the kernel does: `-` is written `_`, and there is no `.ko`.
    ModuleName,
    r"^[A-Za-z0-9_-]+$",
    |text| {
        if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
            Ok(text.replace('-', "_"))
        } else {
            Err(format!("{text:?} is not a kernel module name, such as \"virtio_blk\" (no path, no .ko)"))
        }
    }
);

checked_string!(
    /// One argument of the kernel command line, such as `console=ttyAMA0`.
    KernelArgument,
    r"^[!-~]+$",
    |text| {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(text.to_owned())
        } else {
            Err(format!("{text:?} is not one kernel argument: give each argument its own list entry"))
        }
    }
);

checked_string!(
    /// Names a Debian suite, such as `trixie-backports`.
    Suite,
    r"^[a-z][a-z0-9-]*$",
    |text| {
        let good = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if good && text.starts_with(|c: char| c.is_ascii_lowercase()) {
            Ok(text.to_owned())
        } else {
            Err(format!("{text:?} is not a Debian suite, such as \"trixie-backports\""))
        }
    }
);

checked_string!(
    /// One line of a firmware's configuration file, such as `dtparam=i2c_arm=on`; a Pi reads 98 characters of it.
    ConfigLine,
    r"^[ -~]{1,98}$",
    |text| {
        if !text.is_empty() && text.len() <= 98 && text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            Ok(text.to_owned())
        } else {
            Err(format!("{text:?} is not a line of at most 98 printable ASCII characters"))
        }
    }
);

/// An architecture, by Debian's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Arch {
    /// 64-bit ARM.
    Arm64,
    /// 64-bit x86.
    Amd64,
}

impl Arch {
    /// All architectures.
    pub const ALL: [Arch; 2] = [Arch::Arm64, Arch::Amd64];

    /// Returns Debian's name of the architecture.
    pub fn as_str(self) -> &'static str {
        match self {
            Arch::Arm64 => "arm64",
            Arch::Amd64 => "amd64",
        }
    }

    /// Returns the folder name that Debian puts shared libraries under.
    pub fn multiarch(self) -> &'static str {
        match self {
            Arch::Arm64 => "aarch64-linux-gnu",
            Arch::Amd64 => "x86_64-linux-gnu",
        }
    }

    /// Returns the file name that UEFI firmware starts from a medium when nothing else is set.
    pub fn efi_default(self) -> &'static str {
        match self {
            Arch::Arm64 => "BOOTAA64.EFI",
            Arch::Amd64 => "BOOTX64.EFI",
        }
    }

    /// Returns the architecture that this program itself runs on, when it is one we know.
    pub fn host() -> Option<Arch> {
        match std::env::consts::ARCH {
            "aarch64" => Some(Arch::Arm64),
            "x86_64" => Some(Arch::Amd64),
            _ => None,
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Arch {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Arch::ALL
            .into_iter()
            .find(|arch| arch.as_str() == text)
            .ok_or_else(|| format!("architecture {text:?} is not known; known: arm64, amd64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_refuse_what_could_leave_a_folder() {
        for wrong in ["../x", "a/b", "", "-a", "A", "a b"] {
            assert!(wrong.parse::<Name>().is_err(), "{wrong}");
        }
        assert_eq!("rpi3".parse::<Name>().unwrap().as_str(), "rpi3");
    }

    #[test]
    fn module_names_are_written_as_the_kernel_does() {
        assert_eq!(
            "sdhci-iproc".parse::<ModuleName>().unwrap().as_str(),
            "sdhci_iproc"
        );
        assert!("kernel/fs/ext4.ko".parse::<ModuleName>().is_err());
    }

    #[test]
    fn one_kernel_argument_per_entry() {
        assert!("console=ttyS0,115200".parse::<KernelArgument>().is_ok());
        assert!(
            "quiet panic=10"
                .parse::<KernelArgument>()
                .unwrap_err()
                .contains("own list entry")
        );
    }
}
