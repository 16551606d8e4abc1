//! Fills `/etc` from the image.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::{fs, io};

/// Where the image keeps what `/etc` starts with.
pub const FACTORY: &str = "/usr/share/factory/etc";

/// Copies a tree of folders, files and symbolic links. What is there already is replaced.
pub fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&source, &target)?;
        } else if kind.is_symlink() {
            match fs::remove_file(&target) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => symlink(fs::read_link(&source)?, &target)?,
            }
        } else {
            fs::copy(&source, &target)?;
            // The image is read-only throughout; its copy is the node's own.
            fs::set_permissions(&target, fs::Permissions::from_mode(0o644))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_folders_files_and_links_twice() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("factory"), root.path().join("etc"));
        fs::create_dir_all(from.join("ssl/certs")).unwrap();
        fs::write(from.join("hosts"), "127.0.0.1 localhost\n").unwrap();
        symlink("/usr/share/ca.crt", from.join("ssl/certs/ca.crt")).unwrap();
        for _ in 0..2 {
            copy_tree(&from, &to).unwrap();
        }
        assert_eq!(
            fs::read_to_string(to.join("hosts")).unwrap(),
            "127.0.0.1 localhost\n"
        );
        assert_eq!(
            fs::read_link(to.join("ssl/certs/ca.crt")).unwrap(),
            Path::new("/usr/share/ca.crt")
        );
    }
}
