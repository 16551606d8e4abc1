//! Adds a cluster, a user and a context to a kubeconfig. Pure.
//!
//! The file belongs to a person and to other programs, which write what we do not know. So it is changed as text: entries of
//! ours are put in or replaced, and every other line stays as it is. In the end the result is read again, and compared with
//! what it should be: a file that was understood otherwise than YAML does is not written.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use yaml::{Node, Value};
use zeroize::Zeroizing;

use super::text::{Block, Lines};

/// A cluster and who calls it, to be added to a kubeconfig.
pub struct Entry<'a> {
    /// The name of the cluster.
    pub cluster: &'a str,
    /// Where its API is.
    pub server: &'a str,
    /// The certificates of its authority in PEM, in base64.
    pub authority: &'a str,
    /// The name of the user.
    pub user: &'a str,
    /// The certificate of the user in PEM, in base64.
    pub certificate: &'a str,
    /// The private key of the user in PEM, in base64.
    pub key: &'a str,
}

/// How the cluster, the user and the context are called in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The name of the cluster.
    pub cluster: String,
    /// The name of the user.
    pub user: String,
    /// The name of the context.
    pub context: String,
}

/// A kubeconfig with the cluster in it.
#[derive(Debug)]
pub struct Merged {
    /// The file's text.
    pub text: Zeroizing<String>,
    /// The names.
    pub names: Names,
    /// Set when others had the usual names.
    pub renamed: bool,
}

/// Why a kubeconfig cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// It is not YAML as we read it.
    #[error("it cannot be read as a kubeconfig; {OTHER_FILE}")]
    Yaml(#[from] yaml::Fault),
    /// It is something else.
    #[error("it is not a kubeconfig (kind: Config); {OTHER_FILE}")]
    NotKubeconfig,
    /// Its lists are not written a line for each entry.
    #[error("{0} is not a list with each entry on lines of its own, as kubectl writes it; {OTHER_FILE}")]
    Style(&'static str),
    /// Another cluster's context has the name that was asked for.
    #[error(
        "the context {0:?} belongs to another cluster; give another --context-name, or --force to replace it"
    )]
    Taken(String),
    /// What was written does not read as it should.
    #[error("its form is not understood well enough to change it; {OTHER_FILE}")]
    Unclear,
}

/// The way out.
const OTHER_FILE: &str =
    "write to a file of its own with `bedplate kubeconfig FILE`, and name both files in KUBECONFIG";
/// The lists, and what each entry of them holds.
pub(super) const LISTS: [(&str, &str); 3] = [
    ("clusters", "cluster"),
    ("contexts", "context"),
    ("users", "user"),
];
/// The key that names the context in use.
pub(super) const CURRENT: &str = "current-context";
/// How many names are tried: nobody has so many clusters of one name.
const TRIES: u32 = 1000;

/// Adds an entry to a kubeconfig and makes its context the current one. An entry of the same cluster is replaced; where
/// another cluster has its names, it gets others (`NAME-1`), unless `force`. `context` is another name for the context.
///
/// # Errors
///
/// A file that is not a kubeconfig, or is written in a form that cannot be changed without changing the rest.
pub fn merge(old: &str, entry: &Entry<'_>, context: Option<&str>, force: bool) -> Result<Merged, MergeError> {
    let empty = old.trim().is_empty();
    let old = if empty {
        "apiVersion: v1\nkind: Config\n"
    } else {
        old
    };
    let root = read(old)?;
    let lists = Lists::of(&root)?;
    let (names, renamed) = names(&lists, entry, context, force)?;
    let mut lines = Lines::new(old, &root);
    for (list, content) in entries(&lists, entry, &names) {
        put(&mut lines, &root, list, content)?;
    }
    lines.set(&root, CURRENT, &names.context);
    let text = lines.into_text();
    match is_merged(&root, &yaml::read(&text)?, entry, &names) {
        true => Ok(Merged { text, names, renamed }),
        false => Err(MergeError::Unclear),
    }
}

/// Reads a kubeconfig.
pub(super) fn read(text: &str) -> Result<Node, MergeError> {
    let root = yaml::read(text)?;
    let config = text_at(&root, "kind").is_none_or(|kind| kind == "Config");
    match matches!(root.value, Value::Map(_)) && config {
        true => Ok(root),
        false => Err(MergeError::NotKubeconfig),
    }
}

/// The entries of the three lists.
pub(super) struct Lists<'a>([Vec<(&'a str, &'a Node)>; 3]);

