//! Which readers hold a card that was not handled yet.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::host::{Bus, Disk, Found, Host};
use crate::safety::caution;

/// What tells one card from another in the same reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Card {
    number: (u64, u64),
    sequence: Option<u64>,
    size: u64,
    model: Option<String>,
    serial: Option<String>,
}

impl Card {
    pub fn of(disk: &Disk) -> Self {
        Self {
            number: disk.number,
            sequence: disk.sequence,
            size: disk.size,
            model: disk.model.clone(),
            serial: disk.serial.clone(),
        }
    }
}

/// The readers, and what was done about the card in each. Pure.
#[derive(Default)]
pub(super) struct Readers {
    handled: BTreeMap<PathBuf, Card>,
    /// The last thing that was said about the card in a reader.
    said: BTreeMap<PathBuf, (Card, String)>,
}

impl Readers {
    /// Returns true if what is in a reader now is a card that was not handled.
    ///
    /// Where the kernel does not number cards, a reader has to be seen empty between two that look the same.
    pub fn is_new(&mut self, reader: &Path, card: Option<&Card>) -> bool {
        match card {
            None => {
                self.handled.remove(reader);
                self.said.remove(reader);
                false
            }
            Some(card) => self.handled.get(reader) != Some(card),
        }
    }

    /// Notes that a card was handled: it is not new any more.
    pub fn handle(&mut self, reader: &Path, card: Card) {
        self.handled.insert(reader.to_owned(), card);
    }

    /// Returns true if this was not just said about this card.
    pub fn may_say(&mut self, reader: &Path, card: Card, text: &str) -> bool {
        let now = (card, text.to_owned());
        self.said.insert(reader.to_owned(), now.clone()) != Some(now)
    }
}

/// Returns the card in a reader; `None` without one, or without the reader. Opening it makes the kernel look for a new card.
pub(super) fn card_in(host: &Host, reader: &Path) -> Option<Disk> {
    let device = File::open(reader).ok()?;
    let number = sys::disk::number(&device).ok()??;
    match host.find(number).ok()? {
        Found::Disk(disk) if disk.size > 0 => Some(disk),
        _ => None,
    }
}

/// Lists the cards in USB and SD readers. Disks that are flashed only if somebody names them are left out.
pub(super) fn all_cards(host: &Host) -> std::io::Result<Vec<PathBuf>> {
    let disks = host.disks()?.into_iter();
    let cards = disks.filter(|disk| matches!(disk.bus, Bus::Usb | Bus::Sd) && caution(disk).is_none());
    Ok(cards.map(|disk| disk.path).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn all_cards_are_those_in_usb_and_sd_readers() {
        let dir = tempfile::tempdir().unwrap();
        let block = dir.path().join("sys/block");
        for (name, place, size, removable) in [
            ("sdb", "usb1/1-1/1-1:1.0/host0", "15633408", "1"),
            // An empty reader, a disk that is too large for a card, a built-in one, and one that appears as a disk.
            ("sdc", "usb1/1-2/1-2:1.0/host1", "0", "1"),
            ("sdd", "usb1/1-3/1-3:1.0/host2", "7814037168", "0"),
            ("nvme0n1", "nvme/nvme0", "1000215216", "0"),
            ("loop0", "virtual/block", "15633408", "0"),
            ("mmcblk0", "mmc_host/mmc0", "62333952", "0"),
        ] {
            let real = dir.path().join("sys/devices").join(place).join(name);
            fs::create_dir_all(&real).unwrap();
            for (file, text) in [
                ("dev", format!("8:{}", name.len())),
                ("size", size.into()),
                ("removable", removable.into()),
            ] {
                fs::write(real.join(file), text).unwrap();
            }
            fs::create_dir_all(&block).unwrap();
            std::os::unix::fs::symlink(&real, block.join(name)).unwrap();
        }
        let cards = all_cards(&Host::at(dir.path())).unwrap();
        assert_eq!(cards, ["/dev/mmcblk0", "/dev/sdb"].map(PathBuf::from));
    }

    fn card(sequence: Option<u64>, serial: &str) -> Card {
        Card {
            number: (8, 16),
            sequence,
            size: 1 << 30,
            model: None,
            serial: Some(serial.to_owned()),
        }
    }

    #[test]
    fn a_card_is_new_once() {
        let (mut readers, reader) = (Readers::default(), Path::new("/dev/sdb"));
        let first = card(Some(7), "a");
        assert!(readers.is_new(reader, Some(&first)));
        assert!(readers.is_new(reader, Some(&first)), "nobody has handled it");
        readers.handle(reader, first.clone());
        assert!(!readers.is_new(reader, Some(&first)));
        // Exchanged between two polls: the kernel counts.
        assert!(readers.is_new(reader, Some(&card(Some(8), "a"))));
        assert!(readers.is_new(reader, Some(&card(Some(7), "b"))));
        assert!(!readers.is_new(reader, None));
        assert!(
            readers.is_new(reader, Some(&first)),
            "it was pulled and plugged in again"
        );
    }

    #[test]
    fn the_same_is_said_of_a_card_once() {
        let (mut readers, reader) = (Readers::default(), Path::new("/dev/sdb"));
        let first = card(None, "a");
        assert!(readers.may_say(reader, first.clone(), "it is mounted"));
        assert!(!readers.may_say(reader, first.clone(), "it is mounted"));
        assert!(readers.may_say(reader, first.clone(), "it is too small"));
        assert!(readers.may_say(reader, card(None, "b"), "it is too small"));
        readers.is_new(reader, None);
        assert!(readers.may_say(reader, card(None, "b"), "it is too small"));
    }
}
