//! Writes `release.yaml`: the facts about image and board that machined reads at run time.

use board::{Selection, Service, WantedModule};
use serde::Serialize;

use crate::modules::Kernel;

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
    modules: Vec<String>,
    autoload: Vec<String>,
    services: &'a [Service],
}

/// Returns the text of `release.yaml`.
pub fn yaml(selection: &Selection, version: &str, kernel: &Kernel<'_>) -> String {
    // Of what the kernel may do without, only what it has.
    let names = |modules: &'_ [WantedModule]| -> Vec<String> {
        let there = modules
            .iter()
            .filter(|module| !module.optional || kernel.has(&module.name));
        there.map(|module| module.name.to_string()).collect()
    };
    let release = Release {
        board: selection.board.name.as_str(),
        version,
        arch: selection.board.arch,
        kernel: kernel.version(),
        overlays: selection
            .overlays
            .iter()
            .map(|overlay| overlay.name.as_str())
            .collect(),
        modules: names(&selection.modules.early),
        autoload: names(&selection.modules.autoload),
        services: &selection.features.services,
    };
    serde_yaml::to_string(&release).expect("a release has only string keys")
}
