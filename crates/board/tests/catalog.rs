//! Boards and overlays read from real folders: what is joined, and what each mistake says.

use std::fs;
use std::path::Path;

use board::{Arch, Catalog, Prefer};

const ARM: &str =
    "apiVersion: bedplate.dev/v1alpha1\nkind: Board\nname: arm\ndescription: base\nabstract: true
arch: arm64\nkernel: {package: linux-image-arm64}\noverlays: [base]
features: {kernelArguments: [panic=10], modules: {early: [mmc-block]}}\n";
const PI: &str = "apiVersion: bedplate.dev/v1alpha1\nkind: Board\nname: pi\ndescription: a Pi\ninherit: arm
disk: {slotSize: 256MiB, hybridMbr: true}
features: {kernelArguments: [console=ttyAMA0], modules: {early: [sdhci-iproc]}}\n";
const BASE: &str = "apiVersion: bedplate.dev/v1alpha1\nkind: Overlay\nname: base\ndescription: base
features: {kernelArguments: [quiet]}\n";

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    dir
}

fn load(dir: &Path) -> board::Result<Catalog> {
    Catalog::load(&[dir.to_owned()])
}

fn good() -> Vec<(&'static str, &'static str)> {
    vec![
        ("boards/arm.yaml", ARM),
        ("boards/pi.yaml", PI),
        ("overlays/base/overlay.yaml", BASE),
    ]
}

#[test]
fn a_board_has_what_it_inherits_and_what_it_says() {
    let dir = tree(&good());
    let selection = load(dir.path()).unwrap().select("pi", &[]).unwrap();
    assert_eq!(selection.board.arch, Arch::Arm64);
    assert_eq!(selection.board.disk.slot_size.0, 256 << 20);
    let arguments: Vec<_> = selection
        .features
        .kernel_arguments
        .iter()
        .map(|a| a.as_str())
        .collect();
    assert_eq!(arguments, ["quiet", "panic=10", "console=ttyAMA0"]);
    let early: Vec<_> = selection.modules.early.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(early, ["mmc_block", "sdhci_iproc"]);
}

#[test]
fn an_heir_changes_one_value_and_keeps_the_others() {
    let family = format!(
        "{ARM}disk: {{firstPartition: 16MiB, hybridMbr: true}}\ndeviceTrees: {{files: [a/a.dtb], prefer: slot}}\n"
    );
    let heir = format!(
        "{}deviceTrees: {{files: [a/b.dtb]}}\n",
        PI.replace(", hybridMbr: true", "")
    );
    let dir = tree(&[
        ("boards/arm.yaml", &family),
        ("boards/pi.yaml", &heir),
        ("overlays/base/overlay.yaml", BASE),
    ]);
    let board = load(dir.path()).unwrap().board("pi").unwrap();
    assert_eq!(
        (board.disk.slot_size.0, board.disk.first_partition.0),
        (256 << 20, 16 << 20)
    );
    assert!(board.disk.hybrid_mbr);
    assert_eq!(board.device_trees.prefer, Prefer::Slot);
    assert_eq!(board.device_trees.files.len(), 2);
}

