//! Which specs are admitted, beside an image and beside each other.

use machine_config::Secret;
use service_definition::User;
use state::kinds::{FileContents, FileMode, ServiceFile};

use super::*;

fn service(name: &str) -> Service {
    Service::new(name, ["/usr/bin/x"])
}

fn image() -> Catalogue {
    Catalogue::of_image(&[service("containerd")]).unwrap()
}

fn specs<const N: usize>(services: [Service; N]) -> Vec<(String, ServiceSpec)> {
    let spec = |service: Service| (service.name.clone(), ServiceSpec::new(service));
    services.map(spec).into()
}

fn names(catalogue: &Catalogue) -> Vec<&str> {
    catalogue.entries.keys().map(String::as_str).collect()
}

#[test]
fn specs_are_added_to_the_image_and_may_depend_on_what_is_not_there() {
    let mut etcd = service("etcd");
    etcd.depends_on = vec!["containerd".into(), "later".into()];
    let all = image().with_specs(&specs([etcd]), &Catalogue::default());
    assert_eq!(names(&all), ["containerd", "etcd"]);
    assert_eq!(all.entries["etcd"].definition.depends_on, ["containerd", "later"]);
    assert_eq!(all.faults, BTreeMap::new());
}

/// Makes a spec of one service, changed by hand.
fn changed(change: impl FnOnce(&mut ServiceSpec)) -> Vec<(String, ServiceSpec)> {
    let mut spec = ServiceSpec::new(service("etcd"));
    change(&mut spec);
    vec![("etcd".into(), spec)]
}

fn file(path: &str, mode: u32, contents: FileContents) -> ServiceFile {
    ServiceFile {
        path: path.into(),
        mode: FileMode(mode),
        contents,
        reloads: false,
    }
}

#[test]
fn what_is_wrong_with_a_spec_is_said_with_the_way_out() {
    let plain = || FileContents::Plain("x".into());
    let key = "-----BEGIN PRIVATE KEY-----\nMC4C\n";
    let with = |path: &str, mode, contents| {
        let file = file(path, mode, contents);
        changed(|spec| spec.files = vec![file])
    };
    let table = [
        (
            changed(|spec| spec.service.name = "other".into()),
            "give both one name",
        ),
        (changed(|spec| spec.service.command.clear()), "command: is empty"),
        (
            changed(|spec| spec.service.stop_seconds = 0),
            "stopSeconds: 0 is not between",
        ),
        (
            changed(|spec| spec.service.command.push(key.into())),
            "put the key into a secret file",
        ),
        (
            with(
                "/run/bedplate/services/etcd/a",
                0o644,
                FileContents::Plain(key.into()),
            ),
            "make its contents secret",
        ),
        (
            with(
                "/run/bedplate/services/etcd/a",
                0o640,
                FileContents::Secret(Secret::new("x")),
            ),
            "use 0600",
        ),
        (
            with("/etc/shadow", 0o600, plain()),
            "is not below /run/bedplate/services/etcd/",
        ),
        (
            with("/run/bedplate/services/etcd/../other/a", 0o600, plain()),
            "empty, hidden or too long",
        ),
        (
            with("/run/bedplate/services/etcd//a", 0o600, plain()),
            "empty, hidden",
        ),
        (
            with("/run/bedplate/services/etcd/a", 0o4755, plain()),
            "not a mode of a file",
        ),
        (
            with(
                "/run/bedplate/services/etcd/a",
                0o600,
                FileContents::Plain("x".repeat((1 << 20) + 1)),
            ),
            "at most 1048576 are possible",
        ),
        (
            changed(|spec| *spec = spec.clone().with_file("a", "").with_file("a", "")),
            "is listed twice",
        ),
        (
            changed(|spec| *spec = spec.clone().with_file("a", "").with_file("a/b", "")),
            "a is a file, and a folder",
        ),
    ];
    for (specs, expected) in table {
        let all = image().with_specs(&specs, &Catalogue::default());
        assert_eq!(names(&all), ["containerd"], "{expected}");
        let fault = &all.faults["etcd"];
        assert!(fault.contains(expected), "{fault:?} does not say {expected:?}");
    }
}

