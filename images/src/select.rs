//! Takes the named files out of packages, and the shared libraries they need.

use std::collections::BTreeMap;

use board::{Arch, Features, OwnFile, Package, Pattern};

use crate::elf;
use crate::packages::deb::Files;
use crate::tree::{Node, Tree, TreeError};

/// Opened packages by name.
pub type Packages = BTreeMap<String, Files>;

/// A fault of choosing files.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// A pattern means no file.
    #[error("package {package:?} has no file {pattern:?}{}", near.as_deref().map(|near| format!("; it has {near:?}")).unwrap_or_default())]
    NoFile {
        /// The package.
        package: String,
        /// The pattern.
        pattern: String,
        /// A file of the same name elsewhere in the package.
        near: Option<String>,
    },
    /// A library is in none of the packages.
    #[error(
        "{program} needs {library}, which no package of the image has; add its package to the overlay, without `files`"
    )]
    NoLibrary {
        /// The program.
        program: String,
        /// The library.
        library: String,
    },
    /// A file of a board or overlay could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The files do not make a tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Puts everything that the features name into a tree, with the libraries that its programs need.
pub fn root(features: &Features, packages: &Packages, arch: Arch) -> Result<Tree, SelectError> {
    let mut tree = Tree::default();
    for directory in &features.directories {
        tree.add(directory.path.relative(), Node::Directory, "a directory")?;
    }
    for package in &features.packages {
        take(&mut tree, package, files_of(packages, package.name.as_str()))?;
    }
    for firmware in &features.firmware {
        let files = files_of(packages, firmware.package.as_str());
        for pattern in &firmware.files {
            let below = |path: &str| {
                path.strip_prefix("usr/lib/firmware/")
                    .is_some_and(|name| pattern.matches(name))
            };
            let chosen: Vec<_> = files
                .iter()
                .filter(|(path, node)| below(path) && **node != Node::Directory)
                .collect();
            if chosen.is_empty() {
                return Err(no_file(firmware.package.as_str(), pattern, files));
            }
            for (path, node) in chosen {
                tree.add(path, node.clone(), firmware.package.as_str())?;
            }
        }
    }
    for joined in &features.joined {
        let files = files_of(packages, joined.package.as_str());
        let mut data = Vec::new();
        for pattern in &joined.files {
            for (_, node) in matching(joined.package.as_str(), files, pattern)? {
                if let Node::File { data: part, .. } = node {
                    data.extend_from_slice(part);
                    if !part.ends_with(b"\n") {
                        data.push(b'\n');
                    }
                }
            }
        }
        tree.add(joined.path.relative(), Node::text(data), joined.package.as_str())?;
    }
    for link in &features.links {
        tree.add(link.path.relative(), Node::Link(link.to.clone()), &link.origin)?;
    }
    own_files(&mut tree, &features.files)?;
    add_libraries(&mut tree, packages, arch)?;
    Ok(tree)
}

/// Adds files that a board or overlay brings along. Only machine code may be executed.
pub fn own_files(tree: &mut Tree, files: &[OwnFile]) -> Result<(), SelectError> {
    for file in files {
        let data = match (&file.content, &file.source) {
            (Some(content), _) => content.clone().into_bytes(),
            (None, Some(path)) => std::fs::read(path).map_err(|source| SelectError::Read {
                path: path.clone(),
                source,
            })?,
            (None, None) => Vec::new(),
        };
        let node = if elf::read(&data).is_some_and(|found| found.program) {
            Node::program(data)
        } else {
            Node::text(data)
        };
        tree.add(file.path.relative(), node, &file.origin)?;
    }
    Ok(())
}

/// Takes the named files of one package.
pub fn take(tree: &mut Tree, package: &Package, files: &Files) -> Result<(), SelectError> {
    let name = package.name.as_str();
    for pattern in &package.files {
        for (path, node) in matching(name, files, pattern)? {
            tree.add(path, node.clone(), name)?;
        }
    }
    for place in &package.place {
        for (path, node) in matching(name, files, &place.from)? {
            let file = path.rsplit('/').next().unwrap_or(path);
            let to = if place.to.ends_with('/') {
                format!("{}{file}", place.to)
            } else {
                place.to.clone()
            };
            tree.add(&to, node.clone(), name)?;
        }
    }
    Ok(())
}

