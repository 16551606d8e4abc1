//! Applies device-tree overlays (`.dtbo`) to a board's device trees.

use std::path::PathBuf;

use board::DeviceTreeOverlay;
use dtoolkit::error::{FdtParseError, OverlayError};
use dtoolkit::fdt::Fdt;
use dtoolkit::model::DeviceTree;
use dtoolkit::model::overlay::OverlayApplier;

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
    /// Reads overlays.
    pub fn read(overlays: &[DeviceTreeOverlay]) -> Result<Overlays, DeviceTreeError> {
        let read = |overlay: &DeviceTreeOverlay| {
            let path = PathBuf::from(&overlay.source);
            let data = std::fs::read(&path).map_err(|source| DeviceTreeError::Read { path, source })?;
            Ok((overlay.clone(), data))
        };
        Ok(Overlays {
            overlays: overlays.iter().map(read).collect::<Result<_, _>>()?,
        })
    }

    /// Lists trees that overlays name and that are none of these.
    pub fn strangers<'a>(&'a self, known: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let named = self
            .overlays
            .iter()
            .flat_map(|(overlay, _)| overlay.trees.iter().map(String::as_str));
        named.filter(|name| !known.contains(name))
    }

    /// Gives a tree with the overlays that are for it; without any, the very bytes.
    pub fn apply(&self, name: &str, tree: &[u8]) -> Result<Vec<u8>, DeviceTreeError> {
        let meant = |overlay: &DeviceTreeOverlay| {
            overlay.trees.is_empty() || overlay.trees.iter().any(|tree| tree == name)
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
            let fragment = parse(&overlay.source, data)?;
            OverlayApplier::new(&mut changed)
                .apply_overlay(&fragment)
                .map_err(|source| DeviceTreeError::Apply {
                    overlay: overlay.source.clone(),
                    tree: name.to_owned(),
                    source,
                })?;
        }
        Ok(changed.to_dtb())
    }
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
        let overlay = DeviceTreeOverlay {
            source: path.to_string_lossy().into_owned(),
            trees: trees.iter().map(|tree| (*tree).to_owned()).collect(),
        };
        let read = Overlays::read(&[overlay]).unwrap();
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
