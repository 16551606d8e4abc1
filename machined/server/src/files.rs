//! The files that the API may read, and how they are opened.
//!
//! A path is allowed when it lies under one of the [roots](ROOTS) *after* every symbolic link in it is followed, and
//! under none of the [secrets](SECRETS). What was opened is checked once more: the kernel tells which file a handle
//! refers to, so a link that is swapped in the meantime gains nothing.
//!
//! [`walk`] goes through folders by open handles: for sums of sizes ([`usage`]), and for tar streams ([`pack`]).

mod pack;
mod usage;
mod walk;

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use api::v1alpha1::{FileInfo, FileKind};
use backend::BackendError;

pub(crate) use pack::Pack;

/// Folders whose files may be shown.
const ROOTS: &[&str] = &["/etc", "/proc", "/sys", "/usr", "/var/log"];

/// Below the roots, and never shown: keys, what processes were given, and raw memory.
const SECRETS: &[&str] = &[
    "/etc/kubernetes/pki",
    "/etc/ssl/private",
    "/proc/kcore",
    "/proc/kmsg",
    "/proc/keys",
];

/// The file system that holds the node's identity and keys, wherever it is mounted.
const STATE: &str = "/var/lib/bedplate";

/// The folder whose folders may be measured: where DATA is mounted, and STATE below it.
const MEASURED: &str = "/var";

/// Largest number of entries in one response.
const ENTRIES: usize = 4096;

/// The policy of which files may be read. Tests use other roots.
#[derive(Debug, Clone)]
pub struct FilePolicy {
    roots: Vec<PathBuf>,
    secrets: Vec<PathBuf>,
    state: PathBuf,
    measured: PathBuf,
}

impl Default for FilePolicy {
    fn default() -> Self {
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
        Self {
            roots: paths(ROOTS),
            secrets: paths(SECRETS),
            state: STATE.into(),
            measured: MEASURED.into(),
        }
    }
}

impl FilePolicy {
    /// Allows these folders, except for these.
    pub fn new(roots: Vec<PathBuf>, secrets: Vec<PathBuf>, state: PathBuf) -> Self {
        Self {
            roots,
            secrets,
            state,
            measured: MEASURED.into(),
        }
    }

    /// Allows the folders below another one to be measured.
    #[cfg(test)]
    fn measuring(self, measured: PathBuf) -> Self {
        Self { measured, ..self }
    }

    /// Lists a folder, or shows one file; and whether there is more. Links are shown, not followed, at the path's end.
    pub fn list(&self, asked: &str) -> Result<(Vec<FileInfo>, bool), BackendError> {
        if asked.is_empty() || asked == "/" {
            let roots = self
                .roots
                .iter()
                .filter_map(|root| info(root.display().to_string(), root));
            return Ok((roots.collect(), false));
        }
        let path = self.resolve(asked)?;
        let metadata = path.metadata().map_err(|error| failed(asked, &error))?;
        self.check_device(asked, &metadata)?;
        if !metadata.is_dir() {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            return Ok((info(name, &path).into_iter().collect(), false));
        }
        let entries = path.read_dir().map_err(|error| failed(asked, &error))?;
        let mut files: Vec<FileInfo> = entries
            .flatten()
            .take(ENTRIES + 1)
            .filter(|entry| self.allowed(&entry.path()))
            .filter_map(|entry| info(entry.file_name().to_string_lossy().into_owned(), &entry.path()))
            .collect();
        let truncated = files.len() > ENTRIES;
        files.truncate(ENTRIES);
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((files, truncated))
    }

    /// Opens a regular file for reading.
    pub fn open(&self, asked: &str) -> Result<File, BackendError> {
        let path = self.resolve(asked)?;
        // A pipe must not hold the call up, and the last part must not have become a link since.
        let file = File::options()
            .read(true)
            .custom_flags(sys::filesystem::NONBLOCK)
            .open(&path);
        let file = file.map_err(|error| failed(asked, &error))?;
        let metadata = file.metadata().map_err(|error| failed(asked, &error))?;
        self.check_device(asked, &metadata)?;
        let opened = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let opened = opened.map_err(|error| failed(asked, &error))?;
        if !self.allowed(&opened) {
            return Err(self.refused(asked));
        }
        if !metadata.is_file() {
            return Err(BackendError::Refused(format!("{asked} is not a regular file")));
        }
        Ok(file)
    }

