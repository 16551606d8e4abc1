//! The boards and overlays that can be built from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::device_trees::Apply;
use crate::document::{Board, ModuleList, Overlay, RawBoard};
use crate::error::{Error, Result};
use crate::features::Features;
use crate::inherit::{inherit, join_features};
use crate::load::{self, Source};
use crate::modules::{ListFault, ModuleEntry, Modules, WantedModules};
use crate::names::Name;

/// The boards and overlays found in some folders, each file valid on its own.
#[derive(Default)]
pub struct Catalog {
    boards: BTreeMap<String, Source<RawBoard>>,
    overlays: BTreeMap<String, Source<Overlay>>,
    lists: BTreeMap<String, Source<ModuleList>>,
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
    /// The kernel modules of the features, with the modules of lists in the lists' places.
    pub modules: WantedModules,
}

impl Catalog {
    /// Reads `boards/*.yaml`, `boards/modules/*.yaml` and `overlays/*/overlay.yaml` under each root; a later root replaces
    /// equal names.
    pub fn load(roots: &[PathBuf]) -> Result<Catalog> {
        let mut catalog = Catalog::default();
        for root in roots {
            for board in load::boards(&root.join("boards"))? {
                catalog.boards.insert(board.value.name.to_string(), board);
            }
            for list in load::module_lists(&root.join("boards/modules"))? {
                catalog.lists.insert(list.value.name.to_string(), list);
            }
            for overlay in load::overlays(&root.join("overlays"))? {
                catalog.overlays.insert(overlay.value.name.to_string(), overlay);
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

    /// Lists the folders of packages that boards take their kernels from.
    pub fn kernel_folders(&self) -> impl Iterator<Item = PathBuf> {
        let kernels = self
            .boards
            .values()
            .filter_map(|board| board.value.kernel.as_ref());
        kernels.filter_map(|kernel| kernel.from.as_ref().map(PathBuf::from))
    }

    /// Lists the overlays.
    pub fn overlays(&self) -> impl Iterator<Item = &Overlay> {
        self.overlays.values().map(|source| &source.value)
    }

    /// Returns one board with everything it inherits.
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
            device_trees: merged.device_trees.into(),
            disk: merged.disk.into(),
            esp: merged.esp,
            boot_code: merged.boot_code,
            overlays: merged.overlays,
            features: merged.features,
        })
    }

    /// Returns a board together with its own overlays and further ones.
    pub fn select(&self, board: &str, further: &[String]) -> Result<Selection> {
        let name = board;
        let mut board = self.board(board)?;
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
        self.check_firmware(&board, &features)?;
        let needed = overlays.iter().filter_map(|overlay| overlay.slot_size).max();
        board.disk.slot_size = needed.map_or(board.disk.slot_size, |needed| needed.max(board.disk.slot_size));
        Ok(Selection {
            modules: self.expand(&features)?,
            board,
            overlays,
            features,
        })
    }

    /// Puts the modules of lists in the lists' places.
    fn expand(&self, features: &Features) -> Result<WantedModules> {
        let find = |name: &str| Some(self.lists.get(name)?.value.modules.as_slice());
        WantedModules::expand(&features.modules, &find).map_err(|fault| match fault {
            ListFault::Unknown(list) => {
                let known: Vec<&str> = self.lists.keys().map(String::as_str).collect();
                let hint = yaml::did_you_mean(list.as_str(), known.iter().copied());
                let known = known.join(", ");
                let message = format!(
                    "list of modules {:?} not found{hint}; known: {known}",
                    list.as_str()
                );
                self.at_list(&list, message)
            }
            ListFault::Loop(list) => {
                let message = format!(
                    "list of modules {:?} is among its own entries; take it out",
                    list.as_str()
                );
                self.at_list(&list, message)
            }
        })
    }

    /// Reports a fault of a list at the first place that names it as an entry.
    fn at_list(&self, list: &Name, message: String) -> Error {
        let names = |entries: &[ModuleEntry]| {
            entries
                .iter()
                .any(|entry| matches!(entry, ModuleEntry::List { list: name } if name == list))
        };
        let any = |modules: &Modules| {
            [&modules.early, &modules.autoload, &modules.available]
                .into_iter()
                .any(|entries| names(entries))
        };
        let boards = self
            .boards
            .values()
            .map(|board| (&board.value.features, board.place()));
        let overlays = self.overlays.values();
        let overlays = overlays.map(|overlay| (&overlay.value.features, overlay.place()));
        let mut features = boards.chain(overlays);
        let place = features.find_map(|(features, place)| any(&features.modules).then_some(place));
        let mut lists = self.lists.values();
        let place =
            place.or_else(|| lists.find_map(|known| names(&known.value.modules).then(|| known.place())));
        match place {
            Some((path, text)) => Error::invalid(path, text, list.as_str(), message),
            None => Error::invalid(Path::new("boards/modules"), "", "", message),
        }
    }

    /// Refuses features that ask something of the board's firmware where the board does not say how it is configured.
    fn check_firmware(&self, board: &Board, features: &Features) -> Result<()> {
        let overlay = features
            .device_tree_overlays
            .iter()
            .find(|overlay| overlay.apply == Apply::Firmware);
        let line = features.firmware_config.first();
        let asked = overlay
            .map(|overlay| {
                format!(
                    "device-tree overlay {:?} with `apply: firmware`",
                    overlay.file_name()
                )
            })
            .or_else(|| line.map(|line| format!("the line {:?} of `firmwareConfig`", line.as_str())))
            .or_else(|| {
                let trial = board.esp.firmware_trial.as_ref();
                trial.map(|_| "`esp.firmwareTrial`".to_owned())
            });
        match asked {
            Some(what) if board.esp.firmware_config.is_none() => Err(Error::NoFirmwareConfig {
                what,
                board: board.name.to_string(),
            }),
            _ => Ok(()),
        }
    }

    fn find_board(&self, name: &str) -> Result<&Source<RawBoard>> {
        self.boards.get(name).ok_or_else(|| {
            let known: Vec<String> = self.boards().map(|board| board.name.to_string()).collect();
            Error::Unknown {
                what: "board",
                name: name.to_owned(),
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
            let hint = yaml::did_you_mean(parent.as_str(), known.iter().copied());
            return Err(fault(format!(
                "board {parent:?} not found{hint}; known: {}",
                known.join(", ")
            )));
        };
        Ok(inherit(self.flatten(found, chain)?, own))
    }

    /// Adds an overlay after its dependencies; `at` is the file that names it.
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
            let unknown = Error::Unknown {
                what: "overlay",
                name: name.to_owned(),
                known,
            };
            return Err(match at {
                Some((path, text)) => Error::invalid(path, text, name, unknown.to_string()),
                None => unknown,
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
}
