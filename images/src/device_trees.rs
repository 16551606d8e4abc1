//! Applies device-tree overlays (`.dtbo`) to a board's device trees.

use std::path::PathBuf;

use board::{Apply, DeviceTreeOverlay};
use dtoolkit::error::{FdtParseError, OverlayError};
use dtoolkit::fdt::Fdt;
use dtoolkit::model::DeviceTree;
use dtoolkit::model::overlay::OverlayApplier;

use crate::select::Packages;
use crate::tree::Node;

/// A fault of device trees.
#[derive(Debug, thiserror::Error)]
pub enum DeviceTreeError {
    /// A file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A package has no such file.
    #[error("{overlay}: the package has no such file")]
    NoFile {
        /// The package and its file.
        overlay: String,
    },
    /// It is not a device tree.
    #[error("{path} is not a compiled device tree; make one with dtc -@")]
    Parse {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: FdtParseError,
    },
    /// The overlay does not fit the tree.
    #[error("{overlay} does not fit {tree}; a tree without symbols needs target-path instead of target")]
    Apply {
        /// The overlay.
        overlay: String,
        /// The tree.
        tree: String,
        /// Why.
        #[source]
        source: OverlayError,
    },
}

/// Overlays in the order they are applied, read once.
pub struct Overlays {
    overlays: Vec<(DeviceTreeOverlay, Vec<u8>)>,
}

impl Overlays {
    /// Reads overlays: files of boards and overlays, and files of packages.
    pub fn read(overlays: &[DeviceTreeOverlay], packages: &Packages) -> Result<Overlays, DeviceTreeError> {
        let mut read = Vec::new();
        for overlay in overlays {
            let data = match &overlay.source {
                Some(source) => {
                    let path = PathBuf::from(source);
                    std::fs::read(&path).map_err(|source| DeviceTreeError::Read { path, source })?
                }
                None => packaged(overlay, packages)?,
            };
            // Whoever applies it, a file that is no device tree is a fault of the build.
            parse(&overlay.origin(), &data)?;
            read.push((overlay.clone(), data));
        }
        Ok(Overlays { overlays: read })
    }

    /// Lists the overlays that the firmware applies, with their bytes.
    pub fn of_firmware(&self) -> impl Iterator<Item = (&DeviceTreeOverlay, &[u8])> {
        let overlays = self
            .overlays
            .iter()
            .map(|(overlay, data)| (overlay, data.as_slice()));
        overlays.filter(|(overlay, _)| overlay.apply == Apply::Firmware)
    }

    /// Lists trees that overlays name and that are none of these.
    pub fn strangers<'a>(&'a self, known: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let named = self
            .overlays
            .iter()
            .flat_map(|(overlay, _)| overlay.trees.iter().map(String::as_str));
        named.filter(|name| !known.contains(name))
    }

    /// Returns a tree with the overlays that are for it; without any, the very bytes.
    pub fn apply(&self, name: &str, tree: &[u8]) -> Result<Vec<u8>, DeviceTreeError> {
        let meant = |overlay: &DeviceTreeOverlay| {
            let named = overlay.trees.is_empty() || overlay.trees.iter().any(|tree| tree == name);
            overlay.apply == Apply::Build && named
        };
        let mut overlays = self
            .overlays
            .iter()
            .filter(|(overlay, _)| meant(overlay))
            .peekable();
        if overlays.peek().is_none() {
            return Ok(tree.to_vec());
        }
        let mut changed = DeviceTree::from_fdt(&parse(name, tree)?);
        for (overlay, data) in overlays {
            let fragment = parse(&overlay.origin(), data)?;
            OverlayApplier::new(&mut changed)
                .apply_overlay(&fragment)
                .map_err(|source| DeviceTreeError::Apply {
                    overlay: overlay.origin(),
                    tree: name.to_owned(),
                    source,
                })?;
        }
        Ok(changed.to_dtb())
    }
}

/// Finds the file of an overlay in its package.
fn packaged(overlay: &DeviceTreeOverlay, packages: &Packages) -> Result<Vec<u8>, DeviceTreeError> {
    let files = overlay
        .package
        .as_ref()
        .and_then(|package| packages.get(package.as_str()));
    let mut found = files.into_iter().flatten().filter_map(|(path, node)| match node {
        Node::File { data, .. } if overlay.file.as_ref().is_some_and(|file| file.matches(path)) => Some(data),
        _ => None,
    });
    found.next().cloned().ok_or_else(|| DeviceTreeError::NoFile {
        overlay: overlay.origin(),
    })
}