    /// Opens a folder, whose path was resolved.
    fn open_folder(&self, asked: &str, path: &Path) -> Result<File, BackendError> {
        let (folder, real) = open_folder(path).map_err(|error| failed(asked, &error))?;
        let metadata = folder.metadata().map_err(|error| failed(asked, &error))?;
        self.check_device(asked, &metadata)?;
        match self.allowed(&real) {
            true => Ok(folder),
            false => Err(self.refused(asked)),
        }
    }

    /// Opens a folder that may be measured, and returns its path without links.
    fn open_measured(&self, asked: &str) -> Result<(File, PathBuf), BackendError> {
        let refused = || {
            BackendError::Refused(format!(
                "{asked:?} cannot be measured over the API; only folders below {} can",
                self.measured.display()
            ))
        };
        if !is_plain(Path::new(asked)) || !Path::new(asked).starts_with(&self.measured) {
            return Err(refused());
        }
        let real = Path::new(asked)
            .canonicalize()
            .map_err(|error| failed(asked, &error))?;
        let (folder, real) = open_folder(&real).map_err(|error| failed(asked, &error))?;
        match real.starts_with(&self.measured) {
            true => Ok((folder, real)),
            false => Err(refused()),
        }
    }

    /// Follows every link of a path, and checks where it leads.
    fn resolve(&self, asked: &str) -> Result<PathBuf, BackendError> {
        let path = Path::new(asked);
        if !is_plain(path) || !self.allowed(path) {
            return Err(self.refused(asked));
        }
        let real = path.canonicalize().map_err(|error| failed(asked, &error))?;
        if self.allowed(&real) {
            Ok(real)
        } else {
            Err(self.refused(asked))
        }
    }

    fn allowed(&self, path: &Path) -> bool {
        let below = |folders: &[PathBuf]| folders.iter().any(|folder| path.starts_with(folder));
        below(&self.roots) && !below(&self.secrets) && !path.starts_with(&self.state) && !of_a_process(path)
    }

    /// Refuses what lies on the file system of STATE, even where it is mounted a second time.
    fn check_device(&self, asked: &str, metadata: &Metadata) -> Result<(), BackendError> {
        let root = Path::new("/").metadata().map(|metadata| metadata.dev()).ok();
        let state = self.state.metadata().map(|metadata| metadata.dev()).ok();
        // Where STATE is not a file system of its own (before it is mounted), paths alone decide.
        if state.is_some() && state != root && state == Some(metadata.dev()) {
            return Err(self.refused(asked));
        }
        Ok(())
    }

    fn refused(&self, asked: &str) -> BackendError {
        let roots: Vec<String> = self.roots.iter().map(|root| root.display().to_string()).collect();
        BackendError::Refused(format!(
            "{asked:?} cannot be read over the API; only files below {} can, except for secrets",
            roots.join(", ")
        ))
    }
}

/// Tells whether a path is absolute, and leads nowhere but down.
fn is_plain(path: &Path) -> bool {
    path.is_absolute()
        && path
            .components()
            .all(|part| !matches!(part, Component::ParentDir))
}

/// Opens a folder that is no link, and returns where it really is.
fn open_folder(path: &Path) -> io::Result<(File, PathBuf)> {
    let folder = File::options()
        .read(true)
        .custom_flags(sys::filesystem::DIRECTORY | sys::filesystem::NOFOLLOW)
        .open(path)?;
    let real = std::fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd()))?;
    Ok((folder, real))
}

/// Finds what `/proc` shows of single processes: their environment and memory, and links to everything they may open.
fn of_a_process(path: &Path) -> bool {
    let mut parts = path.components().skip(1);
    let first = parts.next().is_some_and(|part| part.as_os_str() == "proc");
    let second = parts
        .next()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .unwrap_or_default();
    let process = second.parse::<u32>().is_ok() || second == "self" || second == "thread-self";
    first && process
}