#[test]
fn boards_and_overlays_share_lists_of_modules() {
    let list = "apiVersion: bedplate.dev/v1alpha1\nkind: ModuleList\nname: usb\ndescription: usb
modules: [xhci_pci, {list: storage}]\n";
    let storage = list
        .replace("name: usb", "name: storage")
        .replace("[xhci_pci, {list: storage}]", "[sd_mod, {optional: uas}]");
    let pi = PI.replace(
        "early: [sdhci-iproc]",
        "early: [wdt, {list: usb}], available: [{list: storage}, uas]",
    );
    let files = |pi: &str, list: &str| {
        tree(&[
            ("boards/arm.yaml", ARM),
            ("boards/pi.yaml", pi),
            ("boards/modules/usb.yaml", list),
            ("boards/modules/storage.yaml", &storage),
            ("overlays/base/overlay.yaml", BASE),
        ])
    };
    let modules = load(files(&pi, list).path())
        .unwrap()
        .select("pi", &[])
        .unwrap()
        .modules;
    let names = |modules: &[board::WantedModule]| -> Vec<String> {
        modules
            .iter()
            .map(|m| format!("{} {}", m.name, m.optional))
            .collect()
    };
    let early = [
        "mmc_block false",
        "wdt false",
        "xhci_pci false",
        "sd_mod false",
        "uas true",
    ];
    assert_eq!(names(&modules.early), early);
    assert_eq!(names(&modules.available), ["sd_mod false", "uas false"]);

    for (pi, list, expected) in [
        (
            pi.replace("list: usb", "list: usv"),
            list.to_owned(),
            ["pi.yaml:7:", "did you mean \"usb\"?"],
        ),
        (
            pi.clone(),
            list.replace("list: storage", "list: usb"),
            ["pi.yaml:7:", "among its own entries"],
        ),
        (
            pi.clone(),
            list.replace("list: storage", "list: strage"),
            ["usb.yaml:5:", "did you mean \"storage\"?"],
        ),
        (
            pi.clone(),
            list.replace("name: usb", "name: ubs"),
            ["usb.yaml:3:", "make them equal"],
        ),
    ] {
        let dir = files(&pi, &list);
        let error = load(dir.path())
            .and_then(|catalog| catalog.select("pi", &[]))
            .unwrap_err();
        for part in expected {
            assert!(error.to_string().contains(part), "expected {part:?} in: {error}");
        }
    }
}

#[test]
fn only_a_board_whose_firmware_has_a_configuration_takes_lines_for_it() {
    let base = BASE.replace("kernelArguments: [quiet]", "firmwareConfig: [dtparam=i2c_arm=on]");
    let pi = format!(
        "{PI}esp: {{firmwareConfig: {{path: /config.txt, overlays: /overlays, overlayLine: \"dtoverlay={{name}}\", parameterSeparator: \",\"}}}}\n"
    );
    let files = |pi: &str| {
        tree(&[
            ("boards/arm.yaml", ARM),
            ("boards/pi.yaml", pi),
            ("overlays/base/overlay.yaml", &base),
        ])
    };
    assert!(load(files(&pi).path()).unwrap().select("pi", &[]).is_ok());
    let error = load(files(PI).path()).unwrap().select("pi", &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the line \"dtparam=i2c_arm=on\" of `firmwareConfig` is for boards whose firmware has a configuration file; \
         board \"pi\" has no `esp.firmwareConfig`"
    );
    let trial =
        "esp:\n  firmwareTrial: {path: /tryboot.txt, prefix: t-, prefixSetting: os_prefix, mailbox: mbox}\n";
    let dir = tree(&[
        ("boards/arm.yaml", ARM),
        ("boards/pi.yaml", &format!("{PI}{trial}")),
        ("overlays/base/overlay.yaml", BASE),
    ]);
    let error = load(dir.path()).unwrap().select("pi", &[]).unwrap_err();
    assert!(
        error.to_string().starts_with("`esp.firmwareTrial` is for boards"),
        "{error}"
    );
}

#[test]
fn an_overlay_that_needs_larger_slots_gets_them() {
    let overlay = |name: &str, size: &str| {
        format!(
            "apiVersion: bedplate.dev/v1alpha1\nkind: Overlay\nname: {name}\ndescription: x\nslotSize: {size}\nfeatures: {{kubernetes: [kubelet]}}\n"
        )
    };
    let (large, small) = (overlay("large", "1GiB"), overlay("small", "64MiB"));
    let mut files = good();
    files.extend([
        ("overlays/large/overlay.yaml", large.as_str()),
        ("overlays/small/overlay.yaml", small.as_str()),
    ]);
    let dir = tree(&files);
    let size = |overlays: &[&str]| {
        let overlays: Vec<String> = overlays.iter().map(|name| (*name).to_owned()).collect();
        let selection = load(dir.path()).unwrap().select("pi", &overlays).unwrap();
        assert_eq!(
            selection.features.kubernetes.len(),
            overlays.len().min(1),
            "named once"
        );
        selection.board.disk.slot_size.0 >> 20
    };
    assert_eq!((size(&[]), size(&["small"])), (256, 256));
    assert_eq!((size(&["large"]), size(&["small", "large"])), (1024, 1024));
}

