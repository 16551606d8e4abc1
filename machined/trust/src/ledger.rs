//! Which node holds which name: a name belongs to the key that it was first granted to, for as long as its certificates last.
//!
//! [`decide`] is pure. [`Ledger`] keeps the entries; [`FileLedger`] does so on the control plane's own disk.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

/// The most entries. Beyond them, those that lapsed are forgotten, the oldest first.
const MAX_ENTRIES: usize = 4096;

/// Who holds a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// The fingerprint of the node's own key.
    pub key: String,
    /// The node's addresses.
    pub addresses: Vec<IpAddr>,
    /// Until when its certificates last, in seconds since 1970.
    pub until: u64,
}

/// All entries, by name.
pub type Entries = BTreeMap<String, Entry>;

/// A name that is to be held, and by whom.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The name.
    pub name: String,
    /// Who is to hold it.
    pub entry: Entry,
    /// Set when the holder has shown a certificate of that name: then it may have a new key.
    pub proven: bool,
    /// Nodes that are known to be gone: what they held is free.
    pub gone: Vec<String>,
    /// The time, in seconds since 1970.
    pub now: u64,
}

/// Why a claim is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Another node holds the name.
    #[error(
        "another node is called {name} and was last here with the address {address}; set another machine.hostname, or, if it is gone for good, run `kubectl delete node {name}`: otherwise the name is free in {hours} h"
    )]
    Name {
        /// The name.
        name: String,
        /// The other's first address.
        address: String,
        /// Hours until the other's certificates have expired, rounded up.
        hours: u64,
        /// When they expire, in seconds since 1970.
        until: u64,
    },
    /// Another node holds one of the addresses.
    #[error("{address} is the address of node {holder}; two nodes cannot have the same")]
    Address {
        /// The address.
        address: IpAddr,
        /// The node that has it.
        holder: String,
        /// When its certificates expire, in seconds since 1970.
        until: u64,
    },
    /// Nobody holds so many names.
    #[error(
        "{MAX_ENTRIES} nodes have joined already; nodes that are gone make room when their certificates have expired"
    )]
    Full,
    /// The entries cannot be read or written.
    #[error("cannot keep the list of nodes that joined")]
    Io(#[source] io::Error),
    /// The cluster's ledger does not answer.
    #[error(transparent)]
    Shared(#[from] crate::shared::Error),
}

/// Decides on a claim, and returns the entry to be written; none where the one that is there says the same.
///
/// # Errors
///
/// Another node that holds the name, or one of the addresses.
pub fn decide(entries: &Entries, claim: &Claim) -> Result<Option<Entry>, Refused> {
    let lives = |name: &String, entry: &Entry| entry.until > claim.now && !claim.gone.contains(name);
    let other = |entry: &Entry| entry.key != claim.entry.key;
    let held = entries.get(&claim.name);
    if let Some(holder) = held.filter(|entry| lives(&claim.name, entry) && other(entry) && !claim.proven) {
        return Err(Refused::Name {
            name: claim.name.clone(),
            address: holder
                .addresses
                .first()
                .map_or_else(|| "?".to_owned(), IpAddr::to_string),
            hours: (holder.until - claim.now).div_ceil(3600),
            until: holder.until,
        });
    }
    for (name, entry) in entries {
        // A machine that was renamed keeps its key, and its addresses.
        if *name == claim.name || !lives(name, entry) || !other(entry) {
            continue;
        }
        if let Some(address) = claim
            .entry
            .addresses
            .iter()
            .find(|own| entry.addresses.contains(own))
        {
            return Err(Refused::Address {
                address: *address,
                holder: name.clone(),
                until: entry.until,
            });
        }
    }
    Ok((held != Some(&claim.entry)).then(|| claim.entry.clone()))
}

/// Makes room for one more entry, and returns the names that had to go.
///
/// # Errors
///
/// [`Refused::Full`] where none of them has lapsed.
pub fn make_room(entries: &mut Entries, now: u64) -> Result<Vec<String>, Refused> {
    let mut gone = Vec::new();
    while entries.len() >= MAX_ENTRIES {
        let lapsed = entries.iter().filter(|(_, entry)| entry.until <= now);
        let oldest = lapsed
            .min_by_key(|(_, entry)| entry.until)
            .map(|(name, _)| name.clone());
        let oldest = oldest.ok_or(Refused::Full)?;
        entries.remove(&oldest);
        gone.push(oldest);
    }
    Ok(gone)
}

/// Keeps who holds which name.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Decides on a claim by [`decide`], and keeps the outcome before it returns.
    ///
    /// # Errors
    ///
    /// Why the claim is refused, or cannot be kept.
    async fn claim(&self, claim: Claim) -> Result<(), Refused>;
}

/// Keeps the entries in a file.
#[derive(Debug, Clone)]
pub struct FileLedger {
    path: PathBuf,
    /// One claim at a time.
    turn: Arc<Mutex<()>>,
}

