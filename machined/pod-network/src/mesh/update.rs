//! What the kernel is told: what is new, and nothing else, so that connections go on.

use std::collections::BTreeMap;

use super::{Key, Peer};

/// What the kernel is told about the other ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Set when it forgets all that it knew before.
    pub(crate) all: bool,
    /// Those that are new, or are at another place, or have other networks.
    pub(crate) set: Vec<Peer>,
    /// Those that are no longer there.
    pub(crate) gone: Vec<Key>,
}

/// Decides what the kernel is told. `before` is what it was told; none where that is not known. Pure.
///
/// A place is told again only where the cluster says something else: the kernel learns by itself where a node is that
/// moves, or is behind address translation.
pub(crate) fn update(
    before: Option<&BTreeMap<String, Peer>>,
    now: &BTreeMap<String, Peer>,
) -> Option<Update> {
    let Some(before) = before else {
        return Some(Update {
            all: true,
            set: now.values().cloned().collect(),
            gone: Vec::new(),
        });
    };
    let gone: Vec<Key> = before
        .values()
        .map(|peer| peer.key)
        .filter(|key| !now.values().any(|peer| peer.key == *key))
        .collect();
    let changed = now.iter().filter(|(name, peer)| before.get(*name) != Some(peer));
    let set: Vec<Peer> = changed.map(|(_, peer)| peer.clone()).collect();
    let any = !set.is_empty() || !gone.is_empty();
    any.then_some(Update {
        all: false,
        set,
        gone,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(key: u8, network: &str) -> Peer {
        Peer {
            key: Key([key; 32]),
            endpoint: ([10, 0, 0, key], 51820).into(),
            allowed: vec![network.parse().unwrap()],
            far: false,
        }
    }

    #[test]
    fn only_what_is_new_is_told() {
        let peers = |all: &[(&str, &Peer)]| -> BTreeMap<String, Peer> {
            all.iter()
                .map(|(name, peer)| ((*name).to_owned(), (*peer).clone()))
                .collect()
        };
        let [one, two, moved, again] = [
            (1, "10.1.0.0/24"),
            (2, "10.2.0.0/24"),
            (2, "10.3.0.0/24"),
            (4, "10.2.0.0/24"),
        ]
        .map(|(key, network)| peer(key, network));
        let both = peers(&[("node1", &one), ("node2", &two)]);
        let first = update(None, &both).unwrap();
        assert!(first.all && first.set.len() == 2);
        assert_eq!(update(Some(&both), &both), None);
        let told = |now: &[(&str, &Peer)]| update(Some(&both), &peers(now)).unwrap();
        let expected = |set: &[&Peer], gone: &[u8]| Update {
            all: false,
            set: set.iter().map(|peer| (*peer).clone()).collect(),
            gone: gone.iter().map(|key| Key([*key; 32])).collect(),
        };
        assert_eq!(
            told(&[("node1", &one), ("node2", &moved)]),
            expected(&[&moved], &[])
        );
        assert_eq!(told(&[("node1", &one)]), expected(&[], &[2]));
        // The node was replaced by one of the same name.
        assert_eq!(
            told(&[("node1", &one), ("node2", &again)]),
            expected(&[&again], &[2])
        );
        assert!(update(None, &BTreeMap::new()).unwrap().all);
    }
}
