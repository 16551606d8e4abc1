//! Adds what features ask of a board's firmware to its configuration file, and the device-tree overlays that it applies.

use board::{Features, FirmwareConfig};

use crate::device_trees::Overlays;
use crate::tree::{Node, Tree, TreeError};

/// Features ask something of the firmware that cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum FirmwareConfigError {
    /// The configuration file is not there.
    #[error("the board's esp.firmwareConfig names {path}, which is no file on its ESP; add it to esp.files")]
    NoFile {
        /// The file.
        path: String,
    },
    /// An overlay cannot be put beside the others.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Puts overlays into the firmware's folder, and lines for them and for features behind what its file says.
pub fn add(
    tree: &mut Tree,
    config: &FirmwareConfig,
    features: &Features,
    overlays: &Overlays,
) -> Result<(), FirmwareConfigError> {
    let mut lines: Vec<String> = features
        .firmware_config
        .iter()
        .map(|line| line.as_str().to_owned())
        .collect();
    for (overlay, data) in overlays.of_firmware() {
        let file = overlay.file_name();
        let path = format!("{}/{file}", config.overlays.relative());
        tree.add(&path, Node::text(data), &overlay.origin())?;
        let name = file.strip_suffix(".dtbo").unwrap_or(&file);
        lines.push(line(config, name, &overlay.parameters));
    }
    if lines.is_empty() {
        return Ok(());
    }
    let path = config.path.relative();
    let text = tree.file_mut(path).ok_or_else(|| FirmwareConfigError::NoFile {
        path: config.path.to_string(),
    })?;
    if !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    for line in config
        .heading
        .iter()
        .map(|line| line.as_str())
        .chain(lines.iter().map(String::as_str))
    {
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
    Ok(())
}

/// Writes the line that has the firmware apply an overlay.
fn line(config: &FirmwareConfig, name: &str, parameters: &[String]) -> String {
    let mut line = config.overlay_line.replace("{name}", name);
    for parameter in parameters {
        line += &config.parameter_separator;
        line += parameter;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_add_lines_behind_what_the_file_says() {
        let config: FirmwareConfig = yaml::from_str(
            "{path: /config.txt, heading: \"[all]\", overlays: /overlays, overlayLine: \"dtoverlay={name}\", parameterSeparator: \",\"}",
        )
        .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("poe.dtbo");
        let empty = dtoolkit::model::DeviceTree::default();
        std::fs::write(&file, empty.to_dtb()).unwrap();
        let features: Features = yaml::from_str(&format!(
            "{{firmwareConfig: [dtparam=i2c_arm=on], deviceTreeOverlays: [{{source: {}, apply: firmware, parameters: [t0=1, t1=2]}}]}}",
            file.display()
        ))
        .unwrap();
        let overlays = Overlays::read(&features.device_tree_overlays, &Default::default()).unwrap();
        let mut tree = Tree::default();
        let missing = add(&mut tree, &config, &features, &overlays).unwrap_err();
        assert!(missing.to_string().contains("/config.txt"), "{missing}");

        let mut tree = Tree::default();
        tree.add("config.txt", Node::text("[pi4]\narm_boost=1"), "t")
            .unwrap();
        add(&mut tree, &config, &features, &overlays).unwrap();
        let Some(Node::File { data, .. }) = tree.get("config.txt") else {
            panic!("no file")
        };
        assert_eq!(
            String::from_utf8_lossy(data),
            "[pi4]\narm_boost=1\n[all]\ndtparam=i2c_arm=on\ndtoverlay=poe,t0=1,t1=2\n"
        );
        assert!(tree.get("overlays/poe.dtbo").is_some());

        let mut plain = Tree::default();
        add(
            &mut plain,
            &config,
            &Features::default(),
            &Overlays::read(&[], &Default::default()).unwrap(),
        )
        .unwrap();
        assert!(plain.get("config.txt").is_none());
    }
}