impl<'a> Lists<'a> {
    pub(super) fn of(root: &'a Node) -> Result<Self, MergeError> {
        let mut lists = [const { Vec::new() }; 3];
        for ((list, _), found) in LISTS.into_iter().zip(&mut lists) {
            let Some((_, node)) = root.entry(list) else {
                continue;
            };
            match &node.value {
                Value::List(items) => {
                    for item in items {
                        found.push((text_at(item, "name").ok_or(MergeError::NotKubeconfig)?, item));
                    }
                }
                _ if node.is_null() => {}
                _ => return Err(MergeError::NotKubeconfig),
            }
        }
        Ok(Self(lists))
    }

    /// Returns what the entries of a list hold beside their names.
    pub(super) fn contents(&self, list: usize) -> impl Iterator<Item = &'a Node> {
        let entries = self.0[list].iter();
        entries.filter_map(move |(_, node)| node.entry(LISTS[list].1).map(|(_, inner)| inner))
    }

    /// Names the entries of a list that hold something.
    pub(super) fn names(&self, list: usize, holds: impl Fn(&Node) -> bool) -> BTreeSet<&'a str> {
        let entries = self.0[list].iter();
        let inner = |node: &'a Node| node.entry(LISTS[list].1).map(|(_, inner)| inner);
        let found = entries.filter(|(_, node)| inner(node).is_some_and(&holds));
        found.map(|(name, _)| *name).collect()
    }

    fn find(&self, list: usize, name: &str) -> Option<&'a Node> {
        let found = self.0[list].iter().find(|(other, _)| *other == name);
        let (_, inner) = LISTS[list];
        found
            .and_then(|(_, node)| node.entry(inner))
            .map(|(_, inner)| inner)
    }

    fn has(&self, list: usize, name: &str) -> bool {
        self.0[list].iter().any(|(other, _)| *other == name)
    }

    fn cluster_is_ours(&self, name: &str, entry: &Entry<'_>) -> bool {
        self.find(0, name).is_some_and(|cluster| {
            text_at(cluster, "certificate-authority-data") == Some(entry.authority)
                || text_at(cluster, "server") == Some(entry.server)
        })
    }

    /// Tells whether all contexts with this user are of this cluster.
    fn user_is_of(&self, user: &str, cluster: &str) -> bool {
        let mut contexts = self.0[1].iter().filter_map(|(_, node)| node.entry("context"));
        contexts.all(|(_, context)| {
            text_at(context, "user") != Some(user) || text_at(context, "cluster") == Some(cluster)
        })
    }

    fn context_is_of(&self, name: &str, names: &Names) -> bool {
        self.find(1, name).is_some_and(|context| {
            text_at(context, "cluster") == Some(&names.cluster)
                && text_at(context, "user") == Some(&names.user)
        })
    }
}

/// Chooses names that are free, or ours.
fn names(
    lists: &Lists<'_>,
    entry: &Entry<'_>,
    context: Option<&str>,
    force: bool,
) -> Result<(Names, bool), MergeError> {
    for number in 0..TRIES {
        let cluster = match number {
            0 => entry.cluster.to_owned(),
            number => format!("{}-{number}", entry.cluster),
        };
        let user = format!("{}@{cluster}", entry.user);
        let names = Names {
            context: context.unwrap_or(&user).to_owned(),
            cluster,
            user,
        };
        let free = |list, name: &str| !lists.has(list, name);
        let fits = force
            || (free(0, &names.cluster) || lists.cluster_is_ours(&names.cluster, entry))
                && (free(2, &names.user) || lists.user_is_of(&names.user, &names.cluster));
        if !fits {
            continue;
        }
        match force || free(1, &names.context) || lists.context_is_of(&names.context, &names) {
            true => return Ok((names, number > 0)),
            false if context.is_some() => return Err(MergeError::Taken(names.context)),
            false => {}
        }
    }
    Err(MergeError::Taken(entry.cluster.to_owned()))
}

/// What is to be put into each list: the name, the key and its content. What is there and says the same is left out, with
/// whatever else it says: a namespace, a proxy.
fn entries<'a>(lists: &Lists<'_>, entry: &Entry<'a>, names: &Names) -> Vec<(usize, Content)> {
    let mut all = Vec::new();
    let same = lists.find(0, &names.cluster).is_some_and(|cluster| {
        text_at(cluster, "certificate-authority-data") == Some(entry.authority)
            && text_at(cluster, "server") == Some(entry.server)
    });
    if !same {
        let fields = [
            ("certificate-authority-data", entry.authority),
            ("server", entry.server),
        ];
        all.push((0, Content::new(&names.cluster, &fields)));
    }
    if !lists.context_is_of(&names.context, names) {
        let fields = [("cluster", names.cluster.as_str()), ("user", &names.user)];
        all.push((1, Content::new(&names.context, &fields)));
    }
    let fields = [
        ("client-certificate-data", entry.certificate),
        ("client-key-data", entry.key),
    ];
    all.push((2, Content::new(&names.user, &fields)));
    all
}

