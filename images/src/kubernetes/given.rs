//! Programs out of a folder or an archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use board::Name;
use kubernetes::Version;

/// The largest window of an archive, as a power of two: 128 MiB.
const WINDOW: u32 = 27;

/// A folder or archive could not be used.
#[derive(Debug, thiserror::Error)]
pub enum GivenError {
    /// It could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program is missing.
    #[error("{path} has no program {name}")]
    Missing {
        /// The folder or archive.
        path: PathBuf,
        /// The program.
        name: String,
    },
    /// Several files have the program's name.
    #[error("{path} has several files {name}; keep one of them")]
    Twice {
        /// The archive.
        path: PathBuf,
        /// The program.
        name: String,
    },
    /// A program is larger than any can be.
    #[error("{name} in {path} has more than {most} bytes")]
    Large {
        /// The folder or archive.
        path: PathBuf,
        /// The program.
        name: String,
        /// The most that it may have.
        most: u64,
    },
}

/// Finds the version in a name such as `kubernetes-1.36.2-arm64.tar.zst`: the first part that is a whole one.
pub(super) fn version_in_name(path: &Path) -> Option<Version> {
    let name = path.file_name()?.to_str()?;
    let parts = name.split(['-', '_']).map(|part| part.trim_end_matches(".tar"));
    let whole = |part: &str| {
        part.parse()
            .ok()
            .filter(|version: &Version| version.patch.is_some())
    };
    parts
        .map(|part| part.split(".tar.").next().unwrap_or(part))
        .find_map(whole)
}

/// Reads programs, wherever in an archive they are.
pub(super) fn read(path: &Path, names: &[Name], most: u64) -> Result<BTreeMap<String, Vec<u8>>, GivenError> {
    let found = match path.is_dir() {
        true => folder(path, names, most)?,
        false => archive(path, names, most)?,
    };
    match names.iter().find(|name| !found.contains_key(name.as_str())) {
        Some(name) => Err(GivenError::Missing {
            path: path.to_owned(),
            name: name.to_string(),
        }),
        None => Ok(found),
    }
}

fn folder(path: &Path, names: &[Name], most: u64) -> Result<BTreeMap<String, Vec<u8>>, GivenError> {
    let mut found = BTreeMap::new();
    for name in names {
        let file = path.join(name.as_str());
        match File::open(&file) {
            Ok(opened) => {
                let data = whole(path, name.as_str(), opened, most)?;
                found.insert(name.to_string(), data);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(source) => return Err(GivenError::Read { path: file, source }),
        }
    }
    Ok(found)
}

/// Reads `.tar`, `.tar.gz`, `.tar.xz` and `.tar.zst`, told apart by how they begin.
fn archive(path: &Path, names: &[Name], most: u64) -> Result<BTreeMap<String, Vec<u8>>, GivenError> {
    let fault = |source| GivenError::Read {
        path: path.to_owned(),
        source,
    };
    let mut found = BTreeMap::new();
    let mut archive = tar::Archive::new(unpacked(path).map_err(fault)?);
    for entry in archive.entries().map_err(fault)? {
        let entry = entry.map_err(fault)?;
        let inside = entry.path().map_err(fault)?.into_owned();
        let name = inside
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if !entry.header().entry_type().is_file() || !names.iter().any(|wanted| wanted.as_str() == name) {
            continue;
        }
        let name = name.to_owned();
        let data = whole(path, &name, entry, most)?;
        if found.insert(name.clone(), data).is_some() {
            return Err(GivenError::Twice {
                path: path.to_owned(),
                name,
            });
        }
    }
    Ok(found)
}

/// Opens an archive that may be compressed, told by how it begins.
pub(crate) fn unpacked(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut begin = [0; 6];
    let read = File::open(path)?.read(&mut begin)?;
    let file = io::BufReader::new(File::open(path)?);
    Ok(match &begin[..read] {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder = zstd::Decoder::new(file)?;
            decoder.window_log_max(WINDOW)?;
            Box::new(decoder)
        }
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(file)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Box::new(liblzma::read::XzDecoder::new(file)),
        _ => Box::new(file),
    })
}

fn whole(path: &Path, name: &str, from: impl Read, most: u64) -> Result<Vec<u8>, GivenError> {
    let mut data = Vec::new();
    let read = from.take(most + 1).read_to_end(&mut data);
    read.map_err(|source| GivenError::Read {
        path: path.to_owned(),
        source,
    })?;
    match data.len() as u64 > most {
        true => Err(GivenError::Large {
            path: path.to_owned(),
            name: name.to_owned(),
            most,
        }),
        false => Ok(data),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(all: &[&str]) -> Vec<Name> {
        all.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, data) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(data.len() as u64);
            header.set_mode(0o755);
            builder.append_data(&mut header, path, *data).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn programs_come_out_of_a_folder_and_every_kind_of_archive() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let tar = packed(&[
            ("kubernetes/server/bin/kubelet", b"let"),
            ("./kube-proxy", b"proxy"),
            ("README", b"text"),
        ]);
        fs::write(at("a.tar"), &tar).unwrap();
        fs::write(at("a.tar.zst"), zstd::encode_all(tar.as_slice(), 1).unwrap()).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::copy(&mut tar.as_slice(), &mut gzip).unwrap();
        fs::write(at("a.tar.gz"), gzip.finish().unwrap()).unwrap();
        let mut xz = Vec::new();
        liblzma::read::XzEncoder::new(tar.as_slice(), 1)
            .read_to_end(&mut xz)
            .unwrap();
        fs::write(at("a.tar.xz"), xz).unwrap();
        fs::create_dir(at("folder")).unwrap();
        fs::write(at("folder/kubelet"), "let").unwrap();
        fs::write(at("folder/kube-proxy"), "proxy").unwrap();
        let wanted = names(&["kubelet", "kube-proxy"]);
        for name in ["a.tar", "a.tar.zst", "a.tar.gz", "a.tar.xz", "folder"] {
            let found = read(&at(name), &wanted, 10).unwrap();
            assert_eq!(found["kubelet"], b"let", "{name}");
            assert_eq!(found.len(), 2, "{name}");
            let error = read(&at(name), &names(&["kube-apiserver"]), 10)
                .unwrap_err()
                .to_string();
            assert!(error.ends_with("has no program kube-apiserver"), "{error}");
            let error = read(&at(name), &wanted, 4).unwrap_err().to_string();
            assert!(
                error.contains("kube-proxy in") && error.ends_with("more than 4 bytes"),
                "{error}"
            );
        }
        fs::write(at("b.tar"), packed(&[("a/kubelet", b"1"), ("b/kubelet", b"2")])).unwrap();
        let error = read(&at("b.tar"), &names(&["kubelet"]), 10)
            .unwrap_err()
            .to_string();
        assert!(error.contains("has several files kubelet"), "{error}");
        fs::write(
            at("c.tar.zst"),
            &zstd::encode_all(tar.as_slice(), 1).unwrap()[..40],
        )
        .unwrap();
        assert!(read(&at("c.tar.zst"), &wanted, 10).is_err());
    }

    #[test]
    fn a_name_says_its_version() {
        for (name, version) in [
            ("kubernetes-1.20.2-amd64.tar.zst", Some("1.20.2")),
            ("kubernetes-v1.36.2.tar.gz", Some("1.36.2")),
            ("k8s_1.34.0_arm64", Some("1.34.0")),
            ("kubernetes-1.36-arm64", None),
            ("programs", None),
        ] {
            let found = version_in_name(Path::new(name)).map(|version| version.to_string());
            assert_eq!(found.as_deref(), version, "{name}");
        }
    }
}
