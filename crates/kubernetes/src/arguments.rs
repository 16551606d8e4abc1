//! A command line that holds no flag which its version lacks.

use std::collections::BTreeMap;

use crate::{Error, EtcdRelease, Kind, Minor, Release};

/// The arguments of one component, as they come together.
#[derive(Debug)]
pub struct Arguments {
    product: Product,
    kind: Kind,
    flags: BTreeMap<String, Flag>,
}

#[derive(Debug, Clone, Copy)]
enum Product {
    Kubernetes(&'static Release),
    Etcd(&'static EtcdRelease),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Flag {
    /// Follows from the rest of the config: nobody may give another value.
    Own(String),
    /// Stands until somebody gives another value.
    Usual(String),
    /// Several words, to which others can be added.
    List(Vec<String>),
}

impl Arguments {
    /// Begins the arguments of a component of Kubernetes with what this version must be told.
    pub fn kubernetes(kind: Kind, release: &'static Release) -> Self {
        let arguments = Self {
            product: Product::Kubernetes(release),
            kind,
            flags: BTreeMap::new(),
        };
        release
            .arguments(kind)
            .fold(arguments, |arguments, (flag, value)| arguments.own(flag, value))
    }

    /// Begins the arguments of etcd with what this version must be told.
    pub fn etcd(release: &'static EtcdRelease) -> Self {
        let arguments = Self {
            product: Product::Etcd(release),
            kind: Kind::Etcd,
            flags: BTreeMap::new(),
        };
        release
            .arguments()
            .fold(arguments, |arguments, (flag, value)| arguments.own(flag, value))
    }

    /// Gives a flag that nobody may change.
    pub fn own(mut self, flag: &str, value: impl Into<String>) -> Self {
        self.flags.insert(flag.to_owned(), Flag::Own(value.into()));
        self
    }

    /// Gives a flag that people may change.
    pub fn usual(mut self, flag: &str, value: impl Into<String>) -> Self {
        self.flags.insert(flag.to_owned(), Flag::Usual(value.into()));
        self
    }

    /// Gives a flag that people may add to. Without a word the flag is left out.
    pub fn list<T: Into<String>>(mut self, flag: &str, words: impl IntoIterator<Item = T>) -> Self {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        if !words.is_empty() {
            self.flags.insert(flag.to_owned(), Flag::List(words));
        }
        self
    }

    /// Returns whose they are.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Adds what people give.
    ///
    /// # Errors
    ///
    /// A flag that is ours to give, or a value that is no line of text.
    pub fn extra(mut self, extra: &BTreeMap<String, String>) -> Result<Self, Error> {
        for (flag, value) in extra {
            if value.chars().any(char::is_control) {
                return Err(Error::Value {
                    component: self.kind,
                    flag: flag.clone(),
                });
            }
            let merged = match self.flags.get(flag) {
                Some(Flag::Own(_)) => {
                    return Err(Error::OwnFlag {
                        component: self.kind,
                        flag: flag.clone(),
                    });
                }
                Some(Flag::List(words)) => {
                    let more = value
                        .split(',')
                        .filter(|word| !words.iter().any(|known| known == word));
                    Flag::List(words.iter().cloned().chain(more.map(str::to_owned)).collect())
                }
                Some(Flag::Usual(_)) | None => Flag::Usual(value.clone()),
            };
            self.flags.insert(flag.clone(), merged);
        }
        Ok(self)
    }

    /// Gives the arguments, in the order of their names.
    ///
    /// # Errors
    ///
    /// [`Error::NoFlag`] for a flag that this version does not have.
    pub fn finish(self) -> Result<Vec<String>, Error> {
        if let Some(flag) = self
            .flags
            .keys()
            .find(|flag| !self.product.has_flag(self.kind, flag))
        {
            return Err(Error::NoFlag {
                component: self.kind,
                version: self.product.series(),
                flag: flag.clone(),
                hint: self.product.hint(self.kind, flag),
            });
        }
        let line = |(flag, value): (String, Flag)| match value {
            Flag::Own(value) | Flag::Usual(value) => format!("--{flag}={value}"),
            Flag::List(words) => format!("--{flag}={}", words.join(",")),
        };
        Ok(self.flags.into_iter().map(line).collect())
    }
}

impl Product {
    fn series(self) -> Minor {
        match self {
            Self::Kubernetes(release) => release.series(),
            Self::Etcd(release) => release.series(),
        }
    }

    fn has_flag(self, kind: Kind, flag: &str) -> bool {
        match self {
            Self::Kubernetes(release) => release.has_flag(kind, flag),
            Self::Etcd(release) => release.has_flag(flag),
        }
    }

    fn hint(self, kind: Kind, flag: &str) -> String {
        match self {
            Self::Kubernetes(release) => release.hint(kind, flag),
            Self::Etcd(_) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(version: &str, kind: Kind) -> Arguments {
        Arguments::kubernetes(kind, Release::of(version.parse().unwrap()).unwrap())
    }

    fn extra(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(flag, value)| ((*flag).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn people_change_what_is_usual_add_to_lists_and_leave_the_rest() {
        let begun = || {
            arguments("1.36", Kind::ApiServer)
                .own("secure-port", "6443")
                .usual("profiling", "false")
                .list("enable-admission-plugins", ["NodeRestriction"])
        };
        let given = extra(&[
            ("profiling", "true"),
            ("enable-admission-plugins", "NodeRestriction,AlwaysPullImages"),
            ("v", "2"),
        ]);
        let line = begun().extra(&given).unwrap().finish().unwrap();
        let expected = [
            "--enable-admission-plugins=NodeRestriction,AlwaysPullImages",
            "--profiling=true",
            "--secure-port=6443",
            "--v=2",
        ];
        assert_eq!(line, expected);
        let error = begun()
            .extra(&extra(&[("secure-port", "1")]))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "--secure-port of kube-apiserver follows from the rest of the config and cannot be given; remove it"
        );
        assert!(
            begun()
                .extra(&extra(&[("v", "2\n--token-auth-file=/x")]))
                .is_err()
        );
    }

    #[test]
    fn a_flag_that_the_version_lacks_is_refused_with_those_that_have_it() {
        let refused = |version, kind, flag| {
            let arguments = arguments(version, kind).extra(&extra(&[(flag, "x")])).unwrap();
            arguments.finish().unwrap_err().to_string()
        };
        assert_eq!(
            refused("1.36", Kind::Kubelet, "network-plugin"),
            "kubelet 1.36 has no flag --network-plugin; it is one of 1.20"
        );
        assert_eq!(
            refused("1.34", Kind::ApiServer, "insecure-port"),
            "kube-apiserver 1.34 has no flag --insecure-port"
        );
        assert_eq!(
            refused("1.20", Kind::ApiServer, "tracing-config-file"),
            "kube-apiserver 1.20 has no flag --tracing-config-file; it is one of 1.34, 1.35, 1.36"
        );
    }
}
