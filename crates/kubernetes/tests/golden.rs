//! Everything that each version is started with, as files to be read: `UPDATE_EXPECT=1 cargo test -p kubernetes` regenerates them.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use control_plane_testkit::sample;
use kubernetes::node::{Effect, Taint};
use kubernetes::{Component, Release, plan};

fn expect_file(name: &str, content: &str) {
    golden::check(
        "kubernetes",
        &format!("crates/kubernetes/tests/golden/{name}"),
        content,
    );
}

/// Writes components as a person reads them.
fn shown(components: &[Component]) -> String {
    let mut text = String::new();
    for component in components {
        writeln!(text, "## {}\n\n{}", component.kind, component.program.display()).unwrap();
        for argument in &component.arguments {
            writeln!(text, "    {argument}").unwrap();
        }
        writeln!(text, "\nhealth: {:?}", component.health).unwrap();
        let keys = (&component.trusts, &component.signs, component.signs_tokens);
        writeln!(text, "trusts, signs, signs tokens: {keys:?}").unwrap();
        for folder in &component.folders {
            writeln!(text, "folder: {}", folder.display()).unwrap();
        }
        for identity in &component.identities {
            let (organization, names) = (
                identity.organization.as_deref().unwrap_or("-"),
                identity.alternative_names.join(" "),
            );
            let purposes = [(identity.client, "client"), (identity.server, "server")];
            let purposes = purposes
                .iter()
                .filter(|(has, _)| *has)
                .map(|(_, word)| *word)
                .collect::<Vec<_>>()
                .join("+");
            let (file, signer, name) = (identity.file, identity.signer, &identity.name);
            writeln!(
                text,
                "certificate: {file} by {signer:?}, CN={name} O={organization} [{names}] {purposes}"
            )
            .unwrap();
        }
        for file in &component.files {
            let secret = if file.secret { " (secret)" } else { "" };
            writeln!(
                text,
                "\n--- {}{secret}\n{}",
                file.path.display(),
                file.contents.as_str()
            )
            .unwrap();
        }
        text.push('\n');
    }
    text
}

/// The etcd that a release of that age comes with.
fn etcd_of(release: &Release) -> &'static str {
    if release.series().minor < 30 {
        "3.4.23"
    } else {
        "3.5.16"
    }
}

#[test]
fn each_version_gets_what_it_needs() {
    let cluster = sample::cluster("https://k8s.home.example:6443");
    for release in Release::known() {
        let mut node = sample::node(&cluster, "node1", "192.168.1.7");
        let key = release.control_plane_taint().to_owned();
        node.taints.push(Taint {
            key,
            value: String::new(),
            effect: Effect::NoSchedule,
        });
        let components = plan(release, &cluster, &node, Some(&sample::plane(etcd_of(release)))).unwrap();
        expect_file(
            &format!("{}-control-plane.txt", release.series()),
            &shown(&components),
        );

        let mut node = sample::node(&cluster, "node2", "192.168.1.8");
        node.labels.insert("rack".to_owned(), "a".to_owned());
        let components = plan(release, &cluster, &node, None).unwrap();
        expect_file(&format!("{}-worker.txt", release.series()), &shown(&components));
    }
}

#[test]
fn a_worker_needs_no_private_key_of_an_authority() {
    let cluster = sample::cluster("https://k8s.home.example:6443");
    let node = sample::node(&cluster, "node2", "192.168.1.8");
    for release in Release::known() {
        for component in plan(release, &cluster, &node, None).unwrap() {
            assert!(
                component.signs.is_empty() && !component.signs_tokens,
                "{}",
                component.kind
            );
            assert!(
                component.files.iter().all(|file| !file.secret),
                "{}",
                component.kind
            );
        }
    }
}

#[test]
fn no_two_components_share_a_file_or_a_port() {
    let cluster = sample::cluster("https://k8s.home.example:6443");
    let node = sample::node(&cluster, "node1", "192.168.1.7");
    for release in Release::known() {
        let components = plan(release, &cluster, &node, Some(&sample::plane(etcd_of(release)))).unwrap();
        let mut seen = BTreeSet::new();
        for component in &components {
            let files = component.files.iter().map(|file| file.path.display().to_string());
            let identities = component
                .identities
                .iter()
                .map(|identity| format!("{}/{}", component.kind, identity.file));
            for name in files.chain(identities).chain([component.health.url.clone()]) {
                assert!(seen.insert(name.clone()), "{name} is listed twice");
            }
        }
    }
}

#[test]
fn pods_in_a_container_stay_however_full_the_disk_of_the_host_is() {
    let cluster = sample::cluster("https://k8s.home.example:6443");
    let mut node = sample::node(&cluster, "node2", "192.168.1.8");
    for release in Release::known() {
        for in_container in [false, true] {
            node.in_container = in_container;
            let components = plan(release, &cluster, &node, None).unwrap();
            let shown = components.iter().flat_map(|component| &component.files);
            let stays = shown
                .map(|file| file.contents.to_string())
                .any(|text| text.contains("nodefs.available: 0%"));
            assert_eq!(stays, in_container);
        }
    }
}
