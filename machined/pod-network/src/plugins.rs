//! Where the container runtime finds the programs of CNI plugins: in the image, or in a folder that others install into.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::{fs, io};

use crate::controller::Files;

/// Lets the runtime use the image's own plugins, which are verified and read-only.
pub(crate) fn own(files: &Files) -> io::Result<()> {
    // An image without containers has none.
    match files.plugins.exists() {
        true => lead(&files.link, &files.plugins),
        false => Ok(()),
    }
}

/// Lets the runtime use what others install, beside the image's own plugins, which are renewed: every network needs some of
/// them, and another release may have others.
pub(crate) fn for_others(files: &Files) -> io::Result<()> {
    if !files.plugins.exists() {
        return Ok(());
    }
    fs::create_dir_all(&files.others)?;
    for entry in fs::read_dir(&files.plugins)? {
        let entry = entry?;
        let (program, target) = (fs::read(entry.path())?, files.others.join(entry.file_name()));
        if !fs::read(&target).is_ok_and(|found| found == program) {
            sys::durable::write(&target, &program, 0o755)?;
        }
    }
    lead(&files.link, &files.others)
}

/// Makes a link lead somewhere, at once: a plugin may be started at any moment.
fn lead(link: &Path, to: &Path) -> io::Result<()> {
    if fs::read_link(link).is_ok_and(|found| found == to) {
        return Ok(());
    }
    if let Some(folder) = link.parent() {
        fs::create_dir_all(folder)?;
    }
    let new = link.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => symlink(to, &new)?,
    }
    fs::rename(new, link)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_others_install_stays_and_the_image_s_own_is_renewed() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files {
            conflist: folder.path().join("unused"),
            plugins: folder.path().join("usr/lib/cni"),
            link: folder.path().join("etc/cni/bin"),
            others: folder.path().join("var/lib/cni/bin"),
        };
        own(&files).unwrap();
        for_others(&files).unwrap();
        assert!(!files.link.exists(), "the image has no containers");
        fs::create_dir_all(&files.plugins).unwrap();
        fs::write(files.plugins.join("loopback"), "one").unwrap();
        own(&files).unwrap();
        assert_eq!(fs::read_link(&files.link).unwrap(), files.plugins);
        for_others(&files).unwrap();
        fs::write(files.link.join("cilium-cni"), "other").unwrap();
        fs::write(files.plugins.join("loopback"), "two").unwrap();
        for_others(&files).unwrap();
        let read = |name: &str| fs::read_to_string(files.link.join(name)).unwrap();
        assert_eq!([read("cilium-cni"), read("loopback")], ["other", "two"]);
        let mode = files
            .others
            .join("loopback")
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o755);
        own(&files).unwrap();
        assert!(!files.link.join("cilium-cni").exists());
    }
}