fn failed(asked: &str, error: &io::Error) -> BackendError {
    match error.kind() {
        io::ErrorKind::NotFound => BackendError::NotFound(format!("{asked} does not exist")),
        _ => BackendError::Refused(format!("cannot read {asked}: {error}")),
    }
}

fn info(name: String, path: &Path) -> Option<FileInfo> {
    let metadata = path.symlink_metadata().ok()?;
    let kind = match metadata.file_type() {
        kind if kind.is_file() => FileKind::Regular,
        kind if kind.is_dir() => FileKind::Directory,
        kind if kind.is_symlink() => FileKind::Symlink,
        _ => FileKind::Special,
    };
    let link = std::fs::read_link(path).map(|target| target.display().to_string());
    Some(FileInfo {
        name,
        kind: kind.into(),
        size_bytes: metadata.len(),
        mode: metadata.mode() & 0o7777,
        modified_unix: metadata.mtime(),
        link: link.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use super::*;

    struct Tree {
        _folder: tempfile::TempDir,
        root: PathBuf,
        policy: FilePolicy,
    }

    fn tree() -> Tree {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["etc/pki", "state", "other"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        for (name, text) in [
            ("etc/hosts", "hosts"),
            ("etc/pki/key", "k"),
            ("state/id", "i"),
            ("other/x", "x"),
        ] {
            std::fs::write(root.join(name), text).unwrap();
        }
        symlink(root.join("other/x"), root.join("etc/out")).unwrap();
        symlink(root.join("other"), root.join("etc/folder")).unwrap();
        symlink("hosts", root.join("etc/in")).unwrap();
        symlink("pki/key", root.join("etc/sly")).unwrap();
        let policy = FilePolicy::new(
            vec![root.join("etc")],
            vec![root.join("etc/pki")],
            root.join("state"),
        );
        Tree {
            _folder: folder,
            root,
            policy,
        }
    }

    fn read(tree: &Tree, path: &str) -> Result<String, BackendError> {
        let mut text = String::new();
        let path = tree.root.join(path).display().to_string();
        tree.policy.open(&path)?.read_to_string(&mut text).unwrap();
        Ok(text)
    }

    #[test]
    fn only_what_is_below_the_roots_is_read() {
        let tree = tree();
        assert_eq!(read(&tree, "etc/hosts").unwrap(), "hosts");
        assert_eq!(
            read(&tree, "etc/in").unwrap(),
            "hosts",
            "a link that stays inside"
        );
        for path in [
            "etc/out",
            "etc/folder/x",
            "etc/sly",
            "etc/pki/key",
            "state/id",
            "other/x",
            "etc/../other/x",
            "etc",
        ] {
            let error = read(&tree, path).unwrap_err();
            assert!(matches!(error, BackendError::Refused(_)), "{path}: {error}");
        }
        assert!(matches!(
            read(&tree, "etc/none").unwrap_err(),
            BackendError::NotFound(_)
        ));
    }

    #[test]
    fn a_listing_shows_links_and_hides_secrets() {
        let tree = tree();
        let (files, more) = tree
            .policy
            .list(&tree.root.join("etc").display().to_string())
            .unwrap();
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["folder", "hosts", "in", "out", "sly"]);
        assert!(!more);
        assert_eq!(
            (files[2].kind, files[2].link.as_str()),
            (FileKind::Symlink.into(), "hosts")
        );
        assert!(
            tree.policy
                .list(&tree.root.join("etc/folder").display().to_string())
                .is_err()
        );
        assert_eq!(tree.policy.list("/").unwrap().0.len(), 1);
    }

    #[test]
    fn processes_are_not_shown_file_by_file() {
        let policy = FilePolicy::default();
        let refused = [
            "/proc/1/environ",
            "/proc/self/environ",
            "/proc/self/root/etc/passwd",
            "/proc/kcore",
            "relative",
        ];
        for path in refused {
            assert!(
                matches!(policy.open(path), Err(BackendError::Refused(_))),
                "{path}"
            );
        }
        policy.open("/proc/meminfo").unwrap();
        // A link to /proc/self/mounts.
        assert!(policy.open("/proc/mounts").is_err());
    }
}
