//! What is known of a cluster, and the indexes that answer questions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::rr::Name;
use machine_config::value::IpPrefix;
use serde::{Deserialize, Serialize};

use crate::objects::{Endpoint, Service, Slice, Target};

/// The most services that are kept. Each takes some 300 bytes.
const MOST_SERVICES: usize = 20_000;
/// The most endpoints that are kept. Each takes some 150 bytes, if it is found by its address.
const MOST_ENDPOINTS: usize = 100_000;
/// The most namespaces that are kept.
const MOST_NAMESPACES: usize = 20_000;

/// What the names of a cluster are about.
#[derive(Debug, Clone)]
pub struct ZoneConfig {
    /// The cluster's domain, with its final dot.
    pub domain: Name,
    /// The addresses of the cluster's DNS.
    pub dns: Vec<IpAddr>,
    /// The networks of pods.
    pub pods: Vec<IpPrefix>,
    /// The networks of services.
    pub services: Vec<IpPrefix>,
}

/// A namespace, and a name in it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) namespace: Box<str>,
    pub(crate) name: Box<str>,
}

impl Key {
    pub(crate) fn of(namespace: &str, name: &str) -> Self {
        Key {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// A service with its slices. Either may be there before the other.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) service: Option<Service>,
    slices: Vec<Arc<Key>>,
}

/// All that is known of a cluster.
#[derive(Debug)]
pub struct Zone {
    pub(crate) config: ZoneConfig,
    pub(crate) synced: bool,
    namespaces: BTreeSet<Box<str>>,
    services: BTreeMap<Arc<Key>, Entry>,
    slices: BTreeMap<Arc<Key>, Slice>,
    /// The addresses of services, and those of endpoints of headless ones.
    reverse: BTreeSet<(IpAddr, Arc<Key>)>,
    endpoints: usize,
    left_out: u64,
    revision: u64,
}

/// What is known of a cluster, to be kept in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Contents {
    /// The names of namespaces.
    pub namespaces: Vec<Box<str>>,
    /// Services by namespace and name.
    pub services: Vec<(Box<str>, Box<str>, Service)>,
    /// Slices by namespace and name.
    pub slices: Vec<(Box<str>, Box<str>, Slice)>,
}

impl Zone {
    /// Makes the zone of a cluster of which nothing is known yet.
    pub fn new(config: ZoneConfig) -> Self {
        Zone {
            config,
            synced: false,
            namespaces: BTreeSet::new(),
            services: BTreeMap::new(),
            slices: BTreeMap::new(),
            reverse: BTreeSet::new(),
            endpoints: 0,
            left_out: 0,
            revision: 0,
        }
    }

    /// Marks what is known as all that there is: what is not known does not exist. Until then such a name is answered by a failure.
    pub fn set_synced(&mut self) {
        self.synced = true;
    }

    /// Tells whether all that there is was known at some time.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// Returns how many objects were left out, because there are too many.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Returns a number that is another one after each change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns the numbers of services and of endpoints.
    pub fn size(&self) -> (usize, usize) {
        (self.services.len(), self.endpoints)
    }

    /// Adds a namespace.
    pub fn set_namespace(&mut self, name: &str) {
        if self.namespaces.contains(name) {
            return;
        }
        match self.namespaces.len() < MOST_NAMESPACES {
            true => {
                self.namespaces.insert(name.into());
                self.revision += 1;
            }
            false => self.left_out += 1,
        }
    }

    /// Removes a namespace.
    pub fn remove_namespace(&mut self, name: &str) {
        if self.namespaces.remove(name) {
            self.revision += 1;
        }
    }

    /// Adds a service, or replaces it.
    pub fn set_service(&mut self, namespace: &str, name: &str, service: Service) {
        let key = self.key(namespace, name);
        let held = self.services.get(&key);
        if held.is_some_and(|held| held.service.as_ref() == Some(&service)) {
            return;
        }
        if held.is_none() && self.services.len() >= MOST_SERVICES {
            self.left_out += 1;
            return;
        }
        self.change(&key, |entry| entry.service = Some(service));
    }

    /// Removes a service.
    pub fn remove_service(&mut self, namespace: &str, name: &str) {
        if self.service(namespace, name).is_some() {
            let key = self.key(namespace, name);
            self.change(&key, |entry| entry.service = None);
        }
    }

    /// Adds a slice, or replaces it; it may belong to another service than before.
    pub fn set_slice(&mut self, namespace: &str, name: &str, slice: Slice) {
        if self.slices.get(&Key::of(namespace, name)) == Some(&slice) {
            return;
        }
        self.remove_slice(namespace, name);
        let owner = self.key(namespace, &slice.service);
        let many = self.endpoints + slice.endpoints.len() > MOST_ENDPOINTS
            || self.slices.len() >= MOST_ENDPOINTS
            || (!self.services.contains_key(&owner) && self.services.len() >= MOST_SERVICES);
        if many {
            self.left_out += 1;
            return;
        }
        self.endpoints += slice.endpoints.len();
        let key = Arc::new(Key::of(namespace, name));
        self.slices.insert(key.clone(), slice);
        self.change(&owner, |entry| entry.slices.push(key));
    }

    /// Removes a slice.
    pub fn remove_slice(&mut self, namespace: &str, name: &str) {
        let key = Key::of(namespace, name);
        let Some(service) = self.slices.get(&key).map(|slice| slice.service.clone()) else {
            return;
        };
        let owner = self.key(namespace, &service);
        // Its addresses are found by way of the slice, so it goes last.
        self.unlink(&owner);
        if let Some(entry) = self.services.get_mut(&owner) {
            entry.slices.retain(|slice| **slice != key);
        }
        if let Some(slice) = self.slices.remove(&key) {
            self.endpoints -= slice.endpoints.len();
        }
        self.change(&owner, |_| ());
    }

