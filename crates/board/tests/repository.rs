//! The boards and overlays of this repository, and the schemas made from their types.

use std::path::{Path, PathBuf};

use board::{Catalog, schema};
use service_definition::Capabilities;

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
                assert!(!selection.modules.early.is_empty(), "{board} sees no disk");
            }
        }
    }
}

#[test]
fn no_kernel_of_ours_takes_code_that_is_not_signed_and_no_service_brings_any() {
    let catalog = Catalog::load(&[root()]).unwrap();
    for board in ["generic-amd64", "generic-arm64", "qemu-arm64", "rpi3"] {
        let features = catalog.select(board, &[]).unwrap().features;
        for argument in ["lockdown=integrity", "module.sig_enforce=1", "debugfs=off"] {
            let found = features
                .kernel_arguments
                .iter()
                .any(|known| known.as_str() == argument);
            assert!(found, "{board} starts its kernel without {argument}");
        }
        let services = service_definition::check(features.services).unwrap();
        for service in services.iter() {
            for name in ["SYS_MODULE", "SYS_BOOT", "SYS_RAWIO", "SYS_TIME", "MAC_ADMIN"] {
                let one = Capabilities::named(name).unwrap();
                let rights = &service.run.rights;
                assert!(!rights.capabilities.contains(one), "{}: {name}", service.name);
            }
        }
    }
}

#[test]
fn every_board_has_a_page_and_a_row_in_the_table() {
    let catalog = Catalog::load(&[root()]).unwrap();
    let table = std::fs::read_to_string(root().join("docs/boards/README.md")).unwrap();
    for board in catalog.boards() {
        let name = board.name.as_str();
        let page = std::fs::read_to_string(root().join(format!("docs/boards/{name}.md"))).unwrap_or_default();
        assert!(
            page.contains("## Serial console"),
            "docs/boards/{name}.md says nothing of the console"
        );
        assert!(
            table.contains(&format!("| [`{name}`]({name}.md) |")),
            "{name} has no row in the table"
        );
    }
}

#[test]
fn every_argument_of_the_kernel_is_documented_with_its_reason() {
    let page = std::fs::read_to_string(root().join("docs/security.md")).unwrap();
    let catalog = Catalog::load(&[root()]).unwrap();
    // Where to speak, how much, and what to do after a panic; and where to find the partitions.
    let others = ["console=", "panic=", "quiet", "loglevel=", "gpt"];
    for board in ["generic-amd64", "qemu-arm64", "rpi3"] {
        for argument in catalog.select(board, &[]).unwrap().features.kernel_arguments {
            let other = others.iter().any(|start| argument.as_str().starts_with(start));
            assert!(
                other || page.contains(&format!("`{argument}`")),
                "docs/security.md says nothing of {argument}"
            );
        }
    }
}

#[test]
fn the_schemas_in_the_documentation_are_current() {
    for (name, current) in [
        ("board", schema::board()),
        ("overlay", schema::overlay()),
        ("module-list", schema::module_list()),
    ] {
        golden::check("board", &format!("docs/reference/{name}.schema.json"), &current);
    }
}
