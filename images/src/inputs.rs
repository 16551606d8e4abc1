//! Gets and opens every package that a board with its overlays names.

use std::collections::BTreeSet;

use board::{Features, Selection};

use crate::packages::deb::{self, DebError};
use crate::packages::fetch::{FetchError, Fetcher};
use crate::packages::fetched::Fetched;
use crate::select::Packages;

/// A fault of getting packages.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A package could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A package could not be opened.
    #[error(transparent)]
    Deb(#[from] DebError),
}

/// Opened packages.
pub struct Inputs {
    /// The package with the kernel in it.
    pub kernel: String,
    /// The files of each package.
    pub packages: Packages,
    /// Which package it was, exactly.
    pub fetched: Vec<Fetched>,
}

/// Lists the packages that a selection names, without its kernel.
pub fn names(selection: &Selection) -> BTreeSet<String> {
    let board = &selection.board;
    let features: &Features = &selection.features;
    let mut names: BTreeSet<String> = BTreeSet::new();
    names.extend(features.packages.iter().map(|package| package.name.to_string()));
    names.extend(
        features
            .firmware
            .iter()
            .map(|firmware| firmware.package.to_string()),
    );
    names.extend(features.joined.iter().map(|joined| joined.package.to_string()));
    names.extend(board.esp.packages.iter().map(|package| package.name.to_string()));
    names.extend(board.boot_code.iter().map(|code| code.package.to_string()));
    names
}

/// Gets and opens the packages of a selection.
pub fn get(selection: &Selection, fetcher: &mut Fetcher) -> Result<Inputs, InputError> {
    let arch = selection.board.arch;
    let kernel = fetcher.kernel(selection.board.kernel.package.as_str(), arch)?;
    let mut wanted = names(selection);
    wanted.insert(kernel.clone());
    let wanted: Vec<String> = wanted.into_iter().collect();
    let fetched = fetcher.fetch(&wanted, arch)?;
    let packages = open(&fetched)?;
    Ok(Inputs {
        kernel,
        packages,
        fetched,
    })
}

/// Opens packages side by side: unpacking is most of the work, and each has its own.
fn open(fetched: &[Fetched]) -> Result<Packages, DebError> {
    std::thread::scope(|scope| {
        let opening: Vec<_> = fetched
            .iter()
            .map(|package| (package, scope.spawn(|| deb::read(&package.path))))
            .collect();
        let opened = opening.into_iter().map(|(package, thread)| {
            let files = thread.join().expect("reading a package does not panic")?;
            Ok((package.name.clone(), files))
        });
        opened.collect()
    })
}
