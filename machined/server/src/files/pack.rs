//! Files and folders as a tar stream.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use api::v1alpha1::CopyFilesResponse;
use backend::BackendError;

use super::walk::{Entry, Step, Walk};
use super::{FilePolicy, failed};

/// Bytes of the stream in one message.
const CHUNK: usize = 32 * 1024;
/// Bytes of a block of a tar file.
const BLOCK: u64 = 512;
/// The most entries of one stream.
const ENTRIES: usize = 200_000;
/// Where files are that have no size, and that do things when they are read.
const LIVING: [&str; 2] = ["/proc", "/sys"];

/// A tar stream that is made while it is read.
pub(crate) struct Pack {
    source: Source,
    /// The file that is being read, and how many bytes of it are still to be sent, with the blanks behind them.
    file: Option<(File, u64, u64)>,
    bytes: Vec<u8>,
    skipped: Option<String>,
    entries: usize,
    /// The end was sent.
    done: bool,
}

enum Source {
    One(Option<(PathBuf, File)>),
    Folder(Walk),
}

impl FilePolicy {
    /// Begins a tar stream of a file, or of a folder with everything below it that may be read.
    ///
    /// # Errors
    ///
    /// It does not exist, or may not be read. What may not be read below a folder is left out instead.
    pub(crate) fn pack(&self, asked: &str) -> Result<Pack, BackendError> {
        let path = self.resolve(asked)?;
        if let Some(living) = LIVING.iter().find(|living| path.starts_with(living)) {
            return Err(BackendError::Refused(format!(
                "{asked:?} cannot be copied: files below {living} have no size; use `bedplate read` for one of them"
            )));
        }
        let name = PathBuf::from(path.file_name().unwrap_or_default());
        let source = if path.is_dir() {
            let start = self.open_folder(asked, &path)?;
            let (policy, above) = (self.clone(), path.parent().unwrap_or(Path::new("/")).to_owned());
            let keep = move |below: &Path| policy.allowed(&above.join(below));
            Source::Folder(Walk::new(start, name, keep).map_err(|error| failed(asked, &error))?)
        } else {
            Source::One(Some((name, self.open(asked)?)))
        };
        Ok(Pack {
            source,
            file: None,
            bytes: Vec::new(),
            skipped: None,
            entries: 0,
            done: false,
        })
    }
}

impl Pack {
    /// Reads on, and returns the next message; nothing after the last.
    ///
    /// # Errors
    ///
    /// A file cannot be read to its end: the stream is of no use any more.
    pub(crate) fn next(&mut self) -> io::Result<Option<CopyFilesResponse>> {
        while self.bytes.len() < CHUNK && self.skipped.is_none() && !self.done {
            if !self.continue_file()? {
                self.next_entry();
            }
        }
        if self.bytes.is_empty() && self.skipped.is_none() {
            return Ok(None);
        }
        Ok(Some(CopyFilesResponse {
            data: std::mem::take(&mut self.bytes),
            skipped: self.skipped.take().unwrap_or_default(),
        }))
    }

    /// Reads more of the file that is open; false if there is none.
    fn continue_file(&mut self) -> io::Result<bool> {
        let Some((file, left, padding)) = &mut self.file else {
            return Ok(false);
        };
        let want = (*left).min(CHUNK as u64);
        let mut data = Vec::new();
        file.take(want).read_to_end(&mut data)?;
        // A file that has become shorter is filled up: its length was sent already.
        data.resize(usize::try_from(want).unwrap_or(CHUNK), 0);
        self.bytes.append(&mut data);
        *left -= want;
        if *left == 0 {
            let end = self.bytes.len() + usize::try_from(*padding).unwrap_or(0);
            self.bytes.resize(end, 0);
            self.file = None;
        }
        Ok(true)
    }

