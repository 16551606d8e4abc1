//! Writes `release.yaml`: the facts about image and board that machined reads at run time.

use board::{Selection, Service};
use serde::Serialize;

/// Where the file is in the root.
pub const ROOT_PATH: &str = "usr/share/bedplate/release.yaml";
/// Where the file is in the initramfs.
pub const INITRAMFS_PATH: &str = "release.yaml";

/// What machined is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Release<'a> {
    board: &'a str,
    version: &'a str,
    arch: board::Arch,
    kernel: &'a str,
    overlays: Vec<&'a str>,
    modules: Vec<&'a str>,
    autoload: Vec<&'a str>,
    services: &'a [Service],
}

/// Gives the text of `release.yaml`.
pub fn yaml(selection: &Selection, version: &str, kernel: &str) -> String {
    let release = Release {
        board: selection.board.name.as_str(),
        version,
        arch: selection.board.arch,
        kernel,
        overlays: selection
            .overlays
            .iter()
            .map(|overlay| overlay.name.as_str())
            .collect(),
        modules: selection
            .features
            .modules
            .early
            .iter()
            .map(|name| name.as_str())
            .collect(),
        autoload: selection
            .features
            .modules
            .autoload
            .iter()
            .map(|name| name.as_str())
            .collect(),
        services: &selection.features.services,
    };
    serde_yaml::to_string(&release).expect("a release has only string keys")
}
