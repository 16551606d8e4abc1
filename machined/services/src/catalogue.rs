//! Decides which services a node has: those of its image, and those that controllers want.
//!
//! A spec that is not valid changes nothing else: the others run on, and so does the last valid spec of the same service.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use service_definition::{Definition, Faults, Service, check};
use state::kinds::{ServiceFile, ServiceSpec};

/// A service as it is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its definition. Unlike an image's, it may depend on a service that is not there (yet).
    pub definition: Definition,
    /// The files that it is given, by path.
    pub files: Vec<ServiceFile>,
    /// The written form, to be checked together with others.
    service: Service,
}

impl Entry {
    /// Returns true if a process that was started from `other` need not be restarted for this one: the command, what it
    /// may do and use, and the files that it reads only at its start are the same.
    pub fn starts_like(&self, other: &Entry) -> bool {
        let (own, others) = (&self.definition, &other.definition);
        let file = |(own, other): (&ServiceFile, &ServiceFile)| {
            own.path == other.path
                && own.mode == other.mode
                && (own.reloads || own.contents == other.contents)
        };
        own.run == others.run
            && own.directories == others.directories
            && own.resources == others.resources
            && self.files.len() == other.files.len()
            && self.files.iter().zip(&other.files).all(file)
    }

    /// Returns the same service without its order among others.
    fn without_order(&self) -> Entry {
        let mut entry = self.clone();
        entry.definition.depends_on.clear();
        entry.definition.after.clear();
        entry.service.depends_on.clear();
        entry.service.after.clear();
        entry
    }
}

/// The services of a node, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// What can run. The order among them has no cycles.
    pub entries: BTreeMap<String, Arc<Entry>>,
    /// Specs that are not valid, each with why.
    pub faults: BTreeMap<String, String>,
}

impl Catalogue {
    /// Makes the catalogue of an image alone.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the image's services.
    pub fn of_image(services: &[Service]) -> Result<Self, Faults> {
        let definitions = check(services.to_vec())?;
        let entry = |service: &Service| {
            let definition = definitions.get(&service.name)?.clone();
            let entry = Entry {
                definition,
                files: Vec::new(),
                service: service.clone(),
            };
            Some((service.name.clone(), Arc::new(entry)))
        };
        Ok(Catalogue {
            entries: services.iter().filter_map(entry).collect(),
            faults: BTreeMap::new(),
        })
    }

    /// Returns the catalogue of this image with these specs. `before` is what was valid until now: it keeps its place
    /// where a new spec conflicts with it.
    #[must_use]
    pub fn with_specs(&self, specs: &[(String, ServiceSpec)], before: &Catalogue) -> Catalogue {
        let mut all = self.clone();
        let (known, new): (Vec<_>, Vec<_>) =
            specs.iter().partition(|(id, _)| before.entries.contains_key(id));
        for (id, spec) in known.into_iter().chain(new) {
            if self.entries.contains_key(id) {
                let fault = "is defined by the image already; a controller has to choose another name";
                all.faults.insert(id.clone(), fault.to_owned());
                continue;
            }
            match all.admit(id, spec) {
                Ok(entry) => {
                    all.entries.insert(id.clone(), Arc::new(entry));
                }
                Err(fault) => {
                    all.faults.insert(id.clone(), fault);
                    let earlier = before.entries.get(id);
                    if let Some(earlier) = earlier.filter(|earlier| all.definition(&earlier.service).is_ok())
                    {
                        all.entries.insert(id.clone(), earlier.clone());
                    }
                }
            }
        }
        all
    }

    /// Adds services that are to end and are no longer wanted, so that their order is kept. Where an order among them would
    /// be a cycle by now, they end without one.
    #[must_use]
    pub fn with_leaving(mut self, leaving: &BTreeMap<String, Arc<Entry>>) -> Catalogue {
        for (name, entry) in leaving {
            if self.entries.contains_key(name) {
                continue;
            }
            let bare = |entry: &Entry| {
                let mut bare = Service::new(&entry.service.name, ["/program"]);
                bare.depends_on.clone_from(&entry.service.depends_on);
                bare.after.clone_from(&entry.service.after);
                bare
            };
            let all = self
                .entries
                .values()
                .map(|entry| bare(entry))
                .chain([bare(entry)]);
            let entry = match check(present(all.collect())) {
                Ok(_) => entry.clone(),
                Err(_) => Arc::new(entry.without_order()),
            };
            self.entries.insert(name.clone(), entry);
        }
        self
    }

    /// Checks a spec by itself, and beside what was admitted before. The error says what is wrong, and how to fix it.
    fn admit(&self, id: &str, spec: &ServiceSpec) -> Result<Entry, String> {
        if spec.service.name != id {
            let name = &spec.service.name;
            return Err(format!(
                "is named {id:?}, and its service {name:?}; give both one name"
            ));
        }
        files::check(spec)?;
        let mut definition = self.definition(&spec.service)?;
        definition.depends_on.clone_from(&spec.service.depends_on);
        let mut files = spec.files.clone();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Entry {
            definition,
            files,
            service: spec.service.clone(),
        })
    }

    /// Checks the definition of a service beside those of all others.
    fn definition(&self, service: &Service) -> Result<Definition, String> {
        let all = self.entries.values().map(|entry| entry.service.clone());
        let all = present(all.chain([service.clone()]).collect());
        let definitions = check(all).map_err(|faults| words(&faults, &service.name))?;
        let own = definitions.get(&service.name).cloned();
        own.ok_or_else(|| "is not among the services that were checked".to_owned())
    }
}

/// Leaves out dependencies on services that are not there: they may come, and until then the service waits.
fn present(mut services: Vec<Service>) -> Vec<Service> {
    let names: BTreeSet<String> = services.iter().map(|service| service.name.clone()).collect();
    for service in &mut services {
        service.depends_on.retain(|name| names.contains(name));
    }
    services
}

/// Puts faults into one line: those of this service, or all of them where others are blamed, too.
fn words(faults: &Faults, name: &str) -> String {
    let own: Vec<String> = faults
        .0
        .iter()
        .filter(|fault| fault.service == name)
        .map(|fault| format!("{}: {}", fault.field, fault.text))
        .collect();
    if own.is_empty() {
        faults.to_string().replace('\n', "; ")
    } else {
        own.join("; ")
    }
}

#[cfg(test)]
mod tests;
