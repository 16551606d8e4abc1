//! Files, links and folders that a board or overlay puts into an image.

use std::fmt;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An absolute path inside an image, without `.` and `..`.
///
/// Kept without the leading slash, as archives want it; [`fmt::Display`] shows it with the slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct TargetPath(#[schemars(regex(pattern = r"^/"))] String);

impl TargetPath {
    /// Returns the path without the leading slash.
    pub fn relative(&self) -> &str {
        &self.0
    }
}

impl FromStr for TargetPath {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let inner = text
            .strip_prefix('/')
            .ok_or_else(|| format!("{text:?} is not absolute: start it with '/'"))?;
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        let clean = !inner.is_empty() && inner.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if clean && !inner.contains('\0') {
            Ok(TargetPath(inner.to_owned()))
        } else {
            Err(format!(
                "{text:?} is not a plain path: leave out '.', '..' and empty parts"
            ))
        }
    }
}

impl TryFrom<String> for TargetPath {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<TargetPath> for String {
    fn from(path: TargetPath) -> String {
        path.to_string()
    }
}

impl fmt::Display for TargetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

/// A glob over the files of a package: `*` and `?` stay within one folder, `**` does not.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Pattern {
    text: String,
    matcher: GlobMatcher,
}

impl Pattern {
    /// Returns the pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Tells whether a path, given without its leading slash, is meant.
    pub fn matches(&self, relative: &str) -> bool {
        self.matcher.is_match(relative)
    }

    /// Returns the path itself when the pattern has no wildcard.
    pub fn literal(&self) -> Option<&str> {
        (!self.text.contains(['*', '?', '[', '{'])).then(|| self.text.trim_start_matches('/'))
    }
}

impl FromStr for Pattern {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let inner = text.strip_prefix('/').unwrap_or(text);
        let glob = GlobBuilder::new(inner)
            .literal_separator(true)
            .build()
            .map_err(|error| format!("{text:?} is not a file pattern: {}", error.kind()))?;
        Ok(Pattern {
            text: text.to_owned(),
            matcher: glob.compile_matcher(),
        })
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

/// Puts files of a package at another place than the package does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Place {
    /// Files of the package.
    pub from: Pattern,
    /// The folder they go to when it ends in `/`, otherwise the name the one file gets.
    pub to: String,
}

/// A file that the board or overlay brings along itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OwnFile {
    /// Where it goes.
    pub path: TargetPath,
    /// Its text, written here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Or a file to copy, relative to the folder of this YAML file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The YAML file that asks for it, for messages.
    #[serde(skip)]
    pub origin: String,
}

/// A symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Link {
    /// Where the link is.
    pub path: TargetPath,
    /// What it says.
    pub to: String,
    /// The YAML file that asks for it, for messages.
    #[serde(skip)]
    pub origin: String,
}

/// An empty folder, such as a mount point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Directory {
    /// Where it is.
    pub path: TargetPath,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_paths_stay_inside_the_image() {
        for wrong in ["etc/passwd", "/", "/a/../b", "/a//b", "/./a"] {
            assert!(wrong.parse::<TargetPath>().is_err(), "{wrong}");
        }
        assert_eq!("/usr/bin/".parse::<TargetPath>().unwrap().relative(), "usr/bin");
    }

    #[test]
    fn a_star_stays_within_its_folder() {
        let cases = [
            ("/usr/bin/*", "usr/bin/containerd", true),
            ("/usr/lib/*", "usr/lib/cni/bridge", false),
            ("/usr/lib/**", "usr/lib/cni/bridge", true),
            ("/boot/start{,_x}.elf", "boot/start_x.elf", true),
        ];
        for (pattern, path, matches) in cases {
            assert_eq!(
                pattern.parse::<Pattern>().unwrap().matches(path),
                matches,
                "{pattern} {path}"
            );
        }
        assert_eq!(
            "/usr/bin/x".parse::<Pattern>().unwrap().literal(),
            Some("usr/bin/x")
        );
        assert!("/usr/[".parse::<Pattern>().is_err());
    }
}
