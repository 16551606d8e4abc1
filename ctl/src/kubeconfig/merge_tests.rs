use proptest::prelude::*;

use super::*;

const HOME: Entry<'_> = Entry {
    cluster: "home",
    server: "https://k8s.home.example:6443",
    authority: "Q0E=",
    user: "ann",
    certificate: "Q0VSVA==",
    key: "S0VZ",
};

/// As kubectl and others write them, with everything that we do not know.
const OTHERS: &str = "# my clusters
apiVersion: v1
clusters:
- cluster:
    certificate-authority: /folder/ann/.minikube/ca.crt   # a file
    extensions:
    - extension:
        last-update: Mon, 02 Jan 2026 15:04:05 UTC
        provider: minikube.sigs.k8s.io
      name: cluster_info
    server: https://192.168.49.2:8443
  name: minikube

# the one at work
- cluster: {server: 'https://work.example', insecure-skip-tls-verify: true}
  name: 'work'
contexts:
- context:
    cluster: work
    namespace: \"my-team\"
    user: work
  name: work
current-context: work # for now
kind: Config
preferences: {}
users:
- name: work
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      args:
      - --region
      - \"1\"
      command: aws
      env: null
      interactiveMode: IfAvailable
- name: token
  user:
    token: |
      abc
      # not a comment
";

fn merged(old: &str, entry: &Entry<'_>) -> Merged {
    merge(old, entry, None, false).unwrap()
}

fn names(cluster: &str, user: &str, context: &str) -> Names {
    Names {
        cluster: cluster.to_owned(),
        user: user.to_owned(),
        context: context.to_owned(),
    }
}

#[test]
fn a_new_file_is_as_kubectl_writes_it() {
    let made = merged("", &HOME);
    let expected = "apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority-data: Q0E=
    server: https://k8s.home.example:6443
  name: home
contexts:
- context:
    cluster: home
    user: ann@home
  name: ann@home
users:
- user:
    client-certificate-data: Q0VSVA==
    client-key-data: S0VZ
  name: ann@home
current-context: ann@home
";
    assert_eq!(made.text.as_str(), expected);
    assert_eq!(made.names, names("home", "ann@home", "ann@home"));
    assert_eq!(
        merged(&made.text, &HOME).text.as_str(),
        expected,
        "again is the same"
    );
}

#[test]
fn every_line_of_others_stays() {
    let made = merged(OTHERS, &HOME);
    let mut rest = made.text.lines();
    for line in OTHERS.lines().filter(|line| !line.starts_with("current-context")) {
        assert!(
            rest.any(|other| other == line),
            "{line:?} is gone, or moved: {}",
            made.text.as_str()
        );
    }
    let added = made.text.lines().count() - OTHERS.lines().count();
    assert_eq!(added, 12, "{}", made.text.as_str());
    assert!(made.text.contains("\ncurrent-context: ann@home\n"));
    // A day later: only the user is another.
    let later = Entry {
        certificate: "TkVX",
        ..HOME
    };
    let again = merged(&made.text, &later);
    let expected = made.text.replace("Q0VSVA==", "TkVX");
    assert_eq!(again.text.as_str(), expected);
}

#[test]
fn what_was_set_beside_our_fields_stays() {
    let made = merged("", &HOME);
    let set = made
        .text
        .replace(
            "    user: ann@home\n",
            "    user: ann@home\n    namespace: shop\n",
        )
        .replace(
            "    server:",
            "    proxy-url: socks5://localhost:1080\n    server:",
        );
    let again = merged(&set, &HOME);
    assert_eq!(again.text.as_str(), set);
}