/// Lists the files and links of a package that a pattern means; none is a fault.
pub fn matching<'a>(
    package: &str,
    files: &'a Files,
    pattern: &Pattern,
) -> Result<Vec<(&'a str, &'a Node)>, SelectError> {
    let chosen: Vec<_> = files
        .iter()
        .filter(|(path, node)| **node != Node::Directory && pattern.matches(path))
        .map(|(path, node)| (path.as_str(), node))
        .collect();
    if chosen.is_empty() {
        Err(no_file(package, pattern, files))
    } else {
        Ok(chosen)
    }
}

fn no_file(package: &str, pattern: &Pattern, files: &Files) -> SelectError {
    let name = pattern.as_str().rsplit('/').next().unwrap_or_default();
    let near = files
        .keys()
        .find(|path| path.rsplit('/').next() == Some(name))
        .map(|path| format!("/{path}"));
    SelectError::NoFile {
        package: package.to_owned(),
        pattern: pattern.as_str().to_owned(),
        near,
    }
}

fn files_of<'a>(packages: &'a Packages, name: &str) -> &'a Files {
    packages
        .get(name)
        .expect("every package that the features name was fetched")
}

/// Adds the shared libraries and the loader that the programs of a tree need, until nothing is missing.
fn add_libraries(tree: &mut Tree, packages: &Packages, arch: Arch) -> Result<(), SelectError> {
    let folders = [
        format!("usr/lib/{}", arch.multiarch()),
        "usr/lib".to_owned(),
        "usr/lib64".to_owned(),
    ];
    let mut open: Vec<(String, String)> = Vec::new();
    let wants = |path: &str, node: &Node, open: &mut Vec<(String, String)>| {
        let Node::File { data, .. } = node else { return };
        let Some(found) = elf::read(data) else { return };
        let names = found.needed.into_iter().chain(found.interpreter);
        open.extend(names.map(|name| (format!("/{path}"), name)));
    };
    for (path, node) in tree.iter() {
        wants(path, node, &mut open);
    }
    while let Some((program, library)) = open.pop() {
        // A loader is named by its full path; Debian's packages ship it below /usr, where /lib and /lib64 point.
        let places: Vec<String> = match library.strip_prefix('/') {
            Some(path) if path.starts_with("usr/") => vec![path.to_owned()],
            Some(path) => vec![format!("usr/{path}")],
            None => folders
                .iter()
                .map(|folder| format!("{folder}/{library}"))
                .collect(),
        };
        if places.iter().any(|place| tree.get(place).is_some()) {
            continue;
        }
        let found = places.iter().find_map(|place| {
            packages
                .iter()
                .find_map(|(name, files)| files.get(place).map(|node| (place, name, files, node)))
        });
        let Some((place, name, files, node)) = found else {
            return Err(SelectError::NoLibrary { program, library });
        };
        tree.add(place, node.clone(), name)?;
        match node {
            // libfoo.so.1 → libfoo.so.1.2.3 in the same folder.
            Node::Link(target) => {
                let folder = place.rsplit_once('/').map_or("", |(folder, _)| folder);
                let real = resolve(folder, target);
                let Some(node) = files.get(&real) else {
                    return Err(SelectError::NoLibrary {
                        program,
                        library: format!("/{real}"),
                    });
                };
                tree.add(&real, node.clone(), name)?;
                wants(&real, node, &mut open);
            }
            node => wants(place, node, &mut open),
        }
    }
    Ok(())
}

