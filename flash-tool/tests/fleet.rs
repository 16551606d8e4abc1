//! Many cards by the real program: files, and loop devices where the host has them.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::fleet::{Shop, events, hostname, injected, of};
use support::program::{program, stderr};

const THREE: &str = "\
- hostname: node1
  address: 10.0.0.11/24
  labels: {rack: a}
- hostname: node2
  address: 10.0.0.12/24
  configPatch: {machine: {sysctls: {vm.swappiness: \"5\"}}}
- hostname: node3
  configPatch: \"@patch.yaml\"
";

#[test]
fn a_fleet_is_flashed_with_one_pass_over_the_bundle_and_every_row_once() {
    let shop = Shop::new(THREE);
    fs::write(
        shop.path("patch.yaml"),
        "machine: {sysctls: {vm.swappiness: \"7\"}}\n",
    )
    .unwrap();
    let (secret, public) =
        signing::create(shop.sample.dir.path(), "factory", signing::Protection::None).unwrap();
    let signed = format!("--receipt-key={}", secret.display());
    let arguments = ["--yes", "--output=json", signed.as_str()];

    let first = shop.run(&arguments, &["a.img", "b.img"]);
    assert!(first.status.success(), "{}", stderr(&first));
    let lines = events(&first);
    let end = of(&lines, "end")[0];
    assert_eq!(
        (&end["flashed"], &end["failed"], &end["left"]),
        (&2.into(), &0.into(), &1.into())
    );
    assert_eq!(end["unpacked"], end["frames"], "both cards have shared one pass");
    assert_eq!(of(&lines, "waiting")[0]["hostname"], "node3");
    assert!(
        !stderr(&first).contains("PRIVATE KEY")
            && !lines.iter().any(|line| line.to_string().contains("PRIVATE KEY"))
    );
    for (file, name, address) in [
        ("a.img", "node1", "10.0.0.11/24"),
        ("b.img", "node2", "10.0.0.12/24"),
    ] {
        let machine = injected(&shop.path(file)).machine;
        assert_eq!(machine.hostname.unwrap().to_string(), name);
        assert_eq!(machine.network.interfaces[0].addresses[0].to_string(), address);
        assert_eq!(machine.sysctls.is_empty(), name == "node1");
    }
    let flashed = of(&lines, "flashed");
    for line in &flashed {
        let receipt = &line["receipt"];
        let verity = &shop.sample.manifest.slot.verity;
        assert_eq!(receipt["rootHash"], verity.root_hash.to_string());
        assert_eq!(receipt["disk"], line["report"]["disk"]);
        assert_eq!(
            (&receipt["version"], &line["signed"]),
            (&"1.2.3".into(), &true.into())
        );
        check_signature(&public, Path::new(line["receiptFile"].as_str().unwrap()));
    }
    let by = |name: &str| {
        flashed
            .iter()
            .find(|line| line["receipt"]["hostname"] == name)
            .unwrap()
    };
    assert_eq!(by("node1")["receipt"]["labels"]["rack"], "a");
    assert_ne!(by("node1")["receipt"]["config"], by("node2")["receipt"]["config"]);
    check_signature(&public, &shop.path("fleet.ledger"));

    let second = shop.run(&arguments, &["c.img", "d.img"]);
    assert!(second.status.success(), "{}", stderr(&second));
    let lines = events(&second);
    assert_eq!(of(&lines, "done").len(), 2);
    assert_eq!(of(&lines, "unused")[0]["reason"], "no row is left for it");
    assert_eq!(hostname(&shop.path("c.img")), "node3");
    assert_eq!(injected(&shop.path("c.img")).machine.sysctls.len(), 1);
    assert!(!shop.path("d.img").exists());

    let third = shop.run(&arguments, &["d.img"]);
    assert!(third.status.success(), "{}", stderr(&third));
    assert!(
        stderr(&third).contains("3 rows, 3 done, 0 to do"),
        "{}",
        stderr(&third)
    );
    assert!(!shop.path("d.img").exists());

    let again = shop.run(&["--yes", "--redo=node2", &signed], &["d.img"]);
    assert!(again.status.success(), "{}", stderr(&again));
    assert_eq!(hostname(&shop.path("d.img")), "node2");
    assert_eq!(
        fs::read_to_string(shop.path("fleet.ledger"))
            .unwrap()
            .lines()
            .count(),
        4
    );
    check_signature(&public, &shop.path("fleet.ledger"));

    let unsigned = shop.run(&["--yes", "--redo=node2"], &["e.img"]);
    assert!(!unsigned.status.success() && !shop.path("e.img").exists());
    assert!(
        stderr(&unsigned).contains("give --receipt-key"),
        "{}",
        stderr(&unsigned)
    );
}

fn check_signature(public: &Path, file: &Path) {
    let checked = Command::new("minisign")
        .arg("-V")
        .arg("-p")
        .arg(public)
        .arg("-m")
        .arg(file)
        .output();
    match checked {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: minisign is not installed")
        }
        checked => {
            let checked = checked.unwrap();
            assert!(
                checked.status.success(),
                "{}: {}",
                file.display(),
                stderr(&checked)
            );
        }
    }
}

#[test]
fn what_is_wrong_is_told_with_its_line_before_anything_is_written() {
    let shop = Shop::new("");
    for (rows, said) in [
        (
            "- hostname: a\n- hostname: b\n- hostname: a\n",
            "fleet.yaml:9: cards[2].hostname: a is listed twice; first on line 7",
        ),
        (
            "- {hostname: a, address: 10.0.0.1/24}\n- {hostname: b, address: 10.0.0.1/24}\n",
            "fleet.yaml:8: cards[1].address: 10.0.0.1 is listed twice; first on line 7",
        ),
        (
            "- hostname: a\n- hostname: b\n  address: 10.9.0.1/24\n",
            "fleet.yaml:8: the machine config of row b is not valid with its hostname, address, gateway or interface:\ngateway 10.0.0.1 is not in the network of 10.9.0.1/24",
        ),
        (
            "- hostname: a\n  configPatch: {machine: {role: prince}}\n",
            "fleet.yaml:7: the machine config of row a is not valid with its configPatch:\nmachine.role: ",
        ),
        (
            "- hostname: a\n  configPatch:\n    - {op: ad, path: /machine}\n",
            "fleet.yaml:9: cards[0].configPatch[0]",
        ),
        (
            "- hostname: a\n  configPatch: \"@none.yaml\"\n",
            "none.yaml: No such file",
        ),
        ("- hostname: a\n  config: none.yaml\n", "none.yaml: No such file"),
    ] {
        shop.write(rows);
        let output = shop.run(&["--yes"], &["a.img"]);
        assert!(
            !output.status.success() && stderr(&output).contains(said),
            "{rows}\n{}",
            stderr(&output)
        );
        assert!(!shop.path("a.img").exists() && !shop.path("fleet.ledger").exists());
    }
    shop.write(THREE.split("- hostname: node3").next().unwrap());
    for (arguments, targets, said) in [
        (&["--yes"][..], &["a.img", "a.img"][..], "a.img is named twice"),
        (&["--yes"], &[], "give --all-cards"),
        (
            &["--yes", "--watch"],
            &["a.img"],
            "--watch waits for cards in readers",
        ),
        (&["--yes", "--redo=node9"], &["a.img"], "--redo node9: "),
        (&["--yes"], &["node.yaml"], "is itself needed for flashing"),
        (&[], &["a.img"], "add --yes to go ahead"),
        (&["--yes", "--hostname=x"], &["a.img"], "cannot be used with"),
    ] {
        let output = shop.run(arguments, targets);
        assert!(
            !output.status.success() && stderr(&output).contains(said),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(!shop.path("a.img").exists());
    }
    let many = program()
        .args(["--key", "k", "bundle", "a.img", "b.img"])
        .output()
        .unwrap();
    assert_eq!(many.status.code(), Some(2), "{}", stderr(&many));
}

#[test]
fn a_dry_run_shows_rows_and_cards_and_writes_nothing() {
    let shop = Shop::new("- hostname: a\n  serial: \"4711\"\n- hostname: b\n");
    let output = shop.run(&["--dry-run", "--output=json"], &["x.img"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stderr(&output);
    for line in [
        "2 rows, 0 done, 2 to do",
        "not signed (give --receipt-key FILE to sign them)",
        "a        waits for the card with the serial number 4711",
        "b        ",
        "dry run: nothing was written",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let lines = events(&output);
    assert_eq!(of(&lines, "assigned")[0]["hostname"], "b");
    assert_eq!(of(&lines, "waiting")[0]["serial"], "4711");
    assert!(!shop.path("x.img").exists() && !shop.path("fleet.ledger").exists());
}

/// A mount that ends with the test.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_card_that_fails_does_not_stop_the_others() {
    let shop = Shop::new(THREE.split("- hostname: node3").next().unwrap());
    let small = shop.path("small");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k", "none"])
        .arg(&small)
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: cannot mount a tmpfs here");
        return;
    }
    let mounted = Mounted(small);
    let output = shop.run(&["--yes", "--output=json"], &["small/a.img", "b.img"]);
    drop(mounted);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("1 of 2 cards failed"),
        "{}",
        stderr(&output)
    );
    let lines = events(&output);
    let failed = of(&lines, "failed")[0];
    assert_eq!(failed["hostname"], "node1");
    assert!(
        failed["error"].as_str().unwrap().contains("not bootable"),
        "{failed}"
    );
    assert_eq!(hostname(&shop.path("b.img")), "node2");
    // The row that failed is still to do.
    let output = shop.run(&["--yes", "--output=json"], &["c.img"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(hostname(&shop.path("c.img")), "node1");
}

#[test]
fn a_card_whose_receipt_cannot_be_filed_ends_the_run_with_the_reason() {
    let shop = Shop::new("- hostname: node1\n- hostname: node2\n");
    fs::write(shop.path("fleet.receipts"), "in the way").unwrap();
    let output = shop.run(&["--yes", "--output=json"], &["a.img"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(
        said.contains("the card is good, but its row is not marked as done: cannot write the ledger"),
        "{said}"
    );
    let lines = events(&output);
    assert_eq!((of(&lines, "flashed").len(), of(&lines, "failed").len()), (0, 1));
    assert_eq!(fs::read(shop.path("fleet.ledger")).unwrap(), b"");
}