#[test]
fn another_cluster_of_the_same_name_keeps_it() {
    let first = merged("", &HOME);
    let other = Entry {
        server: "https://elsewhere:6443",
        authority: "QU5PVEhFUg==",
        ..HOME
    };
    let both = merged(&first.text, &other);
    assert!(both.renamed);
    assert_eq!(both.names, names("home-1", "ann@home-1", "ann@home-1"));
    assert!(both.text.contains("server: https://k8s.home.example:6443\n"));
    let again = merged(&both.text, &other);
    assert_eq!(again.names.cluster, "home-1", "and not a third");
    assert_eq!(again.text.as_str(), both.text.as_str());
    let forced = merge(&first.text, &other, None, true).unwrap();
    assert_eq!((forced.names.cluster.as_str(), forced.renamed), ("home", false));
    assert!(!forced.text.contains("k8s.home.example"));
    // A new authority at the same address is the same cluster, and so is a new address with the same authority.
    for same in [
        Entry {
            authority: "TkVX",
            ..HOME
        },
        Entry {
            server: "https://new:6443",
            ..HOME
        },
    ] {
        let again = merged(&first.text, &same);
        assert_eq!((again.names.cluster.as_str(), again.renamed), ("home", false));
    }
}

#[test]
fn a_context_can_have_another_name() {
    let made = merge(OTHERS, &HOME, Some("mine"), false).unwrap();
    assert_eq!(made.names, names("home", "ann@home", "mine"));
    let error = merge(OTHERS, &HOME, Some("work"), false).unwrap_err().to_string();
    assert!(error.contains("give another --context-name"), "{error}");
    assert!(merge(OTHERS, &HOME, Some("work"), true).is_ok());
}

#[test]
fn what_cannot_be_changed_line_by_line_is_refused_with_the_way_out() {
    let cases = [
        (
            "{apiVersion: v1, kind: Config, clusters: [{name: a, cluster: {}}]}",
            "clusters is not a list with each",
        ),
        (
            "kind: Config\nusers: [{name: a, user: {}}]\n",
            "users is not a list with each",
        ),
        ("kind: Pod\n", "is not a kubeconfig"),
        ("- a\n", "is not a kubeconfig"),
        ("kind: Config\nusers: {}\n", "is not a kubeconfig"),
        ("kind: [\n", "cannot be read"),
        ("kind: Config\nusers: &a []\nclusters: *a\n", "cannot be read"),
    ];
    for (old, expected) in cases {
        let error = merge(old, &HOME, None, false).unwrap_err().to_string();
        assert!(error.contains(expected), "{old:?}: {error}");
        assert!(error.contains("KUBECONFIG"), "{error}");
    }
}

#[test]
fn empty_lists_of_every_form_are_filled() {
    for empty in [
        "",
        " []",
        " null",
        " ~",
        "\n  []",
        " # none yet",
        " []\n# to come",
    ] {
        let old = format!("clusters:{empty}\ncontexts:{empty}\nkind: Config\nusers:{empty}");
        let made = merged(&old, &HOME);
        assert_eq!(
            merged(&made.text, &HOME).text.as_str(),
            made.text.as_str(),
            "{old:?}"
        );
    }
}

#[test]
fn names_that_yaml_reads_otherwise_are_quoted() {
    for odd in [
        "true",
        "1",
        "a: b",
        "#",
        "Ann Müller",
        "",
        "null",
        "-",
        "a\"b\\c",
        "no",
        "a:",
    ] {
        let entry = Entry { user: odd, ..HOME };
        let made = merged(OTHERS, &entry);
        assert_eq!(made.names.user, format!("{odd}@home"));
        let made = merge("", &HOME, Some(odd), false).unwrap();
        assert_eq!(
            merge(&made.text, &HOME, Some(odd), false).unwrap().text.as_str(),
            made.text.as_str()
        );
    }
}

proptest! {
    /// Whatever a file is: it is changed as it should be, or not at all.
    #[test]
    fn no_file_is_changed_by_mistake(
        cut in prop::collection::vec((any::<prop::sample::Index>(), "[ \\-#:\\[\\]{}a|>'\"\n]{0,4}"), 0..4),
    ) {
        let mut old = OTHERS.to_owned();
        for (at, piece) in cut {
            let at = at.index(old.len());
            old.insert_str(at, &piece);
        }
        if let Ok(made) = merge(&old, &HOME, None, false) {
            let lists = yaml::read(&made.text).unwrap();
            let (_, current) = lists.entry(CURRENT).unwrap();
            prop_assert!(matches!(&current.value, Value::Scalar(scalar) if scalar.text.as_str() == made.names.context));
        }
    }
}
