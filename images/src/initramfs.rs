//! Writes an initramfs: a cpio archive in the format the kernel reads ("newc").

use std::io::{self, Write};

use cpio::newc::{self, Builder};

use crate::tree::{Node, Tree};

const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const DIRECTORY: u32 = 0o040_000;

/// Packs a tree. Inodes are numbered in order and times are zero, so the same tree gives the same bytes.
pub fn pack(tree: &Tree) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(tree.size() as usize + (1 << 16));
    for (number, (path, node)) in tree.iter().enumerate() {
        let (kind, data) = match node {
            Node::File { data, .. } => (FILE, data.as_slice()),
            Node::Link(target) => (LINK, target.as_bytes()),
            Node::Directory => (DIRECTORY, [].as_slice()),
        };
        let entry = Builder::new(path)
            .ino(number as u32 + 1)
            .mode(kind | node.mode())
            .uid(0)
            .gid(0)
            .mtime(0)
            .nlink(1);
        let mut writer = entry.write(&mut out, data.len() as u32);
        writer.write_all(data)?;
        writer.finish()?;
    }
    newc::trailer(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_with_kinds_modes_and_bytes() {
        let mut tree = Tree::default();
        tree.add("init", Node::program("elf"), "t").unwrap();
        tree.add("lib/x", Node::Link("init".into()), "t").unwrap();
        let bytes = pack(&tree).unwrap();
        let mut input = io::Cursor::new(&bytes);
        let mut seen = Vec::new();
        loop {
            let mut reader = newc::Reader::new(input).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            let mut data = Vec::new();
            io::Read::read_to_end(&mut reader, &mut data).unwrap();
            seen.push((reader.entry().name().to_owned(), reader.entry().mode(), data));
            input = reader.finish().unwrap();
        }
        assert_eq!(seen[0], ("init".into(), 0o100755, b"elf".to_vec()));
        assert_eq!(seen[1], ("lib".into(), 0o040755, vec![]));
        assert_eq!(seen[2], ("lib/x".into(), 0o120777, b"init".to_vec()));
        assert_eq!(bytes, pack(&tree).unwrap());
    }
}