/// Returns the path a link in a folder points to.
fn resolve(folder: &str, target: &str) -> String {
    if let Some(absolute) = target.strip_prefix('/') {
        return absolute.to_owned();
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            ".." => {
                parts.pop();
            }
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, files: &[(&str, Node)]) -> Packages {
        let files = files
            .iter()
            .map(|(path, node)| ((*path).to_owned(), node.clone()))
            .collect();
        BTreeMap::from([(name.to_owned(), files)])
    }

    fn features(yaml: &str) -> Features {
        let text = format!(
            "apiVersion: bedplate.dev/v1alpha1\nkind: Overlay\nname: x\ndescription: x\nfeatures:\n  {}\n",
            yaml.replace('\n', "\n  ")
        );
        board::document::parse_overlay(&text, std::path::Path::new("x"))
            .unwrap()
            .features
    }

    #[test]
    fn two_overlays_that_give_one_path_are_both_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = |path: &str, kind: &str, name: &str, rest: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let head = "apiVersion: bedplate.dev/v1alpha1";
            let text = format!("{head}\nkind: {kind}\nname: {name}\ndescription: x\n{rest}\n");
            std::fs::write(path, text).unwrap();
        };
        let kernel = "arch: arm64\nkernel: {package: linux-image-arm64}";
        file("boards/b.yaml", "Board", "b", kernel);
        for (name, content) in [("a", "1"), ("c", "2"), ("same", "1")] {
            let features = format!("features: {{files: [{{path: /etc/x, content: \"{content}\"}}]}}");
            file(
                &format!("overlays/{name}/overlay.yaml"),
                "Overlay",
                name,
                &features,
            );
        }
        let catalog = board::Catalog::load(&[dir.path().to_owned()]).unwrap();
        let tree = |overlays: &[&str]| {
            let overlays: Vec<String> = overlays.iter().map(|name| (*name).to_owned()).collect();
            let selection = catalog.select("b", &overlays).unwrap();
            root(&selection.features, &Packages::new(), Arch::Arm64)
        };
        assert!(tree(&["a", "same"]).is_ok());
        let error = tree(&["a", "c"]).err().unwrap().to_string();
        for name in ["/etc/x", "overlays/a/overlay.yaml", "overlays/c/overlay.yaml"] {
            assert!(error.contains(name), "{name}: {error}");
        }
    }

    #[test]
    fn only_named_files_enter() {
        let packages = package(
            "tool",
            &[
                ("usr/bin/tool", Node::program("x")),
                ("usr/bin/sh", Node::program("s")),
                ("etc/t", Node::text("t")),
            ],
        );
        let features = features(
            "packages:\n- name: tool\n  files: [/usr/bin/tool]\n  place:\n  - {from: /etc/t, to: /usr/share/factory/etc/}",
        );
        let tree = root(&features, &packages, Arch::Arm64).unwrap();
        let files: Vec<_> = tree
            .iter()
            .filter(|(_, node)| !node.is_empty())
            .map(|(path, _)| path)
            .collect();
        assert_eq!(files, ["usr/bin/tool", "usr/share/factory/etc/t"]);
    }

    #[test]
    fn of_own_files_programs_may_be_executed_and_scripts_may_not() {
        let own = std::env::current_exe().unwrap();
        let features = features(&format!(
            "files:\n- {{path: /program, source: {}}}\n- {{path: /script, content: '#!/program'}}",
            own.display()
        ));
        let mut tree = Tree::default();
        own_files(&mut tree, &features.files).unwrap();
        let executable = |path| tree.get(path).map(Node::mode) == Some(0o755);
        assert!(executable("program") && !executable("script"));
    }

    #[test]
    fn a_pattern_that_means_nothing_says_what_is_near() {
        let packages = package("tool", &[("usr/sbin/tool", Node::program("x"))]);
        let features = features("packages: [{name: tool, files: [/usr/bin/tool]}]");
        let error = root(&features, &packages, Arch::Arm64).err().unwrap().to_string();
        assert_eq!(
            error,
            "package \"tool\" has no file \"/usr/bin/tool\"; it has \"/usr/sbin/tool\""
        );
    }

    #[test]
    fn certificates_are_joined_in_order() {
        let packages = package(
            "ca",
            &[("c/b.crt", Node::text("B")), ("c/a.crt", Node::text("A\n"))],
        );
        let features = features("joined: [{path: /ca.crt, package: ca, files: [/c/*.crt]}]");
        let tree = root(&features, &packages, Arch::Arm64).unwrap();
        assert_eq!(tree.get("ca.crt"), Some(&Node::text("A\nB\n")));
    }

    #[test]
    fn a_missing_library_names_program_and_library() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let packages = package("tool", &[("usr/bin/tool", Node::program(own))]);
        let features = features("packages: [{name: tool, files: [/usr/bin/tool]}]");
        let error = root(&features, &packages, Arch::Amd64).err().unwrap().to_string();
        assert!(error.starts_with("/usr/bin/tool needs "), "{error}");
        assert!(error.contains("without `files`"), "{error}");
    }

    #[test]
    fn links_are_followed_within_the_image() {
        assert_eq!(resolve("usr/lib/x", "libc.so.6"), "usr/lib/x/libc.so.6");
        assert_eq!(resolve("usr/lib/x", "../y/z"), "usr/lib/y/z");
        assert_eq!(resolve("usr/lib", "/usr/lib64/a"), "usr/lib64/a");
    }
}
