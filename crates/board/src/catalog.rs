//! The boards and overlays that can be built from.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use text::LoadError;

use crate::document::{Board, Overlay, RawBoard, parse_board, parse_overlay};
use crate::error::{Error, Result};
use crate::features::Features;
use crate::inherit::{inherit, join_features};
use crate::names::Name;
use crate::nearest;

/// A parsed file, kept with its text so that a fault found later can still name the line.
struct Source<T> {
    path: PathBuf,
    text: String,
    value: T,
}

/// The boards and overlays found in some folders, each file valid on its own.
#[derive(Default)]
pub struct Catalog {
    boards: BTreeMap<String, Source<RawBoard>>,
    overlays: BTreeMap<String, Source<Overlay>>,
}

/// A board and the overlays chosen for it: everything that an image needs to know.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The board, with everything it inherits.
    pub board: Board,
    /// The overlays in the order they are added.
    pub overlays: Vec<Overlay>,
    /// The features of board and overlays together; sources of files are full paths.
    pub features: Features,
}

impl Catalog {
    /// Reads `boards/*.yaml` and `overlays/*/overlay.yaml` under each root; a later root replaces equal names.
    pub fn load(roots: &[PathBuf]) -> Result<Catalog> {
        let mut catalog = Catalog::default();
        for root in roots {
            for path in entries(&root.join("boards"))? {
                if path.extension().is_some_and(|extension| extension == "yaml") {
                    catalog.add_board(&path)?;
                }
            }
            for folder in entries(&root.join("overlays"))? {
                let path = folder.join("overlay.yaml");
                if path.is_file() {
                    catalog.add_overlay(&path)?;
                }
            }
        }
        Ok(catalog)
    }

    /// Lists the boards that can be built.
    pub fn boards(&self) -> impl Iterator<Item = &RawBoard> {
        self.boards
            .values()
            .map(|source| &source.value)
            .filter(|board| !board.is_abstract)
    }

    /// Lists the overlays.
    pub fn overlays(&self) -> impl Iterator<Item = &Overlay> {
        self.overlays.values().map(|source| &source.value)
    }

    /// Gives one board with everything it inherits.
    pub fn board(&self, name: &str) -> Result<Board> {
        let source = self.find_board(name)?;
        if source.value.is_abstract {
            let heirs = self.boards.values().filter(|heir| self.inherits(heir, name));
            let heirs = heirs.map(|heir| heir.value.name.to_string()).collect();
            return Err(Error::Abstract {
                name: name.to_owned(),
                heirs,
            });
        }
        let merged = self.flatten(source, &mut Vec::new())?;
        let missing = |what: &str| {
            let message =
                format!("board {name:?} has no {what}; add `{what}:` here or in a board it inherits from");
            Error::invalid(&source.path, &source.text, "name", message)
        };
        Ok(Board {
            arch: merged.arch.ok_or_else(|| missing("arch"))?,
            kernel: merged.kernel.ok_or_else(|| missing("kernel"))?,
            name: merged.name,
            description: merged.description,
            device_trees: merged.device_trees.unwrap_or_default(),
            disk: merged.disk.unwrap_or_default(),
            esp: merged.esp,
            boot_code: merged.boot_code,
            overlays: merged.overlays,
            features: merged.features,
        })
    }

    /// Gives a board together with its own overlays and further ones.
    pub fn select(&self, board: &str, further: &[String]) -> Result<Selection> {
        let name = board;
        let board = self.board(board)?;
        let mut overlays = Vec::new();
        for overlay in &board.overlays {
            let source = self.find_board(name)?;
            self.add_with_needs(
                overlay.as_str(),
                Some((&source.path, &source.text)),
                name,
                &mut overlays,
            )?;
        }
        for overlay in further {
            self.add_with_needs(overlay, None, name, &mut overlays)?;
        }
        let features = overlays.iter().map(|overlay| overlay.features.clone());
        let features = join_features(
            features.fold(Features::default(), join_features),
            board.features.clone(),
        );
        service_definition::check(features.services.clone()).map_err(|source| Error::Services {
            board: name.to_owned(),
            overlays: overlays.iter().map(|overlay| overlay.name.to_string()).collect(),
            source,
        })?;
        Ok(Selection {
            board,
            overlays,
            features,
        })
    }

    fn find_board(&self, name: &str) -> Result<&Source<RawBoard>> {
        self.boards.get(name).ok_or_else(|| {
            let known: Vec<String> = self.boards().map(|board| board.name.to_string()).collect();
            let hint = nearest::hint(name, known.iter().map(String::as_str));
            Error::Unknown {
                what: "board",
                name: name.to_owned(),
                hint,
                known,
            }
        })
    }

