//! Looks into ELF files: is it a program, and which libraries does it need?

use board::Arch;
use object::elf;
use object::read::elf::{Dyn, ElfFile64, FileHeader, ProgramHeader};

/// The kind of an ELF file, and its dependencies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// Set when it can be started, rather than only loaded by another program.
    pub program: bool,
    /// The path of the loader it asks for.
    pub interpreter: Option<String>,
    /// Names of the shared libraries it needs.
    pub needed: Vec<String>,
}

/// Tells whether this is a program that runs on an architecture by itself, without a loader or libraries.
pub fn is_static_program(data: &[u8], arch: Arch) -> bool {
    let machine = match arch {
        Arch::Arm64 => elf::EM_AARCH64,
        Arch::Amd64 => elf::EM_X86_64,
    };
    let fits = ElfFile64::<object::LittleEndian>::parse(data)
        .is_ok_and(|file| file.elf_header().e_machine(file.endian()) == machine);
    let by_itself = |elf: Elf| elf.program && elf.interpreter.is_none() && elf.needed.is_empty();
    fits && read(data).is_some_and(by_itself)
}

/// Reads an ELF file; `None` when it is none, or for a machine that is not 64-bit and little-endian.
pub fn read(data: &[u8]) -> Option<Elf> {
    if !data.starts_with(&elf::ELFMAG) {
        return None;
    }
    let file = ElfFile64::<object::LittleEndian>::parse(data).ok()?;
    let endian = file.endian();
    let header = file.elf_header();
    let mut found = Elf {
        program: header.e_type(endian) == elf::ET_EXEC,
        interpreter: None,
        needed: Vec::new(),
    };
    let mut dynamic: &[elf::Dyn64<object::LittleEndian>] = &[];
    let mut loads = Vec::new();
    for segment in header.program_headers(endian, data).ok()? {
        if let Some(path) = segment.interpreter(endian, data).ok()? {
            found.interpreter = Some(String::from_utf8_lossy(path).into_owned());
            found.program = true;
        }
        if let Some(entries) = segment.dynamic(endian, data).ok()? {
            dynamic = entries;
        }
        if segment.p_type(endian) == elf::PT_LOAD {
            loads.push((
                segment.p_vaddr(endian),
                segment.p_filesz(endian),
                segment.p_offset(endian),
            ));
        }
    }
    let value = |tag: elf::DynamicTag| {
        dynamic
            .iter()
            .find(|entry| entry.tag(endian) == tag)
            .map(|entry| entry.val(endian))
    };
    // A static program that may be loaded anywhere has no interpreter, but says that it is one.
    if value(elf::DT_FLAGS_1).is_some_and(|flags| flags & elf::DF_1_PIE.0 != 0) {
        found.program = true;
    }
    // The C library can be started, and then names its version; it is a library all the same.
    if value(elf::DT_SONAME).is_some() {
        found.program = false;
    }
    let strings = value(elf::DT_STRTAB).and_then(|address| {
        let place = loads.iter().find_map(|(start, len, offset)| {
            let inside = address.checked_sub(*start).filter(|inside| inside < len)?;
            offset.checked_add(inside)
        });
        data.get(usize::try_from(place?).ok()?..)
    });
    for entry in dynamic.iter().filter(|entry| entry.tag(endian) == elf::DT_NEEDED) {
        let name = strings?.get(entry.val(endian) as usize..)?;
        let end = name.iter().position(|byte| *byte == 0)?;
        found
            .needed
            .push(String::from_utf8_lossy(&name[..end]).into_owned());
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_is_a_program_and_needs_the_c_library() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let found = read(&own).unwrap();
        assert!(found.program);
        assert!(found.interpreter.unwrap().contains("ld-linux"));
        assert!(found.needed.iter().any(|name| name == "libc.so.6"));
    }

    #[test]
    fn text_and_torn_files_are_none() {
        assert_eq!(read(b"#!/bin/sh\n"), None);
        assert_eq!(read(b"\x7fELF\x02\x01\x01"), None);
    }
}