    fn next_entry(&mut self) {
        let step = match &mut self.source {
            Source::One(one) => match one.take() {
                Some((name, file)) => return self.begin_file(&name, file),
                None => None,
            },
            Source::Folder(walk) => walk.next(),
        };
        self.entries += 1;
        match step {
            Some(_) if self.entries > ENTRIES => {
                self.skipped = Some(format!("everything after the first {ENTRIES} entries"));
                self.end();
            }
            Some(Step::Enter(entry)) => self.folder(&entry),
            Some(Step::Leave) => {}
            Some(Step::Other(entry)) => self.other(&entry),
            Some(Step::Skipped(path, why)) => self.skip(&path, &why),
            None => self.end(),
        }
    }

    fn folder(&mut self, entry: &Entry) {
        let header = header(tar::EntryType::Directory, &entry.metadata, 0);
        self.header(&entry.path, header);
    }

    fn other(&mut self, entry: &Entry) {
        let kind = entry.metadata.file_type();
        if kind.is_file() {
            return match entry.open() {
                Ok(file) => self.begin_file(&entry.path, file),
                Err(error) => self.skip(&entry.path, &error.to_string()),
            };
        }
        if !kind.is_symlink() {
            return self.skip(&entry.path, "is a device, a socket or a pipe");
        }
        let mut header = header(tar::EntryType::Symlink, &entry.metadata, 0);
        let link = entry.link().and_then(|target| {
            let mut tar = tar::Builder::new(Vec::new());
            tar.append_link(&mut header, &entry.path, target)?;
            Ok(std::mem::take(tar.get_mut()))
        });
        match link {
            Ok(mut bytes) => self.bytes.append(&mut bytes),
            Err(error) => self.skip(&entry.path, &error.to_string()),
        }
    }

    fn begin_file(&mut self, path: &Path, file: File) {
        match file.metadata() {
            Ok(metadata) => {
                let size = metadata.len();
                let header = header(tar::EntryType::Regular, &metadata, size);
                if self.header(path, header) && size > 0 {
                    self.file = Some((file, size, size.next_multiple_of(BLOCK) - size));
                }
            }
            Err(error) => self.skip(path, &error.to_string()),
        }
    }

    /// Adds a header; false if the path is none that tar can have.
    fn header(&mut self, path: &Path, mut header: tar::Header) -> bool {
        let mut tar = tar::Builder::new(Vec::new());
        match tar.append_data(&mut header, path, io::empty()) {
            Ok(()) => {
                self.bytes.append(tar.get_mut());
                true
            }
            Err(error) => {
                self.skip(path, &error.to_string());
                false
            }
        }
    }

    fn skip(&mut self, path: &Path, why: &str) {
        self.skipped = Some(format!("{} {why}", path.display()));
    }

    /// Adds the two empty blocks that end a tar file.
    fn end(&mut self) {
        let end = self.bytes.len() + 2 * BLOCK as usize;
        self.bytes.resize(end, 0);
        self.done = true;
    }
}

