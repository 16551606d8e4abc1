//! What the kernel lets in after the verified boot, as it says itself.

use std::fs;
use std::path::Path;

use state::kinds::Lockdown;

/// Asks the kernel below a root folder (`/`). What it does not tell counts as open.
pub fn read(root: &Path) -> Lockdown {
    let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    Lockdown {
        mode: chosen(&text("sys/kernel/security/lockdown")),
        signed_modules_only: text("sys/module/module/parameters/sig_enforce").trim() == "Y",
        kexec_disabled: text("proc/sys/kernel/kexec_load_disabled").trim() == "1",
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
        read(root.path())
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
