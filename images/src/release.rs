//! Gathers what an image says about itself and its board: `release.yaml`, which machined reads at run time.

use board::{Selection, WantedModule};
use release_file::Release;

use crate::modules::Kernel;

/// Returns the facts of an image.
pub fn facts(selection: &Selection, version: &str, kernel: &Kernel<'_>) -> Release {
    // Of what the kernel may do without, only what it has.
    let names = |modules: &[WantedModule]| -> Vec<String> {
        let there = modules
            .iter()
            .filter(|module| !module.optional || kernel.has(&module.name));
        there.map(|module| module.name.to_string()).collect()
    };
    Release {
        board: selection.board.name.to_string(),
        version: version.to_owned(),
        arch: selection.board.arch.as_str().to_owned(),
        kernel: kernel.version().to_owned(),
        overlays: selection
            .overlays
            .iter()
            .map(|overlay| overlay.name.to_string())
            .collect(),
        modules: names(&selection.modules.early),
        autoload: names(&selection.modules.autoload),
        services: selection.features.services.clone(),
    }
}