/// An entry of a list. What is secret in it is wiped.
struct Content {
    name: String,
    fields: Vec<(&'static str, Zeroizing<String>)>,
}

impl Content {
    fn new(name: &str, fields: &[(&'static str, &str)]) -> Self {
        let fields = fields
            .iter()
            .map(|(key, value)| (*key, Zeroizing::new((*value).to_owned())));
        Self {
            name: name.to_owned(),
            fields: fields.collect(),
        }
    }

    /// Writes the entry as kubectl does, behind this indentation.
    fn lines(&self, indent: &str, inner: &str) -> Zeroizing<String> {
        let mut text = Zeroizing::new(format!("{indent}- {inner}:\n"));
        for (key, value) in &self.fields {
            text.push_str(&format!("{indent}    {key}: "));
            text.push_str(&quoted(value));
            text.push('\n');
        }
        text.push_str(&format!("{indent}  name: {}\n", quoted(&self.name).as_str()));
        text
    }
}

/// Writes a text as YAML reads it as that text.
pub(super) fn quoted(text: &str) -> Zeroizing<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./@:+=".contains(&byte);
    let safe = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(plain)
        && !text.ends_with(':')
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    match safe {
        true => Zeroizing::new(text.to_owned()),
        // JSON is YAML.
        false => Zeroizing::new(Json::from(text).to_string()),
    }
}

fn put(lines: &mut Lines, root: &Node, list: usize, content: Content) -> Result<(), MergeError> {
    let (key, inner) = LISTS[list];
    let style = MergeError::Style(key);
    match lines.block(root, key, &content.name) {
        Block::Missing => lines.append(&format!("{key}:\n{}", content.lines("", inner).as_str())),
        Block::Empty { at } => {
            lines.replace(at, &format!("{key}:\n{}", content.lines("", inner).as_str()));
        }
        Block::Entry { at, indent } => lines.replace(at, &content.lines(&indent, inner)),
        Block::End { before, indent } => lines.replace(before..before, &content.lines(&indent, inner)),
        Block::Flow => return Err(style),
    }
    Ok(())
}

/// Tells whether the new text holds the entry, and everything else as it was.
fn is_merged(old: &Node, new: &Node, entry: &Entry<'_>, names: &Names) -> bool {
    let (old, new) = (json(old), json(new));
    let mut expected = old;
    let Some(map) = expected.as_object_mut() else {
        return false;
    };
    map.insert(CURRENT.to_owned(), names.context.as_str().into());
    let wanted = [
        json!({ "server": entry.server, "certificate-authority-data": entry.authority }),
        json!({ "cluster": names.cluster, "user": names.user }),
        json!({ "client-certificate-data": entry.certificate, "client-key-data": entry.key }),
    ];
    let ours = [&names.cluster, &names.context, &names.user];
    for (((list, inner), wanted), name) in LISTS.into_iter().zip(wanted).zip(ours) {
        let items = map.entry(list).or_insert(Json::Null);
        if items.is_null() {
            *items = Json::Array(Vec::new());
        }
        let Some(items) = items.as_array_mut() else {
            return false;
        };
        let same = |item: &Json| item["name"] == name.as_str();
        let kept = items.iter().find(|item| same(item)).is_some_and(|item| {
            let fields = wanted.as_object().into_iter().flatten();
            inner != "user" && fields.clone().all(|(key, value)| item[inner][key] == *value)
        });
        if kept {
            continue;
        }
        let one = json!({ "name": name, inner: wanted });
        match items.iter_mut().find(|item| same(item)) {
            Some(item) => *item = one,
            None => items.push(one),
        }
    }
    expected == new
}

/// Turns a tree into one that can be compared. Plain scalars stay distinct from quoted ones, except for those that are texts
/// either way.
pub(super) fn json(node: &Node) -> Json {
    match &node.value {
        Value::Scalar(_) if node.is_null() => Json::Null,
        Value::Scalar(scalar) if node.kind() == "a text" => scalar.text.as_str().into(),
        Value::Scalar(scalar) => json!({ "plain": scalar.text.as_str() }),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, node)| (key.name.clone(), json(node)));
            Json::Object(entries.collect())
        }
    }
}

/// Returns the text of this name in a map.
pub(super) fn text_at<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    match &node.entry(name)?.1.value {
        Value::Scalar(scalar) => Some(scalar.text.trim_end()),
        Value::List(_) | Value::Map(_) => None,
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