    fn inherits(&self, heir: &Source<RawBoard>, from: &str) -> bool {
        !heir.value.is_abstract
            && heir
                .value
                .inherit
                .as_ref()
                .is_some_and(|parent| parent.as_str() == from)
    }

    fn flatten(&self, source: &Source<RawBoard>, chain: &mut Vec<String>) -> Result<RawBoard> {
        let own = source.value.clone();
        chain.push(own.name.to_string());
        let Some(parent) = own.inherit.as_ref() else {
            return Ok(own);
        };
        let fault = |message| Error::invalid(&source.path, &source.text, "inherit", message);
        if chain.iter().any(|name| name == parent.as_str()) {
            return Err(fault(format!(
                "boards inherit from each other in a loop: {} → {parent}",
                chain.join(" → ")
            )));
        }
        let Some(found) = self.boards.get(parent.as_str()) else {
            let known: Vec<&str> = self.boards.keys().map(String::as_str).collect();
            let hint = nearest::hint(parent.as_str(), known.iter().copied());
            return Err(fault(format!(
                "board {parent:?} not found{hint}; known: {}",
                known.join(", ")
            )));
        };
        Ok(inherit(self.flatten(found, chain)?, own))
    }

    /// Adds an overlay after the ones it needs; `at` is the file that names it.
    fn add_with_needs(
        &self,
        name: &str,
        at: Option<(&Path, &str)>,
        board: &str,
        chosen: &mut Vec<Overlay>,
    ) -> Result<()> {
        if chosen.iter().any(|overlay| overlay.name.as_str() == name) {
            return Ok(());
        }
        let Some(source) = self.overlays.get(name) else {
            let known: Vec<String> = self.overlays.keys().cloned().collect();
            let hint = nearest::hint(name, known.iter().map(String::as_str));
            return Err(match at {
                Some((path, text)) => {
                    let message = format!("overlay {name:?} not found{hint}; known: {}", known.join(", "));
                    Error::invalid(path, text, name, message)
                }
                None => Error::Unknown {
                    what: "overlay",
                    name: name.to_owned(),
                    hint,
                    known,
                },
            });
        };
        let boards: Vec<String> = source.value.boards.iter().map(Name::to_string).collect();
        if !boards.is_empty() && !boards.iter().any(|known| known == board) {
            return Err(Error::NotForBoard {
                overlay: name.to_owned(),
                board: board.to_owned(),
                boards,
            });
        }
        // Its own needs come first in the list; a loop ends because the overlay is already in place then.
        let place = chosen.len();
        chosen.push(source.value.clone());
        for need in &source.value.needs {
            self.add_with_needs(need.as_str(), Some((&source.path, &source.text)), board, chosen)?;
        }
        chosen[place..].rotate_left(1);
        Ok(())
    }

    fn add_board(&mut self, path: &Path) -> Result<()> {
        let text = read(path)?;
        let mut value = parse_board(&text, path)?;
        expect_name(path, &text, &value.name, path.file_stem())?;
        rebase(path, &text, &mut value.features, &mut value.esp.files)?;
        self.boards.insert(
            value.name.to_string(),
            Source {
                path: path.to_owned(),
                text,
                value,
            },
        );
        Ok(())
    }

    fn add_overlay(&mut self, path: &Path) -> Result<()> {
        let text = read(path)?;
        let mut value = parse_overlay(&text, path)?;
        expect_name(path, &text, &value.name, path.parent().and_then(Path::file_name))?;
        rebase(path, &text, &mut value.features, &mut [])?;
        self.overlays.insert(
            value.name.to_string(),
            Source {
                path: path.to_owned(),
                text,
                value,
            },
        );
        Ok(())
    }
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

/// Makes the sources of files full paths, and checks that each file has exactly one origin.
fn rebase(
    path: &Path,
    text: &str,
    features: &mut Features,
    further: &mut [crate::files::OwnFile],
) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let resolve = |source: &mut String| {
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
    };
    for file in features.files.iter_mut().chain(further) {
        match (&file.content, &mut file.source) {
            (Some(_), None) => {}
            (None, Some(source)) => resolve(source)?,
            _ => {
                let target = file.path.to_string();
                let message = format!("file {target:?} needs either `content` or `source`");
                return Err(Error::invalid(path, text, &target, message));
            }
        }
    }
    features
        .device_tree_overlays
        .iter_mut()
        .try_for_each(|overlay| resolve(&mut overlay.source))
}