impl FileLedger {
    /// Keeps them in this file, which need not be there yet.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            turn: Arc::default(),
        }
    }

    fn read(&self) -> io::Result<Entries> {
        match std::fs::read(&self.path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(entries) => Ok(entries),
                // Nodes that could not join any more would be worse than names that are free for a day.
                Err(error) => {
                    let aside = self.path.with_extension("broken");
                    tracing::error!("the list of nodes that joined is broken, and starts empty: {error}");
                    std::fs::rename(&self.path, aside)?;
                    Ok(Entries::new())
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Entries::new()),
            Err(error) => Err(error),
        }
    }

    fn keep(&self, claim: &Claim) -> Result<(), Refused> {
        let mut entries = self.read().map_err(Refused::Io)?;
        let Some(entry) = decide(&entries, claim)? else {
            return Ok(());
        };
        if !entries.contains_key(&claim.name) {
            make_room(&mut entries, claim.now)?;
        }
        entries.insert(claim.name.clone(), entry);
        let bytes = serde_json::to_vec(&entries).map_err(|error| Refused::Io(error.into()))?;
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(Refused::Io)?;
        }
        sys::durable::write(&self.path, &bytes, 0o600).map_err(Refused::Io)
    }
}

#[async_trait]
impl Ledger for FileLedger {
    async fn claim(&self, claim: Claim) -> Result<(), Refused> {
        let turn = self.turn.clone().lock_owned().await;
        let ledger = self.clone();
        // The turn ends with the writing, not with whoever waits for it.
        let kept = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            ledger.keep(&claim)
        })
        .await;
        kept.unwrap_or_else(|error| Err(Refused::Io(io::Error::other(error))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    fn entry(key: &str, address: &str, until: u64) -> Entry {
        Entry {
            key: key.to_owned(),
            addresses: vec![address.parse().unwrap()],
            until,
        }
    }

    fn claim(name: &str, key: &str, address: &str, now: u64) -> Claim {
        Claim {
            name: name.to_owned(),
            entry: entry(key, address, now + 24 * HOUR),
            proven: false,
            gone: Vec::new(),
            now,
        }
    }

    #[test]
    fn a_name_belongs_to_its_key_until_its_certificates_have_expired() {
        let entries = Entries::from([("a".to_owned(), entry("key-a", "10.0.0.1", 24 * HOUR))]);
        let told = |claim: &Claim| decide(&entries, claim).map_err(|error| error.to_string());
        assert!(
            told(&claim("a", "key-a", "10.0.0.9", HOUR)).is_ok(),
            "it has another address"
        );
        let refused = told(&claim("a", "key-b", "10.0.0.2", HOUR)).unwrap_err();
        assert!(
            refused.starts_with("another node is called a and was last here with the address 10.0.0.1")
                && refused.contains("free in 23 h"),
            "{refused}"
        );
        let proven = Claim {
            proven: true,
            ..claim("a", "key-b", "10.0.0.2", HOUR)
        };
        assert!(
            told(&proven).is_ok(),
            "it lost its disk's key, not its certificate"
        );
        assert!(
            told(&claim("a", "key-b", "10.0.0.2", 24 * HOUR)).is_ok(),
            "the other is gone"
        );
        let refused = told(&claim("b", "key-b", "10.0.0.1", HOUR)).unwrap_err();
        assert!(
            refused.starts_with("10.0.0.1 is the address of node a"),
            "{refused}"
        );
        assert!(
            told(&claim("b", "key-a", "10.0.0.1", HOUR)).is_ok(),
            "it was renamed"
        );
        let freed = Claim {
            gone: vec!["a".to_owned()],
            ..claim("b", "key-b", "10.0.0.1", HOUR)
        };
        assert!(told(&freed).is_ok(), "its address was given to another machine");
        let same = Claim {
            entry: entries["a"].clone(),
            ..claim("a", "key-a", "10.0.0.1", HOUR)
        };
        assert_eq!(told(&same), Ok(None), "nothing is written");
    }

    #[test]
    fn a_full_ledger_forgets_those_that_are_gone_and_no_others() {
        let fill = |until: u64| -> Entries {
            (0..MAX_ENTRIES)
                .map(|number| (format!("n{number}"), entry("k", "10.0.0.1", until)))
                .collect()
        };
        let mut lapsed = fill(HOUR);
        assert_eq!(make_room(&mut lapsed, 2 * HOUR).unwrap().len(), 1);
        assert_eq!(lapsed.len(), MAX_ENTRIES - 1);
        assert!(matches!(
            make_room(&mut fill(3 * HOUR), 2 * HOUR),
            Err(Refused::Full)
        ));
    }

    #[tokio::test]
    async fn entries_outlive_the_process_and_a_broken_file_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster/nodes.json");
        FileLedger::new(path.clone())
            .claim(claim("a", "key-a", "10.0.0.1", HOUR))
            .await
            .unwrap();
        let again = FileLedger::new(path.clone());
        let refused = again
            .claim(claim("a", "key-b", "10.0.0.2", HOUR))
            .await
            .unwrap_err();
        assert!(matches!(refused, Refused::Name { .. }), "{refused}");
        std::fs::write(&path, b"{").unwrap();
        again.claim(claim("c", "key-c", "10.0.0.3", HOUR)).await.unwrap();
        assert_eq!(std::fs::read(path.with_extension("broken")).unwrap(), b"{");
    }
}