#[test]
fn a_spec_takes_no_service_of_the_image() {
    let mut mine = service("containerd");
    mine.command = vec!["/tmp/containerd".into()];
    let all = image().with_specs(&specs([mine]), &Catalogue::default());
    assert_eq!(all.entries, image().entries);
    assert!(all.faults["containerd"].contains("the image"), "{:?}", all.faults);
}

#[test]
fn a_bad_change_leaves_the_last_valid_spec_and_all_others() {
    let before = image().with_specs(&specs([service("a"), service("b")]), &Catalogue::default());
    let mut bad = service("a");
    bad.command.clear();
    let after = image().with_specs(&specs([bad, service("b")]), &before);
    assert_eq!(after.entries, before.entries);
    assert_eq!(after.faults.keys().collect::<Vec<_>>(), ["a"]);
    let gone = image().with_specs(&specs([service("b")]), &after);
    assert_eq!(names(&gone), ["b", "containerd"]);
}

#[test]
fn who_was_there_first_keeps_its_place_in_a_conflict() {
    let user = |mut service: Service, name: &str| {
        service.user = Some(User {
            name: name.into(),
            id: 200,
        });
        service
    };
    let follows = |mut service: Service, other: &str| {
        service.after = vec![other.into()];
        service
    };
    let table = [
        (user(service("z"), "z"), user(service("a"), "a"), "user.id"),
        (
            follows(service("z"), "a"),
            follows(service("a"), "z"),
            "waits for itself",
        ),
    ];
    for (first, second, expected) in table {
        let before = image().with_specs(&specs([first.clone()]), &Catalogue::default());
        let after = image().with_specs(&specs([second, first]), &before);
        assert_eq!(names(&after), ["containerd", "z"]);
        let fault = &after.faults["a"];
        assert!(fault.contains(expected), "{fault:?}");
    }
}

#[test]
fn only_what_was_started_differently_is_restarted() {
    let entry = |spec: ServiceSpec| {
        let all = image().with_specs(&[("etcd".into(), spec)], &Catalogue::default());
        all.entries["etcd"].clone()
    };
    let first = || {
        ServiceSpec::new(service("etcd"))
            .with_file("ca.crt", "one")
            .with_secret("key", Secret::new("one"))
    };
    let changed = |change: fn(&mut ServiceSpec)| {
        let mut spec = first();
        change(&mut spec);
        spec
    };
    let table: [(ServiceSpec, bool); 9] = [
        (first(), true),
        (changed(|spec| spec.service.after.push("containerd".into())), true),
        (changed(|spec| spec.service.stop_seconds = 99), true),
        (changed(|spec| spec.files.reverse()), true),
        (changed(|spec| spec.service.command.push("--more".into())), false),
        (
            changed(|spec| {
                spec.service.environment.insert("A".into(), "b".into());
            }),
            false,
        ),
        (changed(|spec| spec.service.limits.tasks = Some(9)), false),
        (changed(|spec| spec.files.truncate(1)), false),
        (
            changed(|spec| spec.files[1].contents = FileContents::Secret(Secret::new("two"))),
            false,
        ),
    ];
    for (spec, same) in table {
        let text = format!("{spec:?}");
        assert_eq!(entry(spec).starts_like(&entry(first())), same, "{text}");
    }
    let renewed = changed(|spec| spec.files[0].contents = FileContents::Plain("two".into()));
    assert!(!entry(renewed.clone()).starts_like(&entry(first())));
    assert!(entry(renewed.reloading()).starts_like(&entry(first().reloading())));
}

#[test]
fn what_leaves_keeps_its_order_unless_that_would_be_a_cycle() {
    let mut old = service("old");
    old.depends_on = vec!["containerd".into(), "new".into()];
    let before = image().with_specs(&specs([old]), &Catalogue::default());
    let leaving = BTreeMap::from([("old".to_owned(), before.entries["old"].clone())]);
    let without = image().with_leaving(&leaving);
    assert_eq!(
        without.entries["old"].definition.depends_on,
        ["containerd", "new"]
    );
    let mut new = service("new");
    new.after = vec!["old".into()];
    let with = image()
        .with_specs(&specs([new]), &Catalogue::default())
        .with_leaving(&leaving);
    assert_eq!(with.entries["old"].definition.depends_on, [""; 0]);
    assert_eq!(with.entries["new"].definition.after, ["old"]);
}
