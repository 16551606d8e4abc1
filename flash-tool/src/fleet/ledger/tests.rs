use std::process::Command;

use signing::Protection;

use super::*;
use crate::fleet::receipt::{Card, Kind};

struct Place {
    dir: tempfile::TempDir,
    secret: PathBuf,
    public: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (secret, public) = signing::create(dir.path(), "factory", Protection::None).unwrap();
        Self { dir, secret, public }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("fleet.ledger")
    }

    fn key(&self) -> Option<SecretKey> {
        Some(SecretKey::load(&self.secret, || None).unwrap())
    }

    fn open(&self) -> Result<Ledger, FleetError> {
        Ledger::open(&self.path(), self.key(), false)
    }

    /// Asks the real program; true where it is not installed.
    fn minisign_accepts(&self, file: &Path) -> bool {
        let checked = Command::new("minisign")
            .arg("-V")
            .arg("-p")
            .arg(&self.public)
            .arg("-m")
            .arg(file)
            .output();
        match checked {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                eprintln!("skipped: minisign is not installed");
                true
            }
            checked => checked.unwrap().status.success(),
        }
    }
}

fn receipt(hostname: &str, time: &str) -> Receipt {
    let hash = manifest::Digest::of(hostname.as_bytes());
    Receipt {
        kind: Kind,
        time: time.to_owned(),
        hostname: hostname.parse().unwrap(),
        labels: Default::default(),
        card: Card {
            target: "/dev/sdb".into(),
            model: None,
            serial: Some("4711".into()),
            port: Some("1-1.2".into()),
            bytes: 1 << 30,
        },
        board: "test".into(),
        version: "1.2.3".into(),
        manifest: hash.to_string(),
        root_hash: hash,
        config: hash,
        disk: "a GUID".into(),
    }
}

#[test]
fn minisign_checks_the_ledger_and_each_receipt() {
    let place = Place::new();
    let mut ledger = place.open().unwrap();
    for name in ["node1", "node2", "Node1"] {
        let filed = ledger.file(receipt(name, "now")).unwrap();
        assert!(filed.signed && place.minisign_accepts(&filed.path), "{name}");
        assert!(place.minisign_accepts(&place.path()), "{name}");
    }
    assert!(matches!(place.open(), Err(FleetError::LedgerInUse { .. })));
    drop(ledger);
    let ledger = place.open().unwrap();
    let done = |name: &str| ledger.receipt(&name.parse().unwrap()).cloned();
    assert_eq!(
        done("node1"),
        Some(receipt("Node1", "now")),
        "the newest, in any case"
    );
    assert_eq!(done("node3"), None);
    let text = fs::read_to_string(place.path()).unwrap();
    assert!(
        text.lines()
            .all(|line| line.as_bytes().starts_with(receipt::HEAD))
    );
    fs::write(place.path(), text.replace("4711", "4712")).unwrap();
    assert!(!Path::new("/usr/bin/minisign").exists() || !place.minisign_accepts(&place.path()));
}

#[test]
fn what_was_changed_is_not_signed_again() {
    let place = Place::new();
    let mut ledger = place.open().unwrap();
    ledger.file(receipt("node1", "now")).unwrap();
    ledger.file(receipt("node2", "now")).unwrap();
    drop(ledger);
    let good = fs::read_to_string(place.path()).unwrap();
    let (first, second) = good.split_at(good.find('\n').unwrap() + 1);
    for bad in [
        good.replace("node2", "node3"),
        good.replace("1.2.3", "1.2.4"),
        second.to_owned(),
        first.to_owned(),
        String::new(),
    ] {
        fs::write(place.path(), &bad).unwrap();
        let refused = place.open().map(drop).unwrap_err();
        assert!(matches!(refused, FleetError::Unsigned { .. }), "{bad}");
        assert_eq!(fs::read_to_string(place.path()).unwrap(), bad);
    }
    fs::write(place.path(), &good).unwrap();
    let refused = Ledger::open(&place.path(), None, false).map(drop).unwrap_err();
    assert!(refused.to_string().contains("--receipt-key"), "{refused}");
    let other = Place::new();
    let refused = Ledger::open(&place.path(), other.key(), false).map(drop);
    assert!(matches!(refused, Err(FleetError::Unsigned { .. })));
    place.open().unwrap();

    // Receipts that nobody has signed are not signed by whoever comes next.
    let place = Place::new();
    let mut ledger = Ledger::open(&place.path(), None, false).unwrap();
    assert!(!ledger.file(receipt("node1", "now")).unwrap().signed);
    drop(ledger);
    let refused = place.open().map(drop).unwrap_err();
    assert!(refused.to_string().contains("not signed"), "{refused}");
    Ledger::open(&place.path(), None, false).unwrap();
}

#[test]
fn a_power_cut_between_any_two_steps_leaves_a_ledger_that_is_continued() {
    let place = Place::new();
    let mut ledger = place.open().unwrap();
    ledger.file(receipt("node1", "now")).unwrap();
    let (before, signed_before) = (
        fs::read(place.path()).unwrap(),
        fs::read(signature_of(&place.path())).unwrap(),
    );
    ledger.file(receipt("node2", "now")).unwrap();
    drop(ledger);
    let after = fs::read(place.path()).unwrap();
    for len in before.len()..=after.len() {
        fs::write(place.path(), &after[..len]).unwrap();
        fs::write(signature_of(&place.path()), &signed_before).unwrap();
        // A dry run changes nothing.
        Ledger::open(&place.path(), place.key(), true).unwrap();
        assert_eq!(fs::read(place.path()).unwrap().len(), len);
        let ledger = place.open().unwrap();
        let is_done = ledger.receipt(&"node2".parse().unwrap()).is_some();
        assert_eq!(is_done, len == after.len(), "{len}");
        assert!(ledger.receipt(&"node1".parse().unwrap()).is_some());
        drop(ledger);
        let there = fs::read(place.path()).unwrap();
        assert!(there == before || there == after);
    }
    assert!(
        place.minisign_accepts(&place.path()),
        "the missing signature was added"
    );
    // The first receipt of all has no older signature.
    fs::write(place.path(), &before).unwrap();
    fs::remove_file(signature_of(&place.path())).unwrap();
    place.open().unwrap();
    assert!(place.minisign_accepts(&place.path()));
}

#[test]
fn a_file_that_is_no_ledger_is_left_alone() {
    let place = Place::new();
    for text in [
        "precious",
        "precious\n",
        "{}\n",
        "{\"kind\":\"Other\"}\n",
        "{\"kind\":\"FlashReceipt\"}\n",
    ] {
        fs::write(place.path(), text).unwrap();
        let refused = Ledger::open(&place.path(), None, false).map(drop).unwrap_err();
        assert!(
            matches!(refused, FleetError::NotAReceipt { line: 1, .. }),
            "{text}: {refused}"
        );
        assert_eq!(fs::read_to_string(place.path()).unwrap(), text);
    }
}