    /// Keeps only these namespaces.
    pub fn retain_namespaces(&mut self, kept: &BTreeSet<String>) {
        let before = self.namespaces.len();
        self.namespaces.retain(|name| kept.contains(&**name));
        self.revision += u64::from(self.namespaces.len() != before);
    }

    /// Keeps only these services, each a namespace and a name.
    pub fn retain_services(&mut self, kept: &BTreeSet<(String, String)>) {
        let known = self
            .services
            .iter()
            .filter(|(_, entry)| entry.service.is_some())
            .map(|(key, _)| key);
        for key in gone(known, kept) {
            self.remove_service(&key.namespace, &key.name);
        }
    }

    /// Keeps only these slices, each a namespace and a name.
    pub fn retain_slices(&mut self, kept: &BTreeSet<(String, String)>) {
        for key in gone(self.slices.keys(), kept) {
            self.remove_slice(&key.namespace, &key.name);
        }
    }

    /// Returns all that is known.
    pub fn contents(&self) -> Contents {
        let service = |(key, entry): (&Arc<Key>, &Entry)| {
            let service = entry.service.clone()?;
            Some((key.namespace.clone(), key.name.clone(), service))
        };
        let slice =
            |(key, slice): (&Arc<Key>, &Slice)| (key.namespace.clone(), key.name.clone(), slice.clone());
        Contents {
            namespaces: self.namespaces.iter().cloned().collect(),
            services: self.services.iter().filter_map(service).collect(),
            slices: self.slices.iter().map(slice).collect(),
        }
    }

    /// Adds what was known at an earlier time.
    pub fn restore(&mut self, contents: Contents) {
        for name in contents.namespaces {
            self.set_namespace(&name);
        }
        for (namespace, name, service) in contents.services {
            self.set_service(&namespace, &name, service);
        }
        for (namespace, name, slice) in contents.slices {
            self.set_slice(&namespace, &name, slice);
        }
    }

    /// Tells whether a namespace is there. One whose services are known is, even if it was not seen itself yet.
    pub(crate) fn has_namespace(&self, name: &str) -> bool {
        let first = self.services.range(Key::of(name, "")..).next();
        self.namespaces.contains(name) || first.is_some_and(|(key, _)| &*key.namespace == name)
    }

    /// Finds a service.
    pub(crate) fn service(&self, namespace: &str, name: &str) -> Option<(&Entry, &Service)> {
        let entry = self.services.get(&Key::of(namespace, name))?;
        Some((entry, entry.service.as_ref()?))
    }

    /// Lists the slices of a service.
    pub(crate) fn slices_of<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = &'a Slice> {
        entry.slices.iter().filter_map(|key| self.slices.get(key))
    }

    /// Lists the endpoints of a service that count as ready, each with its slice.
    pub(crate) fn ready<'a>(
        &'a self,
        entry: &'a Entry,
        service: &'a Service,
    ) -> impl Iterator<Item = (&'a Slice, &'a Endpoint)> {
        self.slices_of(entry)
            .flat_map(|slice| slice.endpoints.iter().map(move |endpoint| (slice, endpoint)))
            .filter(|(_, endpoint)| endpoint.ready || service.publishes_not_ready)
    }

    /// Lists the services that have an address, or an endpoint with it.
    pub(crate) fn at(&self, address: IpAddr) -> impl Iterator<Item = &Arc<Key>> {
        let first = (address, Arc::new(Key::of("", "")));
        let all = self.reverse.range(first..);
        all.take_while(move |(found, _)| *found == address)
            .map(|(_, key)| key)
    }

    /// Returns the key that is held already, or a new one.
    fn key(&self, namespace: &str, name: &str) -> Arc<Key> {
        let key = Key::of(namespace, name);
        match self.services.get_key_value(&key) {
            Some((held, _)) => held.clone(),
            None => Arc::new(key),
        }
    }

    /// Changes an entry, and the addresses by which it is found. One that holds nothing is dropped.
    fn change(&mut self, key: &Arc<Key>, change: impl FnOnce(&mut Entry)) {
        self.revision += 1;
        self.unlink(key);
        let entry = self.services.entry(key.clone()).or_default();
        change(entry);
        if entry.service.is_none() && entry.slices.is_empty() {
            self.services.remove(key);
        }
        for address in self.addresses(key) {
            self.reverse.insert((address, key.clone()));
        }
    }

    fn unlink(&mut self, key: &Arc<Key>) {
        for address in self.addresses(key) {
            self.reverse.remove(&(address, key.clone()));
        }
    }

    /// Lists the addresses that lead to the name of a service or of one of its endpoints.
    fn addresses(&self, key: &Key) -> Vec<IpAddr> {
        let Some((entry, service)) = self.service(&key.namespace, &key.name) else {
            return Vec::new();
        };
        match &service.target {
            Target::Addresses(own) => own.to_vec(),
            Target::Endpoints => self
                .ready(entry, service)
                .map(|(_, endpoint)| endpoint.address)
                .collect(),
            Target::Name(_) => Vec::new(),
        }
    }
}

/// Lists keys that are not among those to be kept.
fn gone<'a>(known: impl Iterator<Item = &'a Arc<Key>>, kept: &BTreeSet<(String, String)>) -> Vec<Arc<Key>> {
    known
        .filter(|key| !kept.contains(&(key.namespace.to_string(), key.name.to_string())))
        .cloned()
        .collect()
}
