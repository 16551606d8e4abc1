//! Takes a cluster out of a kubeconfig, with the contexts that lead to it and the users that nothing else needs. Pure.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::merge::{CURRENT, LISTS, Lists, MergeError, json, read, text_at};
use super::text::{Block, Lines};

/// Returns the text without the clusters of an authority, which is given by its certificates in PEM, in base64; none where
/// there are none. Everything else stays as it is written.
///
/// # Errors
///
/// A file that is not a kubeconfig, or is written in a form that cannot be changed without changing the rest.
pub fn remove(old: &str, authority: &str) -> Result<Option<Zeroizing<String>>, MergeError> {
    if old.trim().is_empty() {
        return Ok(None);
    }
    let root = read(old)?;
    let lists = Lists::of(&root)?;
    let gone = gone(&lists, authority);
    if gone[0].is_empty() {
        return Ok(None);
    }
    let mut lines = Lines::new(old, &root);
    for ((list, _), names) in LISTS.into_iter().zip(&gone) {
        for name in names {
            match lines.block(&root, list, name) {
                Block::Entry { at, .. } => lines.replace(at, ""),
                _ => return Err(MergeError::Style(list)),
            }
        }
    }
    let current = text_at(&root, CURRENT).filter(|current| gone[1].contains(current));
    if current.is_some() {
        lines.set(&root, CURRENT, "");
    }
    let text = lines.into_text();
    let mut expected = json(&root);
    for ((list, _), names) in LISTS.into_iter().zip(&gone) {
        keep(&mut expected[list], names);
    }
    if current.is_some() {
        expected[CURRENT] = "".into();
    }
    match json(&read(&text)?) == expected {
        true => Ok(Some(text)),
        false => Err(MergeError::Unclear),
    }
}

/// Returns the authority of a kubeconfig's only cluster, as [`remove`] takes it; none where it has another number of them.
///
/// # Errors
///
/// A file that is not a kubeconfig.
pub fn authority(text: &str) -> Result<Option<String>, MergeError> {
    let root = read(text)?;
    let lists = Lists::of(&root)?;
    let mut clusters = lists.contents(0);
    let (first, more) = (clusters.next(), clusters.next());
    let only = first.filter(|_| more.is_none());
    let authority = only.and_then(|cluster| text_at(cluster, "certificate-authority-data"));
    Ok(authority.map(str::to_owned))
}

/// Names what goes, by list: clusters, contexts, users.
fn gone<'a>(lists: &Lists<'a>, authority: &str) -> [BTreeSet<&'a str>; 3] {
    let clusters = lists.names(0, |cluster| {
        text_at(cluster, "certificate-authority-data") == Some(authority)
    });
    let leads =
        |context: &yaml::Node| text_at(context, "cluster").is_some_and(|name| clusters.contains(name));
    let contexts = lists.names(1, leads);
    let users_of = |wanted: bool| -> BTreeSet<&str> {
        let contexts = lists.contents(1).filter(|context| leads(context) == wanted);
        contexts.filter_map(|context| text_at(context, "user")).collect()
    };
    let (theirs, others) = (users_of(true), users_of(false));
    let users = lists.names(2, |_| true);
    let users = users
        .into_iter()
        .filter(|user| theirs.contains(user) && !others.contains(user));
    let users = users.collect();
    [clusters, contexts, users]
}

/// Leaves out the entries with these names. A list of which nothing is left has no value.
fn keep(list: &mut Json, gone: &BTreeSet<&str>) {
    if let Some(items) = list.as_array_mut() {
        let before = items.len();
        items.retain(|item| !item["name"].as_str().is_some_and(|name| gone.contains(name)));
        if items.is_empty() && before > 0 {
            *list = Json::Null;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubeconfig::{Entry, merge};

    const OURS: Entry<'_> = Entry {
        cluster: "home",
        server: "https://k8s.home.example:6443",
        authority: "Q0E=",
        user: "ann",
        certificate: "Q0VSVA==",
        key: "S0VZ",
    };
    const OTHERS: &str = "# mine
apiVersion: v1
clusters:
- cluster:
    server: https://work.example # far away
  name: work

contexts:
- context: {cluster: work, user: work}
  name: work
current-context: work
kind: Config
users:
- name: work
  user:
    token: abc
";

    #[test]
    fn what_was_added_goes_and_the_rest_stays() {
        let own = merge("", &OURS, None, false).unwrap().text;
        assert_eq!(authority(&own).unwrap().as_deref(), Some(OURS.authority));
        let both = merge(OTHERS, &OURS, None, false).unwrap().text;
        assert_eq!(authority(&both).unwrap(), None);
        let left = remove(&both, OURS.authority).unwrap().unwrap();
        assert_eq!(
            left.as_str(),
            OTHERS.replace("current-context: work", "current-context: \"\"")
        );
        assert!(
            remove(&left, OURS.authority).unwrap().is_none(),
            "nothing is left of it"
        );
        assert!(remove(OTHERS, OURS.authority).unwrap().is_none());
        assert!(remove("", OURS.authority).unwrap().is_none());

        // Nothing but ours: what is left is a kubeconfig, to which others can be added.
        let alone = merge("", &OURS, None, false).unwrap().text;
        let left = remove(&alone, OURS.authority).unwrap().unwrap();
        assert!(
            !left.contains("S0VZ") && !left.contains("Q0E="),
            "{}",
            left.as_str()
        );
        merge(&left, &OURS, None, false).unwrap();
    }

    #[test]
    fn a_user_of_another_cluster_stays() {
        let both = merge(OTHERS, &OURS, None, false).unwrap().text;
        let shared = both.replace("user: work}", "user: ann@home}");
        let left = remove(&shared, OURS.authority).unwrap().unwrap();
        assert!(
            left.contains("S0VZ") && !left.contains("k8s.home.example"),
            "{}",
            left.as_str()
        );
    }

    #[test]
    fn a_form_that_cannot_be_changed_is_refused() {
        let flow = "kind: Config\nclusters: [{name: home, cluster: {certificate-authority-data: Q0E=}}]\n";
        assert!(matches!(
            remove(flow, OURS.authority),
            Err(MergeError::Style("clusters"))
        ));
    }
}
