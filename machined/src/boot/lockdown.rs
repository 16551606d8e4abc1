//! What the kernel lets in after the verified boot, as it says itself.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The way by which code could enter a running kernel, and whether it is shut.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lockdown {
    /// The kernel's lockdown: `none`, `integrity` or `confidentiality`; none at all when this kernel has no lockdown.
    pub mode: Option<String>,
    /// Whether it takes signed modules only.
    pub signed_modules_only: bool,
    /// Whether it starts no other kernel.
    pub kexec_disabled: bool,
}

impl Lockdown {
    /// Asks the kernel below a root folder (`/`). What it does not tell counts as open.
    pub fn read(root: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        Lockdown {
            mode: chosen(&text("sys/kernel/security/lockdown")),
            signed_modules_only: text("sys/module/module/parameters/sig_enforce").trim() == "Y",
            kexec_disabled: text("proc/sys/kernel/kexec_load_disabled").trim() == "1",
        }
    }

    /// Says what is open, one sentence each.
    pub fn gaps(&self) -> Vec<String> {
        let unlocked = match self.mode.as_deref() {
            None => Some("this kernel has no lockdown: root could change it in memory"),
            Some("none") => Some("this kernel is not locked down: root could change it in memory"),
            Some(_) => None,
        };
        let unsigned = "this kernel takes modules without a signature";
        let kexec = "this kernel starts others that nobody verified";
        let found = [
            unlocked,
            (!self.signed_modules_only).then_some(unsigned),
            (!self.kexec_disabled).then_some(kexec),
        ];
        found.into_iter().flatten().map(str::to_owned).collect()
    }
}

/// Returns the word in brackets: `none [integrity] confidentiality`.
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    let (word, _) = rest.split_once(']')?;
    Some(word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(files: &[(&str, &str)]) -> Lockdown {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Lockdown::read(root.path())
    }

    #[test]
    fn a_locked_kernel_has_no_gaps() {
        let locked = kernel(&[
            (
                "sys/kernel/security/lockdown",
                "none [integrity] confidentiality\n",
            ),
            ("sys/module/module/parameters/sig_enforce", "Y\n"),
            ("proc/sys/kernel/kexec_load_disabled", "1\n"),
        ]);
        assert_eq!(locked.mode.as_deref(), Some("integrity"));
        assert_eq!(locked.gaps(), Vec::<String>::new());
    }

    #[test]
    fn what_is_open_is_told() {
        let open = kernel(&[
            (
                "sys/kernel/security/lockdown",
                "[none] integrity confidentiality\n",
            ),
            ("sys/module/module/parameters/sig_enforce", "N\n"),
            ("proc/sys/kernel/kexec_load_disabled", "0\n"),
        ]);
        assert_eq!(open.gaps().len(), 3, "{:?}", open.gaps());
        let mute = kernel(&[]);
        assert_eq!((mute.mode.as_deref(), mute.gaps().len()), (None, 3));
        assert!(mute.gaps()[0].contains("no lockdown"));
    }
}
