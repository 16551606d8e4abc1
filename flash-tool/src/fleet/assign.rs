//! Decides which row goes on which card. Pure.

use super::document::Wants;

/// What is known of a card.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Facts<'a> {
    /// The serial number, if it shows one.
    pub serial: Option<&'a str>,
    /// The USB port of its reader, if it has one.
    pub port: Option<&'a str>,
}

impl Wants {
    /// Returns true if the row is for any card.
    pub fn is_open(&self) -> bool {
        self.serial.is_none() && self.port.is_none()
    }

    /// Returns true if a card is what the row asks for, in everything that it says.
    pub(super) fn fits(&self, card: Facts<'_>) -> bool {
        let same = |wanted: &Option<String>, found: Option<&str>| {
            wanted
                .as_ref()
                .is_none_or(|wanted| found.is_some_and(|found| found.eq_ignore_ascii_case(wanted)))
        };
        same(&self.serial, card.serial) && same(&self.port, card.port)
    }
}

/// Returns the row of each card, if it gets one: first the rows that ask for a card, then the others, in their order.
pub(super) fn assign(rows: &[(usize, &Wants)], cards: &[Facts<'_>]) -> Vec<Option<usize>> {
    let mut given: Vec<Option<usize>> = vec![None; cards.len()];
    for is_open in [false, true] {
        for (row, wants) in rows.iter().filter(|(_, wants)| wants.is_open() == is_open) {
            let card = (0..cards.len()).find(|card| given[*card].is_none() && wants.fits(cards[*card]));
            if let Some(card) = card {
                given[card] = Some(*row);
            }
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wants(serial: Option<&str>, port: Option<&str>) -> Wants {
        Wants {
            serial: serial.map(str::to_owned),
            port: port.map(str::to_owned),
        }
    }

    #[test]
    fn rows_that_ask_for_a_card_come_first() {
        let rows = [
            wants(None, None),
            wants(Some("4711"), None),
            wants(None, Some("1-2")),
            wants(None, None),
            wants(Some("0815"), Some("1-2")),
        ];
        let rows: Vec<(usize, &Wants)> = rows.iter().enumerate().collect();
        let card = |serial, port| Facts { serial, port };
        let cards = [
            card(Some("4711"), Some("1-1")),
            card(None, None),
            card(Some("x"), Some("1-2")),
            card(Some("0815"), Some("1-3")),
            card(None, None),
        ];
        // The last row asks for a card in another port, and waits.
        assert_eq!(assign(&rows, &cards), [Some(1), Some(0), Some(2), Some(3), None]);
        assert_eq!(assign(&rows, &cards[..1]), [Some(1)]);
        assert_eq!(assign(&[], &cards[..2]), [None, None]);
        // Of a card that is asked for, only what asks for it is written.
        assert_eq!(assign(&rows[1..2], &cards[1..2]), [None]);
    }

    fn some_wants() -> impl Strategy<Value = Wants> {
        let word = || proptest::option::weighted(0.4, "[ab]");
        (word(), word()).prop_map(|(serial, port)| Wants { serial, port })
    }

    proptest! {
        #[test]
        fn each_row_and_each_card_is_used_once(
            rows in proptest::collection::vec(some_wants(), 0..8),
            cards in proptest::collection::vec(some_wants(), 0..8),
        ) {
            let numbered: Vec<(usize, &Wants)> = rows.iter().enumerate().collect();
            let facts: Vec<Facts<'_>> = cards
                .iter()
                .map(|card| Facts { serial: card.serial.as_deref(), port: card.port.as_deref() })
                .collect();
            let given = assign(&numbered, &facts);
            let mut used: Vec<usize> = given.iter().flatten().copied().collect();
            let open: Vec<usize> = used.iter().copied().filter(|row| rows[*row].is_open()).collect();
            prop_assert!(open.is_sorted(), "open rows are used in their order");
            used.sort_unstable();
            let len = used.len();
            used.dedup();
            prop_assert_eq!(len, used.len());
            for (card, row) in given.iter().enumerate() {
                match row {
                    Some(row) => prop_assert!(rows[*row].fits(facts[card])),
                    None => for (row, wants) in rows.iter().enumerate() {
                        prop_assert!(used.binary_search(&row).is_ok() || !wants.fits(facts[card]));
                    },
                }
            }
        }
    }
}
