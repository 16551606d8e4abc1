//! Texts of Kubernetes: labels, taints, flags.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::{NotA, is_domain};

/// The longest name or value of a label.
const LONGEST: usize = 63;
/// The longest value of a label's prefix.
const LONGEST_PREFIX: usize = 253;
/// Labels with these prefixes, or under them, are Kubernetes's own.
const RESERVED: [&str; 2] = ["kubernetes.io", "k8s.io"];
/// What a kubelet may call its node nevertheless: the prefixes, and the labels.
const KUBELET_PREFIXES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
const KUBELET_LABELS: [&str; 6] = [
    "beta.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "node.kubernetes.io/instance-type",
];
/// What kubelet finds out itself, whatever it is told.
const FOUND: [&str; 5] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
];

checked_text!(
    /// The key of a label or a taint.
    LabelKey, is_label_key,
    "a label's key; expected NAME or DOMAIN/NAME, where NAME has at most 63 letters, digits, dots, hyphens and underscores",
    r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$",
    "The key of a label or taint: NAME or DOMAIN/NAME."
);
checked_text!(
    /// The value of a label.
    LabelValue, is_label_value,
    "a label's value; expected at most 63 letters, digits, dots, hyphens and underscores, starting and ending with a letter or digit",
    r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$",
    "The value of a label: at most 63 letters, digits, dots, hyphens and underscores."
);
checked_text!(
    /// The name of a flag, without the dashes.
    FlagName, is_flag_name,
    "the name of a flag; expected lower-case letters, digits and hyphens, without the dashes in front",
    r"^[a-z][a-z0-9-]{0,99}$",
    "The name of a flag, without the dashes in front."
);
checked_text!(
    /// The name of a feature gate.
    FeatureGate, is_capitalised,
    "a feature gate; expected letters and digits, starting with a capital, such as SidecarContainers",
    r"^[A-Z][A-Za-z0-9]{0,99}$",
    "The name of a feature gate, such as SidecarContainers."
);
checked_text!(
    /// The name of an admission plugin.
    PluginName, is_capitalised,
    "an admission plugin; expected letters and digits, starting with a capital, such as PodSecurity",
    r"^[A-Z][A-Za-z0-9]{0,99}$",
    "The name of an admission plugin, such as PodSecurity."
);
checked_text!(
    /// The path of a file in the image.
    ImagePath, is_image_path,
    "a file of the image; expected a path from the root, such as /usr/share/manifests/app.yaml, without . and ..",
    r"^(/[A-Za-z0-9._-]+)+$",
    "The path of a file in the image, from the root."
);

impl LabelKey {
    /// Returns whether Kubernetes lets only administrators set the label: a kubelet cannot give it to its own node.
    pub fn is_restricted(&self) -> bool {
        let Some((domain, _)) = self.as_str().split_once('/') else {
            return false;
        };
        let under = |parents: &[&str]| {
            parents.iter().any(|parent| {
                let rest = domain.strip_suffix(parent);
                rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            })
        };
        under(&RESERVED) && !under(&KUBELET_PREFIXES) && !KUBELET_LABELS.contains(&self.as_str())
    }

    /// Returns whether kubelet sets the label itself, to what it finds.
    pub fn is_found_by_kubelet(&self) -> bool {
        FOUND.contains(&self.as_str())
    }
}

/// What a taint does, and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaintValue {
    /// The value, which may be empty.
    pub value: String,
    /// What happens to pods that do not tolerate it.
    pub effect: TaintEffect,
}

/// What a taint does to pods that do not tolerate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaintEffect {
    /// None comes.
    NoSchedule,
    /// None comes if it can go elsewhere.
    PreferNoSchedule,
    /// None comes, and those that are there go.
    NoExecute,
}

impl TaintEffect {
    const ALL: [(&'static str, Self); 3] = [
        ("NoSchedule", Self::NoSchedule),
        ("PreferNoSchedule", Self::PreferNoSchedule),
        ("NoExecute", Self::NoExecute),
    ];

    /// Returns its name in Kubernetes.
    pub fn as_str(self) -> &'static str {
        let known = Self::ALL.iter().find(|(_, effect)| *effect == self);
        known.map_or("NoSchedule", |(name, _)| name)
    }
}

impl fmt::Display for TaintValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.value.is_empty() {
            write!(f, "{}:", self.value)?;
        }
        f.write_str(self.effect.as_str())
    }
}

