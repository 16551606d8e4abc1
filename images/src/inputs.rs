//! Gets and opens every package that a board with its overlays names.

use board::{Features, Selection};

use crate::packages::deb::{self, DebError, Files};
use crate::packages::fetch::{FetchError, Fetcher};
use crate::packages::fetched::Fetched;
use crate::packages::wanted::{TwoPlaces, Wanted, WantedSet};
use crate::select::Packages;

/// A fault of getting packages.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A package could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A package is asked for from two places.
    #[error(transparent)]
    TwoPlaces(#[from] TwoPlaces),
    /// A package could not be opened.
    #[error(transparent)]
    Deb(#[from] DebError),
}

/// Opened packages.
pub struct Inputs {
    /// The kernel.
    pub kernel: KernelFiles,
    /// The files of each other package.
    pub packages: Packages,
    /// Which packages they were, exactly.
    pub fetched: Vec<Fetched>,
}

/// The files of a kernel, out of one package or several.
pub struct KernelFiles {
    /// The packages.
    pub packages: Vec<String>,
    /// Their files.
    pub files: Files,
}

impl KernelFiles {
    /// Returns the package that the kernel's files are said to come from.
    pub fn origin(&self) -> &str {
        self.packages.first().map_or("the kernel", String::as_str)
    }

    /// Returns the packages' names, for messages.
    pub fn names(&self) -> String {
        self.packages.join(", ")
    }
}

/// Lists the packages that a selection names, without its kernel.
///
/// # Errors
/// Fails when a package is asked for from two suites.
pub fn wanted(selection: &Selection) -> Result<Vec<Wanted>, TwoPlaces> {
    let board = &selection.board;
    let features: &Features = &selection.features;
    let packages = features.packages.iter().chain(&board.esp.packages);
    let packages = packages.map(|package| (&package.name, &package.suite));
    let firmware = features
        .firmware
        .iter()
        .map(|firmware| (&firmware.package, &firmware.suite));
    let joined = features.joined.iter().map(|joined| (&joined.package, &None));
    let boot_code = board.boot_code.iter().map(|code| (&code.package, &code.suite));
    let overlays = features.device_tree_overlays.iter();
    let overlays = overlays.filter_map(|overlay| Some((overlay.package.as_ref()?, &overlay.suite)));
    let mut set = WantedSet::default();
    for (name, suite) in packages
        .chain(firmware)
        .chain(joined)
        .chain(boot_code)
        .chain(overlays)
    {
        set.add(Wanted::of(name, suite.as_ref()))?;
    }
    Ok(set.into_vec())
}

/// Gets and opens the packages of a selection, without its kernel.
///
/// # Errors
/// Fails when a package cannot be had or opened.
pub fn without_kernel(
    selection: &Selection,
    fetcher: &mut Fetcher,
) -> Result<(Packages, Vec<Fetched>), InputError> {
    let fetched = fetcher.fetch(&wanted(selection)?, selection.board.arch)?;
    Ok((open(&fetched)?, fetched))
}

/// Gets and opens the packages of a selection.
pub fn get(selection: &Selection, fetcher: &mut Fetcher) -> Result<Inputs, InputError> {
    let arch = selection.board.arch;
    let kernel = fetcher.kernel(&selection.board.kernel, arch)?;
    let mut set = WantedSet::default();
    for package in wanted(selection)?.into_iter().chain(kernel.iter().cloned()) {
        set.add(package)?;
    }
    let fetched = fetcher.fetch(&set.into_vec(), arch)?;
    let mut packages = open(&fetched)?;
    let mut files = Files::new();
    for part in &kernel {
        files.extend(packages.remove(&part.name).unwrap_or_default());
    }
    Ok(Inputs {
        kernel: KernelFiles {
            packages: kernel.into_iter().map(|part| part.name).collect(),
            files,
        },
        packages,
        fetched,
    })
}

/// Opens packages side by side: unpacking is most of the work, and each has its own.
pub fn open(fetched: &[Fetched]) -> Result<Packages, DebError> {
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
