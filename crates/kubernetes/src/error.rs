//! What can be wrong with what is asked for.

use crate::{Kind, Minor};

/// Says what cannot be run, and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A text is no version.
    #[error("{0:?} is not a version; expected MAJOR.MINOR or MAJOR.MINOR.PATCH, such as 1.36.2")]
    NotAVersion(String),
    /// A version that the table does not know.
    #[error("{product} {found} is not supported; known versions: {known}")]
    UnknownVersion {
        /// Kubernetes or etcd.
        product: &'static str,
        /// What was asked for.
        found: String,
        /// Every known version, with commas between.
        known: String,
    },
    /// An etcd that is too old.
    #[error("Kubernetes {kubernetes} needs etcd {minimum} or newer, not {found}")]
    OldEtcd {
        /// The version of Kubernetes.
        kubernetes: Minor,
        /// The oldest etcd that it takes.
        minimum: String,
        /// The etcd that is there.
        found: String,
    },
    /// A way to forward services that the version does not have.
    #[error("kube-proxy of Kubernetes {version} has no mode {mode:?}; known: {known}")]
    ProxyMode {
        /// The version.
        version: Minor,
        /// What was asked for.
        mode: &'static str,
        /// What there is.
        known: String,
    },
    /// A flag that a component does not have in this version.
    #[error("{component} {version} has no flag --{flag}{hint}")]
    NoFlag {
        /// The component.
        component: Kind,
        /// Its version.
        version: Minor,
        /// The flag, without the dashes.
        flag: String,
        /// In which versions it is, or nothing.
        hint: String,
    },
    /// A flag that is Bedplate's own to set.
    #[error("--{flag} of {component} follows from the rest of the config and cannot be given; remove it")]
    OwnFlag {
        /// The component.
        component: Kind,
        /// The flag, without the dashes.
        flag: String,
    },
    /// A field of a component's config that is Bedplate's own to set.
    #[error(
        "{field} of {component}'s config follows from the rest of the config and cannot be given; remove it"
    )]
    OwnField {
        /// The component.
        component: Kind,
        /// The path of the field.
        field: String,
    },
    /// A value that no command line can hold.
    #[error("the value of --{flag} of {component} is no single line of text")]
    Value {
        /// The component.
        component: Kind,
        /// The flag, without the dashes.
        flag: String,
    },
    /// A name that Kubernetes does not take.
    #[error(
        "{found:?} cannot be a node's name in Kubernetes; expected lower-case letters, digits, hyphens and dots, 63 at most, and not localhost: set machine.hostname"
    )]
    NodeName {
        /// What was asked for.
        found: String,
    },
    /// A node without an address of its own.
    #[error(
        "node {0} has no address of its own yet: it must be in cluster.subnets, if some are listed, and neither loopback, link-local nor one of pods or services"
    )]
    NoAddress(String),
    /// A feature gate that is none.
    #[error(
        "{0:?} is not the name of a feature gate; expected letters and digits, such as KubeletInUserNamespace"
    )]
    FeatureGate(String),
}
