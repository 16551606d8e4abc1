//! Puts the keys that a loader trusts into its binary.

use manifest::TrustedKey;
use manifest::keyring::{self, KeyringError};
use object::{Object, ObjectSection};

/// A fault of putting keys into a loader.
#[derive(Debug, thiserror::Error)]
pub enum LoaderError {
    /// It is not a UEFI program.
    #[error("the loader is not a UEFI program")]
    NotPe(#[from] object::Error),
    /// It has no place for keys.
    #[error(
        "the loader has no section {} of {} bytes: it is not Bedplate's loader, or of another version",
        keyring::SECTION,
        keyring::LEN
    )]
    NoSection,
    /// The keys do not fit.
    #[error("the keys do not fit into the loader")]
    Keys(#[from] KeyringError),
}

/// Returns the loader with these keys in place of those it had.
pub fn with_keys(loader: &[u8], keys: &[TrustedKey]) -> Result<Vec<u8>, LoaderError> {
    let file = object::File::parse(loader)?;
    let section = file
        .section_by_name(keyring::SECTION)
        .ok_or(LoaderError::NoSection)?;
    let (start, len) = section.file_range().ok_or(LoaderError::NoSection)?;
    let start = start as usize;
    if (len as usize) < keyring::LEN || keyring::decode(&loader[start..start + keyring::LEN]).is_err() {
        return Err(LoaderError::NoSection);
    }
    let mut patched = loader.to_vec();
    patched[start..start + keyring::LEN].copy_from_slice(&keyring::encode(keys)?);
    Ok(patched)
}

/// Reads the keys that a loader trusts.
pub fn keys(loader: &[u8]) -> Result<Vec<TrustedKey>, LoaderError> {
    let file = object::File::parse(loader)?;
    let section = file
        .section_by_name(keyring::SECTION)
        .ok_or(LoaderError::NoSection)?;
    let (start, _) = section.file_range().ok_or(LoaderError::NoSection)?;
    let bytes = loader
        .get(start as usize..start as usize + keyring::LEN)
        .ok_or(LoaderError::NoSection)?;
    Ok(keyring::decode(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes the smallest PE file with one section that holds an empty keyring.
    fn pe(name: &[u8; 8]) -> Vec<u8> {
        let mut file = vec![0; 0x200];
        file[0..2].copy_from_slice(b"MZ");
        file[0x3c] = 0x40;
        file[0x40..0x44].copy_from_slice(b"PE\0\0");
        file[0x44..0x46].copy_from_slice(&0xaa64u16.to_le_bytes());
        file[0x46] = 1; // one section
        file[0x54] = 0xf0; // length of the optional header
        file[0x58..0x5a].copy_from_slice(&0x20bu16.to_le_bytes());
        file[0xc4] = 16; // data directories
        let section = 0x58 + 0xf0;
        file[section..section + 8].copy_from_slice(name);
        let word = |file: &mut Vec<u8>, at: usize, value: u32| {
            file[at..at + 4].copy_from_slice(&value.to_le_bytes())
        };
        word(&mut file, section + 8, keyring::LEN as u32);
        word(&mut file, section + 12, 0x1000);
        word(&mut file, section + 16, keyring::LEN as u32);
        word(&mut file, section + 20, 0x200);
        file.extend_from_slice(&keyring::EMPTY);
        file.extend_from_slice(b"after");
        file
    }

    #[test]
    fn keys_go_in_and_nothing_else_changes() {
        let loader = pe(b".bpkeys\0");
        let key = TrustedKey {
            id: [1; 8],
            key: ed25519_dalek::SigningKey::from_bytes(&[2; 32])
                .verifying_key()
                .to_bytes(),
        };
        let patched = with_keys(&loader, &[key]).unwrap();
        assert_eq!(keys(&patched).unwrap(), [key]);
        assert_eq!(patched[..0x200], loader[..0x200]);
        assert!(patched.ends_with(b"after"));
        // Other keys replace the ones that are there.
        assert_eq!(keys(&with_keys(&patched, &[]).unwrap()).unwrap(), []);
    }

    #[test]
    fn another_program_is_refused() {
        assert!(matches!(
            with_keys(&pe(b".text\0\0\0"), &[]),
            Err(LoaderError::NoSection)
        ));
        assert!(matches!(with_keys(b"#!/bin/sh", &[]), Err(LoaderError::NotPe(_))));
    }
}