impl FromStr for TaintValue {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        let (value, effect) = text.rsplit_once(':').unwrap_or(("", text));
        let effect = TaintEffect::ALL.iter().find(|(name, _)| *name == effect);
        match effect.filter(|_| is_label_value(value)) {
            Some((_, effect)) => Ok(Self {
                value: value.to_owned(),
                effect: *effect,
            }),
            None => Err(NotA(
                "a taint; expected EFFECT or VALUE:EFFECT, where EFFECT is NoSchedule, PreferNoSchedule or NoExecute",
            )),
        }
    }
}

as_text!(
    TaintValue,
    r"^([A-Za-z0-9._-]{0,63}:)?(NoSchedule|PreferNoSchedule|NoExecute)$",
    "A taint: EFFECT or VALUE:EFFECT, where EFFECT is NoSchedule, PreferNoSchedule or NoExecute."
);

/// A map of any content, which somebody else reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document(pub serde_json::Map<String, serde_json::Value>);

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(any(test, feature = "schema"))]
impl schemars::JsonSchema for Document {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Document".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "object" })
    }
}

fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        None => is_label_name(text),
        Some((domain, name)) => domain.len() <= LONGEST_PREFIX && is_domain(domain) && is_label_name(name),
    }
}

fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_label_name(text)
}

fn is_label_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    text.len() <= LONGEST && text.bytes().all(allowed) && end(bytes.first()) && end(bytes.last())
}

fn is_flag_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    text.len() <= 100
        && text.bytes().all(allowed)
        && text.starts_with(|first: char| first.is_ascii_lowercase())
}

fn is_capitalised(text: &str) -> bool {
    text.len() <= 100
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
        && text.starts_with(|first: char| first.is_ascii_uppercase())
}

fn is_image_path(text: &str) -> bool {
    let part = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    text.len() <= 1024
        && text
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_those_that_kubernetes_takes() {
        for good in ["a", "disk-type", "example.com/Disk_Type.2", "a.b-c/x"] {
            assert!(good.parse::<LabelKey>().is_ok(), "{good}");
        }
        for wrong in [
            "",
            "-a",
            "a-",
            "/a",
            "a/",
            "a/b/c",
            "A.b/c",
            "a b",
            &"x".repeat(64),
        ] {
            assert!(wrong.parse::<LabelKey>().is_err(), "{wrong}");
        }
        assert!("".parse::<LabelValue>().is_ok());
        assert!("a/b".parse::<LabelValue>().is_err());
    }

    #[test]
    fn a_kubelet_may_not_call_its_node_what_it_likes() {
        for (key, restricted) in [
            ("example.com/a", false),
            ("a", false),
            ("notkubernetes.io/a", false),
            ("node-role.kubernetes.io/worker", true),
            ("node-restriction.kubernetes.io/a", true),
            ("kubernetes.io/a", true),
            ("x.k8s.io/a", true),
            ("node.kubernetes.io/a", false),
            ("sub.node.kubernetes.io/a", false),
            ("topology.kubernetes.io/zone", false),
            ("topology.kubernetes.io/rack", true),
        ] {
            assert_eq!(
                key.parse::<LabelKey>().unwrap().is_restricted(),
                restricted,
                "{key}"
            );
        }
    }

    #[test]
    fn a_taint_has_an_effect_and_perhaps_a_value() {
        let taint: TaintValue = "gpu:NoExecute".parse().unwrap();
        assert_eq!(
            (taint.value.as_str(), taint.effect),
            ("gpu", TaintEffect::NoExecute)
        );
        let taint: TaintValue = "NoSchedule".parse().unwrap();
        assert_eq!(
            (taint.value.as_str(), taint.to_string().as_str()),
            ("", "NoSchedule")
        );
        assert_eq!(
            ":NoSchedule".parse::<TaintValue>().unwrap().to_string(),
            "NoSchedule"
        );
        for wrong in ["", "gpu", "gpu:noschedule", "a b:NoSchedule", "a:b:NoSchedule"] {
            assert!(wrong.parse::<TaintValue>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_path_of_the_image_leads_nowhere_else() {
        assert!("/usr/share/a.yaml".parse::<ImagePath>().is_ok());
        for wrong in ["", "/", "a", "/a//b", "/../a", "/a/./b", "/a/", "/a b"] {
            assert!(wrong.parse::<ImagePath>().is_err(), "{wrong}");
        }
    }
}