fn header(kind: tar::EntryType, metadata: &Metadata, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(metadata.mode() & 0o777);
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    header
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    /// Reads the whole stream: what is in the tar by path, and what was skipped.
    fn unpacked(mut pack: Pack) -> (BTreeMap<String, String>, Vec<String>) {
        let (mut bytes, mut skipped) = (Vec::new(), Vec::new());
        while let Some(message) = pack.next().unwrap() {
            assert!(message.data.len() <= 2 * CHUNK + 8 * BLOCK as usize);
            bytes.extend(message.data);
            skipped.extend(Some(message.skipped).filter(|skipped| !skipped.is_empty()));
        }
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries = archive.entries().unwrap();
        let found = entries.map(|entry| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let link = entry.link_name().unwrap();
            let link = link.map_or_else(String::new, |link| format!("-> {}", link.display()));
            (path, format!("{text}{link}"))
        });
        (found.collect(), skipped)
    }

    fn tree() -> (tempfile::TempDir, PathBuf, FilePolicy) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["etc/pki", "etc/deep/er", "state"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        for (name, text) in [
            ("etc/hosts", "hosts"),
            ("etc/pki/key", "the key"),
            ("etc/deep/er/empty", ""),
            ("state/id", "i"),
        ] {
            std::fs::write(root.join(name), text).unwrap();
        }
        let policy = FilePolicy::new(
            vec![root.join("etc")],
            vec![root.join("etc/pki")],
            root.join("state"),
        );
        (folder, root, policy)
    }

    #[test]
    fn a_folder_is_packed_without_secrets() {
        let (_folder, root, policy) = tree();
        symlink(root.join("state/id"), root.join("etc/out")).unwrap();
        symlink("pki", root.join("etc/sly")).unwrap();
        let long = "n".repeat(150);
        std::fs::write(root.join("etc").join(&long), "long").unwrap();
        std::fs::write(root.join("etc/large"), "x".repeat(3 * CHUNK + 7)).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("etc/socket")).unwrap();
        let (found, skipped) = unpacked(policy.pack(&root.join("etc").display().to_string()).unwrap());
        let names: Vec<&str> = found.keys().map(|name| name.trim_end_matches('/')).collect();
        let long = format!("etc/{long}");
        let expected = [
            "etc",
            "etc/deep",
            "etc/deep/er",
            "etc/deep/er/empty",
            "etc/hosts",
            "etc/large",
            &long,
            "etc/out",
            "etc/sly",
        ];
        assert_eq!(names, expected);
        assert_eq!(found["etc/hosts"], "hosts");
        assert_eq!(found["etc/large"], "x".repeat(3 * CHUNK + 7));
        assert_eq!(found[&long], "long");
        assert_eq!(found["etc/sly"], "-> pki", "shown, and not followed");
        assert_eq!(skipped, ["etc/socket is a device, a socket or a pipe"]);
    }

    #[test]
    fn one_file_is_packed_and_what_may_not_be_read_is_refused() {
        let (_folder, root, policy) = tree();
        let pack = |name: &str| policy.pack(&root.join(name).display().to_string());
        assert_eq!(unpacked(pack("etc/hosts").unwrap()).0["hosts"], "hosts");
        for name in ["etc/pki", "etc/pki/key", "state", "state/id", "etc/../state/id"] {
            let error = pack(name).err().expect(name);
            assert!(matches!(error, BackendError::Refused(_)), "{name}: {error}");
        }
        let error = FilePolicy::default()
            .pack("/proc/sys/kernel")
            .err()
            .expect("refused");
        assert!(error.to_string().contains("bedplate read"), "{error}");
    }

    proptest! {
        /// Whatever lengths files have, and even if they become shorter or longer, the stream stays a tar.
        #[test]
        fn files_that_change_do_not_break_the_stream(
            lengths in prop::collection::vec((0_usize..3000, 0_usize..3000), 1..6),
        ) {
            let (_folder, root, policy) = tree();
            for (index, (length, _)) in lengths.iter().enumerate() {
                std::fs::write(root.join(format!("etc/{index}")), "a".repeat(*length)).unwrap();
            }
            let mut pack = policy.pack(&root.join("etc").display().to_string()).unwrap();
            let mut bytes = Vec::new();
            loop {
                // Every file is changed after its length was sent, and before it is read.
                if pack.file.is_none() {
                    pack.next_entry();
                    if pack.file.is_some() {
                        for (index, (_, length)) in lengths.iter().enumerate() {
                            std::fs::write(root.join(format!("etc/{index}")), "b".repeat(*length)).unwrap();
                        }
                    }
                } else {
                    pack.continue_file().unwrap();
                }
                bytes.append(&mut pack.bytes);
                if pack.done {
                    break;
                }
            }
            let mut archive = tar::Archive::new(bytes.as_slice());
            let names = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned());
            prop_assert_eq!(names.count(), lengths.len() + 5);
        }
    }
}
