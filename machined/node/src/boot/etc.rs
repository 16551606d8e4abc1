//! Fills `/etc` from the image.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use service_definition::User;

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

/// The line of a user or group, made from its number and name.
type Line = fn(u32, &str) -> String;

/// Adds users of services, each with a group of its own, to `passwd` and `group`, so that programs find their names. Those
/// that are listed already are left alone.
pub fn add_users<'a>(etc: &Path, users: impl IntoIterator<Item = &'a User>) -> io::Result<()> {
    let users: BTreeMap<u32, &str> = users
        .into_iter()
        .map(|user| (user.id, user.name.as_str()))
        .collect();
    let files: [(&str, Line); 2] = [
        ("passwd", |id, name| {
            format!("{name}:x:{id}:{id}:{name}:/:/nonexistent\n")
        }),
        ("group", |id, name| format!("{name}:x:{id}:\n")),
    ];
    for (file, line) in files {
        let path = etc.join(file);
        let listed = match fs::read_to_string(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            read => read.unwrap_or_default(),
        };
        let is_new = |name: &str| !listed.lines().any(|line| line.split(':').next() == Some(name));
        let new = users.iter().filter(|(_, name)| is_new(name));
        let lines: String = new.map(|(id, name)| line(*id, name)).collect();
        if !lines.is_empty() {
            let mut file = fs::File::options().create(true).append(true).open(path)?;
            file.write_all(lines.as_bytes())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_services_have_names() {
        let etc = tempfile::tempdir().unwrap();
        fs::write(etc.path().join("passwd"), "root:x:0:0:root:/:/nonexistent\n").unwrap();
        let user = User {
            name: "etcd".into(),
            id: 201,
        };
        add_users(etc.path(), [&user, &user]).unwrap();
        add_users(etc.path(), [&user]).unwrap();
        let file = |name: &str| fs::read_to_string(etc.path().join(name)).unwrap();
        assert_eq!(
            file("passwd"),
            "root:x:0:0:root:/:/nonexistent\netcd:x:201:201:etcd:/:/nonexistent\n"
        );
        assert_eq!(file("group"), "etcd:x:201:\n");
    }

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
