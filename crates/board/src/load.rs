//! Reads board, overlay and module list files, each checked on its own.

use std::fs;
use std::path::{Path, PathBuf};

use text::LoadError;

use crate::document::{ModuleList, Overlay, RawBoard, parse_board, parse_module_list, parse_overlay};
use crate::error::{Error, Result};
use crate::features::Features;
use crate::files::OwnFile;
use crate::names::Name;

/// A parsed file, kept with its text so that a fault found later can still name the line.
pub(crate) struct Source<T> {
    pub path: PathBuf,
    pub text: String,
    pub value: T,
}

impl<T> Source<T> {
    /// Returns the file and its text, for messages.
    pub fn place(&self) -> (&Path, &str) {
        (&self.path, &self.text)
    }
}

/// Reads the boards in a folder.
pub(crate) fn boards(folder: &Path) -> Result<Vec<Source<RawBoard>>> {
    let read = |path: PathBuf| {
        let text = read(&path)?;
        let mut value = parse_board(&text, &path)?;
        expect_name(&path, &text, &value.name, path.file_stem())?;
        rebase(&path, &text, &mut value.features, &mut value.esp.files)?;
        if let Some(from) = value.kernel.as_mut().and_then(|kernel| kernel.from.as_mut()) {
            *from = folder.join(&*from).to_string_lossy().into_owned();
        }
        Ok(Source { path, text, value })
    };
    yaml_files(folder)?.into_iter().map(read).collect()
}

/// Reads the lists of modules in a folder.
pub(crate) fn module_lists(folder: &Path) -> Result<Vec<Source<ModuleList>>> {
    let read = |path: PathBuf| {
        let text = read(&path)?;
        let value = parse_module_list(&text, &path)?;
        expect_name(&path, &text, &value.name, path.file_stem())?;
        Ok(Source { path, text, value })
    };
    yaml_files(folder)?.into_iter().map(read).collect()
}

/// Reads the overlays in the folders of a folder.
pub(crate) fn overlays(folder: &Path) -> Result<Vec<Source<Overlay>>> {
    let paths = entries(folder)?
        .into_iter()
        .map(|folder| folder.join("overlay.yaml"));
    let read = |path: PathBuf| {
        let text = read(&path)?;
        let mut value = parse_overlay(&text, &path)?;
        expect_name(&path, &text, &value.name, path.parent().and_then(Path::file_name))?;
        rebase(&path, &text, &mut value.features, &mut [])?;
        Ok(Source { path, text, value })
    };
    paths.filter(|path| path.is_file()).map(read).collect()
}

fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = entries(folder)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    Ok(paths)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let fault = |source| Error::Read {
        path: folder.to_owned(),
        source,
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(fault)? {
        paths.push(entry.map_err(fault)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// The longest board or overlay file.
const LIMIT: usize = 1024 * 1024;

fn read(path: &Path) -> Result<String> {
    let path = path.to_owned();
    match text::load(&path, LIMIT) {
        Ok(text) => Ok(text.to_string()),
        Err(LoadError::Access(source)) => Err(Error::Read { path, source }),
        Err(LoadError::Text(error)) => Err(Error::Invalid {
            path,
            line: error.line().max(1),
            message: error.message(),
        }),
    }
}

fn expect_name(path: &Path, text: &str, name: &Name, expected: Option<&std::ffi::OsStr>) -> Result<()> {
    let expected = expected.unwrap_or_default().to_string_lossy();
    if expected == name.as_str() {
        return Ok(());
    }
    let message = format!(
        "name is {:?}, but the file is that of {expected:?}; make them equal",
        name.as_str()
    );
    Err(Error::invalid(path, text, name.as_str(), message))
}

/// Makes the sources of files full paths, and checks that each file and each device-tree overlay has one origin.
fn rebase(path: &Path, text: &str, features: &mut Features, further: &mut [OwnFile]) -> Result<()> {
    for link in &mut features.links {
        link.origin = path.display().to_string();
    }
    for file in features.files.iter_mut().chain(further) {
        file.origin = path.display().to_string();
        match (&file.content, &mut file.source) {
            (Some(_), None) => {}
            (None, Some(source)) => resolve(path, text, source)?,
            _ => {
                let target = file.path.to_string();
                let message = format!("file {target:?} needs either `content` or `source`");
                return Err(Error::invalid(path, text, &target, message));
            }
        }
    }
    for overlay in &mut features.device_tree_overlays {
        let fault = |message| Error::invalid(path, text, &overlay.file_name(), message);
        overlay.check().map_err(fault)?;
        if let Some(source) = &mut overlay.source {
            resolve(path, text, source)?;
        }
    }
    Ok(())
}

/// Makes the path of a file, which is relative to the YAML file's folder, a full one.
fn resolve(path: &Path, text: &str, source: &mut String) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let full = folder.join(source.as_str());
    if !full.is_file() {
        let message = format!(
            "file {source:?} not found; it is looked for in {}",
            folder.display()
        );
        return Err(Error::invalid(path, text, source, message));
    }
    *source = full.to_string_lossy().into_owned();
    Ok(())
}
