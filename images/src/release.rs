//! Gathers what an image says about itself and its board: `release.yaml`, which machined reads at run time.

use board::{Selection, WantedModule};
use release_file::{KubernetesPrograms, Release};

use crate::kubernetes::Programs;
use crate::modules::Kernel;
use crate::packages::fetched::Fetched;

/// The package that etcd comes from.
const ETCD: &str = "etcd-server";

/// Returns the facts of an image.
pub fn facts(
    selection: &Selection,
    version: &str,
    kernel: &Kernel<'_>,
    kubernetes: Option<&Programs>,
    packages: &[Fetched],
) -> Release {
    // Of what the kernel may do without, only what it has.
    let names = |modules: &[WantedModule]| -> Vec<String> {
        let there = modules
            .iter()
            .filter(|module| !module.optional || kernel.has(&module.name));
        there.map(|module| module.name.to_string()).collect()
    };
    Release {
        kernel: kernel.version().to_owned(),
        modules: names(&selection.modules.early),
        autoload: names(&selection.modules.autoload),
        ..without_kernel(selection, version, kubernetes, packages)
    }
}

/// Returns the facts of an image that has no kernel.
pub fn without_kernel(
    selection: &Selection,
    version: &str,
    kubernetes: Option<&Programs>,
    packages: &[Fetched],
) -> Release {
    Release {
        board: selection.board.name.to_string(),
        version: version.to_owned(),
        arch: selection.board.arch.as_str().to_owned(),
        overlays: selection
            .overlays
            .iter()
            .map(|overlay| overlay.name.to_string())
            .collect(),
        services: selection.features.services.clone(),
        kubernetes: kubernetes.map(|programs| KubernetesPrograms {
            version: programs.version.to_string(),
            etcd: packages
                .iter()
                .find(|package| package.name == ETCD)
                .map(|package| upstream(&package.version).to_owned()),
        }),
        ..Release::default()
    }
}

/// Returns the file `os-release`, from which programs such as kubelet learn what they run on. The format is that of
/// os-release(5).
pub fn os_release(version: &str, board: &str) -> String {
    format!(
        "NAME=Bedplate\nID=bedplate\nVERSION_ID={version}\nPRETTY_NAME=\"Bedplate {version}\"\nVARIANT_ID={board}\n"
    )
}

/// Returns upstream's part of a Debian version: what is between an epoch and the last hyphen.
fn upstream(version: &str) -> &str {
    let plain = version.split_once(':').map_or(version, |(_, plain)| plain);
    plain.rsplit_once('-').map_or(plain, |(upstream, _)| upstream)
}

#[cfg(test)]
mod tests {
    use super::{os_release, upstream};

    #[test]
    fn the_os_is_named_as_shells_would_read_it() {
        let text = os_release("1.2.3", "rpi3");
        assert!(text.contains("\nPRETTY_NAME=\"Bedplate 1.2.3\"\n") && text.ends_with("VARIANT_ID=rpi3\n"));
    }

    #[test]
    fn a_debian_version_holds_that_of_upstream() {
        for (version, expected) in [
            ("3.5.16-4+b8", "3.5.16"),
            ("1:3.6.1-1", "3.6.1"),
            ("3.6.1-rc.0-2", "3.6.1-rc.0"),
            ("3.5.16", "3.5.16"),
        ] {
            assert_eq!(upstream(version), expected);
        }
    }
}