fn parse<'a>(path: &str, data: &'a [u8]) -> Result<Fdt<'a>, DeviceTreeError> {
    Fdt::new(data).map_err(|source| DeviceTreeError::Parse {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use dtoolkit::model::{DeviceTreeNode, DeviceTreeProperty};
    use dtoolkit::{Node, Property};

    use super::*;

    fn status(text: &str) -> DeviceTreeProperty {
        DeviceTreeProperty::new("status", format!("{text}\0").into_bytes()).unwrap()
    }

    fn base() -> Vec<u8> {
        let mut tree = DeviceTree::new();
        let mut spi = DeviceTreeNode::new("spi").unwrap();
        spi.add_property(status("disabled"));
        tree.root.add_child(spi);
        tree.to_dtb()
    }

    fn overlay(target: &str) -> Vec<u8> {
        let mut tree = DeviceTree::new();
        let mut fragment = DeviceTreeNode::new("fragment@0").unwrap();
        fragment.add_property(
            DeviceTreeProperty::new("target-path", format!("{target}\0").into_bytes()).unwrap(),
        );
        let mut content = DeviceTreeNode::new("__overlay__").unwrap();
        content.add_property(status("okay"));
        fragment.add_child(content);
        tree.root.add_child(fragment);
        tree.to_dtb()
    }

    fn overlays(target: &str, trees: &[&str]) -> (tempfile::TempDir, Overlays) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spi.dtbo");
        std::fs::write(&path, overlay(target)).unwrap();
        let text = format!("{{source: {}, trees: {trees:?}}}", path.display());
        let overlay = yaml::from_str(&text).unwrap();
        let read = Overlays::read(&[overlay], &Packages::new()).unwrap();
        (dir, read)
    }

    #[test]
    fn an_overlay_changes_the_trees_it_is_for() {
        let (_dir, overlays) = overlays("/spi", &["a.dtb"]);
        let changed = overlays.apply("a.dtb", &base()).unwrap();
        let changed = DeviceTree::from_fdt(&Fdt::new(&changed).unwrap());
        let spi = changed.root.children().find(|node| node.name() == "spi").unwrap();
        assert_eq!(spi.properties().next().unwrap().value(), b"okay\0");
        assert_eq!(overlays.apply("b.dtb", &base()).unwrap(), base());
        assert_eq!(overlays.strangers(&["b.dtb"]).collect::<Vec<_>>(), ["a.dtb"]);
    }

    #[test]
    fn an_overlay_comes_out_of_a_package_too() {
        let files = [(
            "usr/lib/overlays/spi.dtbo".to_owned(),
            crate::tree::Node::text(overlay("/spi")),
        )];
        let packages = Packages::from([("firmware".to_owned(), files.into())]);
        let read = |file: &str, apply: &str| {
            let text = format!("{{package: firmware, file: /usr/lib/overlays/{file}, apply: {apply}}}");
            Overlays::read(&[yaml::from_str(&text).unwrap()], &packages)
        };
        let built = read("spi.dtbo", "build").unwrap();
        assert_ne!(built.apply("a.dtb", &base()).unwrap(), base());
        assert_eq!(built.of_firmware().count(), 0);
        let left = read("spi.dtbo", "firmware").unwrap();
        assert_eq!(left.apply("a.dtb", &base()).unwrap(), base());
        assert_eq!(left.of_firmware().next().unwrap().1, overlay("/spi"));
        let error = read("i2c.dtbo", "build").err().unwrap().to_string();
        assert!(error.contains("firmware:/usr/lib/overlays/i2c.dtbo"), "{error}");
    }

    #[test]
    fn an_overlay_that_does_not_fit_is_named() {
        let (_dir, overlays) = overlays("/absent", &[]);
        let error = overlays.apply("a.dtb", &base()).unwrap_err().to_string();
        assert!(error.contains("spi.dtbo does not fit a.dtb"), "{error}");
        assert!(
            overlays
                .apply("a.dtb", b"text")
                .unwrap_err()
                .to_string()
                .contains("not a compiled device tree")
        );
    }
}