#[test]
fn an_overlay_comes_after_what_it_needs() {
    let mut files = good();
    let a = "apiVersion: bedplate.dev/v1alpha1\nkind: Overlay\nname: a\ndescription: a\nneeds: [b]\nfeatures: {}\n";
    let b = "apiVersion: bedplate.dev/v1alpha1\nkind: Overlay\nname: b\ndescription: b\nneeds: [a]\nfeatures: {}\n";
    files.extend([("overlays/a/overlay.yaml", a), ("overlays/b/overlay.yaml", b)]);
    let dir = tree(&files);
    let selection = load(dir.path()).unwrap().select("pi", &["a".into()]).unwrap();
    let names: Vec<_> = selection
        .overlays
        .iter()
        .map(|overlay| overlay.name.as_str())
        .collect();
    assert_eq!(names, ["base", "b", "a"]);
}

#[test]
fn every_mistake_names_its_place_and_the_way_out() {
    let cases: &[(&str, String, &[&str])] = &[
        (
            "boards/pi.yaml",
            PI.replace("slotSize", "slotsize"),
            &["pi.yaml:6:", "did you mean \"slotSize\"?"],
        ),
        (
            "boards/pi.yaml",
            PI.replace("inherit: arm", "inherit: amr"),
            &["pi.yaml:5:", "did you mean \"arm\"?"],
        ),
        (
            "boards/pi.yaml",
            PI.replace("inherit: arm", "inherit: pi"),
            &["pi.yaml:5:", "loop: pi → pi"],
        ),
        (
            "boards/pi.yaml",
            PI.replace("name: pi", "name: pie"),
            &["pi.yaml:3:", "make them equal"],
        ),
        (
            "boards/pi.yaml",
            PI.replace("v1alpha1", "v9"),
            &["pi.yaml:1:", "expected bedplate.dev/v1alpha1"],
        ),
        (
            "boards/pi.yaml",
            PI.replace("kind: Board", "kind: Bord"),
            &["pi.yaml:2:", "expected Board"],
        ),
        (
            "boards/pi.yaml",
            PI.replace("256MiB", "256MiX"),
            &["pi.yaml:6:", "\"MiX\" is not a unit; use"],
        ),
        (
            "boards/arm.yaml",
            ARM.replace("[base]", "[bose]"),
            &["overlay \"bose\"", "did you mean \"base\"?"],
        ),
        (
            "boards/arm.yaml",
            ARM.replace("arch: arm64", "arch: arm46"),
            &["arm.yaml:6:", "did you mean \"arm64\"?"],
        ),
        (
            "boards/arm.yaml",
            ARM.replace("arch: arm64\n", ""),
            &["pi.yaml:3:", "has no arch"],
        ),
    ];
    for (path, text, expected) in cases {
        let mut files = good();
        for file in &mut files {
            if file.0 == *path {
                file.1 = text;
            }
        }
        let dir = tree(&files);
        let error = load(dir.path())
            .and_then(|catalog| catalog.select("pi", &[]))
            .unwrap_err()
            .to_string();
        for part in *expected {
            assert!(error.contains(part), "{path}: expected {part:?} in: {error}");
        }
    }
}

#[test]
fn asking_for_the_wrong_name_lists_the_right_ones() {
    let dir = tree(&good());
    let catalog = load(dir.path()).unwrap();
    assert_eq!(
        catalog.select("pie", &[]).unwrap_err().to_string(),
        "board \"pie\" not found, did you mean \"pi\"?; known: pi"
    );
    assert!(
        catalog
            .select("arm", &[])
            .unwrap_err()
            .to_string()
            .contains("inherit from it: pi")
    );
    assert!(
        catalog
            .select("pi", &["bse".into()])
            .unwrap_err()
            .to_string()
            .contains("did you mean \"base\"?")
    );
}

#[test]
fn services_are_checked_together() {
    let mut files = good();
    let lonely = BASE.replace(
        "kernelArguments: [quiet]",
        "services: [{name: a, command: [/usr/bin/a], dependsOn: [b]}]",
    );
    files[2].1 = &lonely;
    let error = load(tree(&files).path()).unwrap().select("pi", &[]).unwrap_err();
    let faults = std::error::Error::source(&error).unwrap().to_string();
    assert!(faults.contains("service \"a\": dependsOn"), "{faults}");
}
