//! A tree of files in memory: what enters an image, before any file system is made of it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// A file, link or folder of a [`Tree`]. Everything belongs to root; times do not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A regular file.
    File {
        /// Its bytes.
        data: Vec<u8>,
        /// Set when it may be executed: mode 0755, otherwise 0644.
        executable: bool,
    },
    /// A symbolic link.
    Link(String),
    /// A folder, mode 0755.
    Directory,
}

impl Node {
    /// Makes a file that cannot be executed.
    pub fn text(data: impl Into<Vec<u8>>) -> Node {
        Node::File {
            data: data.into(),
            executable: false,
        }
    }

    /// Makes a program.
    pub fn program(data: impl Into<Vec<u8>>) -> Node {
        Node::File {
            data: data.into(),
            executable: true,
        }
    }

    /// Returns the permission bits: one of three, so that no file can be set-uid or writable by others.
    pub fn mode(&self) -> u32 {
        match self {
            Node::File {
                executable: false, ..
            } => 0o644,
            Node::File { executable: true, .. } | Node::Directory => 0o755,
            Node::Link(_) => 0o777,
        }
    }

    /// Returns the length of a file, 0 for the rest.
    pub fn len(&self) -> u64 {
        match self {
            Node::File { data, .. } => data.len() as u64,
            Node::Link(_) | Node::Directory => 0,
        }
    }

    /// Tells whether there are no bytes in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A fault of putting a tree together.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Two origins give the same path different content.
    #[error("/{path} is given twice: by {first} and by {second}; leave one out")]
    Twice {
        /// The path.
        path: String,
        /// Who gave it first.
        first: String,
        /// Who gave it again.
        second: String,
    },
    /// A path is both a file and a folder above another file.
    #[error("/{path} is a file or link, but /{below} lies below it")]
    NotAFolder {
        /// The file.
        path: String,
        /// What lies below it.
        below: String,
    },
}

struct Held {
    node: Node,
    origin: String,
}

/// Files by their path without leading slash, each with the name of where it came from.
#[derive(Default)]
pub struct Tree {
    nodes: BTreeMap<String, Held>,
}

impl Tree {
    /// Adds a node, and the folders above it. The same content twice is accepted, a difference is not.
    pub fn add(&mut self, path: &str, node: Node, origin: &str) -> Result<(), TreeError> {
        let path = path.trim_matches('/');
        for (end, _) in path.match_indices('/') {
            let above = &path[..end];
            let held = self.nodes.entry(above.to_owned()).or_insert_with(|| Held {
                node: Node::Directory,
                origin: origin.to_owned(),
            });
            if held.node != Node::Directory {
                return Err(TreeError::NotAFolder {
                    path: above.to_owned(),
                    below: path.to_owned(),
                });
            }
        }
        match self.nodes.entry(path.to_owned()) {
            Entry::Vacant(vacant) => {
                vacant.insert(Held {
                    node,
                    origin: origin.to_owned(),
                });
            }
            Entry::Occupied(held) if held.get().node == node => {}
            Entry::Occupied(held) => {
                let first = held.get().origin.clone();
                return Err(TreeError::Twice {
                    path: path.to_owned(),
                    first,
                    second: origin.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Returns a node by its path without leading slash.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path).map(|held| &held.node)
    }

    /// Returns the content of a file by its path without leading slash, to be changed.
    pub fn file_mut(&mut self, path: &str) -> Option<&mut Vec<u8>> {
        match self.nodes.get_mut(path).map(|held| &mut held.node) {
            Some(Node::File { data, .. }) => Some(data),
            _ => None,
        }
    }

    /// Walks the tree in order of paths, folders before what is in them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, held)| (path.as_str(), &held.node))
    }

    /// Walks the tree with the origin of each node.
    pub fn origins(&self) -> impl Iterator<Item = (&str, &Node, &str)> {
        self.nodes
            .iter()
            .map(|(path, held)| (path.as_str(), &held.node, held.origin.as_str()))
    }

    /// Counts the bytes of all files.
    pub fn size(&self) -> u64 {
        self.nodes.values().map(|held| held.node.len()).sum()
    }

    /// Writes the tree as a tar archive that is the same for the same tree: no times, no names of owners.
    pub fn to_tar(&self, mtime: u64) -> std::io::Result<Vec<u8>> {
        let mut builder = tar::Builder::new(Vec::with_capacity(self.size() as usize + (1 << 20)));
        for (path, node) in self.iter() {
            let mut header = tar::Header::new_gnu();
            header.set_mode(node.mode());
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(mtime);
            header.set_size(node.len());
            match node {
                Node::File { data, .. } => {
                    header.set_entry_type(tar::EntryType::Regular);
                    builder.append_data(&mut header, path, data.as_slice())?;
                }
                Node::Link(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    builder.append_link(&mut header, path, target)?;
                }
                Node::Directory => {
                    header.set_entry_type(tar::EntryType::Directory);
                    builder.append_data(&mut header, path, std::io::empty())?;
                }
            }
        }
        builder.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_appear_by_themselves_and_in_order() {
        let mut tree = Tree::default();
        tree.add("usr/bin/machined", Node::program("x"), "test").unwrap();
        let paths: Vec<_> = tree.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["usr", "usr/bin", "usr/bin/machined"]);
    }

    #[test]
    fn two_origins_must_agree() {
        let mut tree = Tree::default();
        tree.add("etc/x", Node::text("1"), "overlay a").unwrap();
        tree.add("etc/x", Node::text("1"), "overlay b").unwrap();
        let error = tree
            .add("etc/x", Node::text("2"), "overlay c")
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "/etc/x is given twice: by overlay a and by overlay c; leave one out"
        );
        assert!(tree.add("etc/x/y", Node::text("2"), "overlay c").is_err());
    }

    #[test]
    fn an_archive_depends_on_the_tree_alone() {
        let mut one = Tree::default();
        one.add("a/b", Node::text("1"), "x").unwrap();
        one.add("c", Node::Link("a/b".into()), "x").unwrap();
        let mut two = Tree::default();
        two.add("c", Node::Link("a/b".into()), "y").unwrap();
        two.add("a/b", Node::text("1"), "z").unwrap();
        assert_eq!(one.to_tar(7).unwrap(), two.to_tar(7).unwrap());
    }
}
