//! Puts the files of the ESP into the root file system, too, with the list of them: so the signed manifest covers them, and a
//! node can compare its ESP with them at each start, and repair it.

use board::{Board, ConfigLine};
use firmware_files::{FILES, FOLDER, FirmwareFiles, LIST, ListError, Listed, Settings, Trial};

use crate::tree::{Node, Tree, TreeError};

/// The files of an ESP cannot be shipped.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// They cannot be listed.
    #[error("the files of the board's ESP cannot be listed for its nodes")]
    List(#[from] ListError),
    /// Something else is in their place.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Returns the files for the root: those of an ESP, and their list.
///
/// # Errors
/// More or other files than an ESP may have.
pub fn make(esp: &Tree, board: &Board) -> Result<Tree, ShipError> {
    let mut tree = Tree::default();
    let mut files = Vec::new();
    for (path, node) in esp.iter() {
        if let Node::File { data, .. } = node {
            files.push(Listed::of(path, data));
            tree.add(
                &format!("{FOLDER}/{FILES}/{path}"),
                Node::text(data.clone()),
                "the ESP",
            )?;
        }
    }
    let list = FirmwareFiles {
        loader: format!("EFI/BOOT/{}", board.arch.efi_default()),
        files,
        settings: settings(board),
    };
    list.check()?;
    tree.add(
        &format!("{FOLDER}/{LIST}"),
        Node::text(list.to_yaml()),
        "the build",
    )?;
    Ok(tree)
}

/// Describes the configuration file of a board's firmware, where it has one.
pub fn settings(board: &Board) -> Option<Settings> {
    let config = board.esp.firmware_config.as_ref()?;
    let names = |lines: &[ConfigLine]| lines.iter().map(|line| line.as_str().to_owned()).collect();
    Some(Settings {
        path: config.path.relative().to_owned(),
        heading: config.heading.as_ref().map(|line| line.as_str().to_owned()),
        overlays: config.overlays.relative().to_owned(),
        overlay_line: config.overlay_line.clone(),
        parameter_separator: config.parameter_separator.clone(),
        reserved: names(&config.reserved),
        repeatable: names(&config.repeatable),
        trial: trial(board),
    })
}

/// Describes how a board's firmware tries files, where it can.
fn trial(board: &Board) -> Option<Trial> {
    let trial = board.esp.firmware_trial.as_ref()?;
    let named = trial.named.iter();
    Some(Trial {
        path: trial.path.relative().to_owned(),
        prefix: trial.prefix.clone(),
        prefix_setting: trial.prefix_setting.as_str().to_owned(),
        named: named
            .map(|(path, setting)| (path.relative().to_owned(), setting.as_str().to_owned()))
            .collect(),
        mailbox: trial.mailbox.clone(),
    })
}
