//! The boards and overlays of this repository, and the schemas made from their types.

use std::path::{Path, PathBuf};

use board::{Catalog, schema};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn every_board_can_be_selected_with_every_overlay() {
    let catalog = Catalog::load(&[root()]).unwrap();
    let boards: Vec<String> = catalog.boards().map(|board| board.name.to_string()).collect();
    for board in ["generic-amd64", "generic-arm64", "qemu-arm64", "rpi3"] {
        assert!(boards.iter().any(|known| known == board), "{board}");
    }
    for board in &boards {
        for overlay in catalog.overlays() {
            if overlay.boards.is_empty() || overlay.boards.iter().any(|name| name.as_str() == board) {
                let selection = catalog.select(board, &[overlay.name.to_string()]).unwrap();
                assert!(
                    !selection.features.modules.early.is_empty(),
                    "{board} sees no disk"
                );
            }
        }
    }
}

/// Run with `UPDATE_SCHEMAS=1` to write them anew.
#[test]
fn the_schemas_in_the_documentation_are_current() {
    for (name, current) in [("board", schema::board()), ("overlay", schema::overlay())] {
        let path = root().join(format!("docs/reference/{name}.schema.json"));
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &current).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            written,
            current,
            "{} is out of date: run this test with UPDATE_SCHEMAS=1",
            path.display()
        );
    }
}
