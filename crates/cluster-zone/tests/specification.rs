//! The cases of the Kubernetes DNS-Based Service Discovery specification: questions and their answers.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod cluster;

use cluster_zone::proto::rr::{Name, Record, RecordType};
use cluster_zone::{Resolved, TTL, Zone};

/// Asks, and shows what comes as `CODE record record …`, sorted. Records are shown without what all of them have.
fn ask(zone: &Zone, question: &str) -> String {
    let (name, kind) = question.rsplit_once(' ').unwrap();
    let name = Name::from_ascii(format!("{name}.")).unwrap();
    let kind: RecordType = kind.parse().unwrap();
    match zone.resolve(&name, kind, 0) {
        Resolved::Here(outcome) => {
            let mut words = vec![outcome.code.to_str().to_owned()];
            words.extend(shown(&name, &outcome.answers));
            let told = |record: &Record| record.record_type() == kind || kind == RecordType::ANY;
            let negative = outcome.authoritative && !outcome.answers.iter().any(told);
            assert_eq!(negative, !outcome.authorities.is_empty(), "{question}");
            words.join(" ")
        }
        Resolved::Elsewhere(aliases, target) => {
            let mut words = shown(&name, &aliases);
            words.push(format!("elsewhere {target}"));
            words.join(" ")
        }
    }
}

fn shown(name: &Name, records: &[Record]) -> Vec<String> {
    let mut all: Vec<String> = records
        .iter()
        .map(|record| {
            assert_eq!(record.ttl, TTL);
            match record.name == *name {
                true => format!("[{}]", record.data),
                false => format!("[{} {}]", record.name, record.data),
            }
        })
        .collect();
    all.sort();
    all
}

/// Questions about a whole cluster, each with its answer.
const CASES: &[(&str, &str)] = &[
    // 2.2
    ("dns-version.cluster.local TXT", "No Error [1.1.0]"),
    ("dns-version.cluster.local A", "No Error"),
    // 2.3.1
    ("kubernetes.default.svc.cluster.local A", "No Error [10.96.0.1]"),
    ("KUBERNETES.Default.sVc.Cluster.LOCAL A", "No Error [10.96.0.1]"),
    ("kubernetes.default.svc.cluster.local AAAA", "No Error"),
    ("both.web.svc.cluster.local A", "No Error [10.96.0.20]"),
    ("both.web.svc.cluster.local AAAA", "No Error [fd00:96::20]"),
    ("kubernetes.default.svc.cluster.local MX", "No Error"),
    ("kubernetes.default.svc.cluster.local SRV", "No Error"),
    ("kubernetes.default.svc.cluster.local ANY", "No Error [RFC8482 ]"),
    // 2.3.2
    (
        "_https._tcp.kubernetes.default.svc.cluster.local SRV",
        "No Error [0 100 443 kubernetes.default.svc.cluster.local.]",
    ),
    ("_https._tcp.kubernetes.default.svc.cluster.local A", "No Error"),
    ("_tcp.kubernetes.default.svc.cluster.local A", "No Error"),
    (
        "_udp.kubernetes.default.svc.cluster.local A",
        "Non-Existent Domain",
    ),
    (
        "_https._udp.kubernetes.default.svc.cluster.local SRV",
        "Non-Existent Domain",
    ),
    (
        "_http._tcp.kubernetes.default.svc.cluster.local SRV",
        "Non-Existent Domain",
    ),
    (
        "https._tcp.kubernetes.default.svc.cluster.local SRV",
        "Non-Existent Domain",
    ),
    // The only port of a service may have no name.
    ("_._tcp.plain.web.svc.cluster.local SRV", "Non-Existent Domain"),
    ("plain.web.svc.cluster.local A", "No Error [10.96.0.21]"),
    // 2.3.3
    (
        "1.0.96.10.in-addr.arpa PTR",
        "No Error [kubernetes.default.svc.cluster.local.]",
    ),
    ("1.0.96.10.in-addr.arpa A", "No Error"),
    (
        "0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.0.d.f.ip6.arpa PTR",
        "No Error [both.web.svc.cluster.local.]",
    ),
    ("99.0.96.10.in-addr.arpa PTR", "Non-Existent Domain"),
    ("77.1.244.10.in-addr.arpa PTR", "Non-Existent Domain"),
    ("8.8.8.8.in-addr.arpa PTR", "elsewhere 8.8.8.8.in-addr.arpa."),
    ("10.in-addr.arpa SOA", "elsewhere 10.in-addr.arpa."),
    // 2.4.1
    (
        "headless.web.svc.cluster.local A",
        "No Error [10.244.1.2] [10.244.1.3] [10.244.2.2]",
    ),
    ("headless.web.svc.cluster.local AAAA", "No Error [fd00:244::2]"),
    (
        "my-pet.headless.web.svc.cluster.local A",
        "No Error [10.244.1.2] [10.244.2.2]",
    ),
    (
        "MY-pet.headless.web.svc.cluster.local A",
        "No Error [10.244.1.2] [10.244.2.2]",
    ),
    (
        "10-244-1-3.headless.web.svc.cluster.local A",
        "No Error [10.244.1.3]",
    ),
    ("10-244-1-3.headless.web.svc.cluster.local AAAA", "No Error"),
    (
        "fd00-244--2.headless.web.svc.cluster.local AAAA",
        "No Error [fd00:244::2]",
    ),
    // One that has a name has no other.
    (
        "10-244-1-2.headless.web.svc.cluster.local A",
        "Non-Existent Domain",
    ),
    // One that is not ready is not there.
    ("sick.headless.web.svc.cluster.local A", "Non-Existent Domain"),
    (
        "not-there.headless.web.svc.cluster.local A",
        "Non-Existent Domain",
    ),
    ("empty.web.svc.cluster.local A", "Non-Existent Domain"),
    ("asleep.web.svc.cluster.local A", "Non-Existent Domain"),
    ("eager.web.svc.cluster.local A", "No Error [10.244.3.9]"),
    ("early.eager.web.svc.cluster.local A", "No Error [10.244.3.9]"),
    // 2.4.2
    (
        "_http._tcp.headless.web.svc.cluster.local SRV",
        "No Error [0 100 8080 10-244-1-3.headless.web.svc.cluster.local.] [0 100 8080 my-pet.headless.web.svc.cluster.local.]",
    ),
    ("_http._tcp.headless.web.svc.cluster.local A", "No Error"),
    (
        "_none._tcp.headless.web.svc.cluster.local SRV",
        "Non-Existent Domain",
    ),
    ("_tcp.headless.web.svc.cluster.local SRV", "No Error"),
    (
        "_http._tcp.empty.web.svc.cluster.local SRV",
        "Non-Existent Domain",
    ),
    // 2.4.3
    (
        "2.1.244.10.in-addr.arpa PTR",
        "No Error [my-pet.headless.web.svc.cluster.local.]",
    ),
    (
        "3.1.244.10.in-addr.arpa PTR",
        "No Error [10-244-1-3.headless.web.svc.cluster.local.]",
    ),
    ("4.1.244.10.in-addr.arpa PTR", "Non-Existent Domain"),
    // Endpoints outside of the pods' networks, such as those on a node's own address.
    (
        "40.2.0.192.in-addr.arpa PTR",
        "No Error [192-0-2-40.on-nodes.web.svc.cluster.local.]",
    ),
    // Names of endpoints of a service with an address are more than the specification demands.
    ("db-0.both.web.svc.cluster.local A", "No Error [10.244.1.50]"),
    ("50.1.244.10.in-addr.arpa PTR", "Non-Existent Domain"),
    // 2.5
    (
        "shop.web.svc.cluster.local A",
        "[www.example.com.] elsewhere www.example.com.",
    ),
    ("shop.web.svc.cluster.local CNAME", "No Error [www.example.com.]"),
    (
        "inside.web.svc.cluster.local A",
        "No Error [kubernetes.default.svc.cluster.local. 10.96.0.1] [kubernetes.default.svc.cluster.local.]",
    ),
    (
        "inside.web.svc.cluster.local AAAA",
        "No Error [kubernetes.default.svc.cluster.local.]",
    ),
    (
        "nowhere.web.svc.cluster.local A",
        "Non-Existent Domain [gone.web.svc.cluster.local.]",
    ),
    ("round.web.svc.cluster.local A", "Server Failure"),
    ("odd.web.svc.cluster.local A", "No Error"),
    ("_http._tcp.shop.web.svc.cluster.local SRV", "Non-Existent Domain"),
    ("x.shop.web.svc.cluster.local A", "Non-Existent Domain"),
    // 2.6, for addresses that a pod may have and namespaces that there are.
    ("10-244-1-2.web.pod.cluster.local A", "No Error [10.244.1.2]"),
    ("10-244-1-2.web.pod.cluster.local AAAA", "No Error"),
    ("fd00-244--9.web.pod.cluster.local AAAA", "No Error [fd00:244::9]"),
    ("192-0-2-66.web.pod.cluster.local A", "Non-Existent Domain"),
    ("10-244-1-2.absent.pod.cluster.local A", "Non-Existent Domain"),
    ("a.10-244-1-2.web.pod.cluster.local A", "Non-Existent Domain"),
    // Names that hold others, and those that hold none.
    (
        "cluster.local SOA",
        "No Error [ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5]",
    ),
    ("cluster.local NS", "No Error [ns.dns.cluster.local.]"),
    ("cluster.local A", "No Error"),
    ("ns.dns.cluster.local A", "No Error [10.96.0.10]"),
    ("dns.cluster.local A", "No Error"),
    ("svc.cluster.local A", "No Error"),
    ("pod.cluster.local A", "No Error"),
    ("web.svc.cluster.local A", "No Error"),
    ("quiet.svc.cluster.local A", "No Error"),
    ("quiet.pod.cluster.local A", "No Error"),
    ("absent.svc.cluster.local A", "Non-Existent Domain"),
    ("absent.pod.cluster.local A", "Non-Existent Domain"),
    ("absent.web.svc.cluster.local A", "Non-Existent Domain"),
    ("kubernetes.absent.svc.cluster.local A", "Non-Existent Domain"),
    ("kubernetes.default.cluster.local A", "Non-Existent Domain"),
    ("other.cluster.local A", "Non-Existent Domain"),
    ("www.example.com.web.svc.cluster.local A", "Non-Existent Domain"),
    // What is not the cluster's.
    ("www.example.com A", "elsewhere www.example.com."),
    ("local A", "elsewhere local."),
    ("notcluster.local A", "elsewhere notcluster.local."),
    (
        "cluster.local.example.com A",
        "elsewhere cluster.local.example.com.",
    ),
];

#[test]
fn every_case_has_its_answer() {
    let zone = cluster::zone();
    let wrong: Vec<String> = CASES
        .iter()
        .filter_map(|(question, expected)| {
            let found = ask(&zone, question);
            (found != *expected).then(|| format!("{question}: {found}, not {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_target_of_a_service_record_comes_with_its_address() {
    let zone = cluster::zone();
    let ask = |name: &str| match zone.resolve(&Name::from_ascii(name).unwrap(), RecordType::SRV, 0) {
        Resolved::Here(outcome) => shown(&Name::root(), &outcome.additionals),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        ask("_https._tcp.kubernetes.default.svc.cluster.local."),
        ["[kubernetes.default.svc.cluster.local. 10.96.0.1]"]
    );
    assert_eq!(
        ask("_http._tcp.headless.web.svc.cluster.local."),
        [
            "[10-244-1-3.headless.web.svc.cluster.local. 10.244.1.3]",
            "[my-pet.headless.web.svc.cluster.local. 10.244.1.2]",
            "[my-pet.headless.web.svc.cluster.local. 10.244.2.2]",
        ]
    );
}

#[test]
fn each_endpoint_comes_first_in_its_turn() {
    let zone = cluster::zone();
    let name = Name::from_ascii("headless.web.svc.cluster.local.").unwrap();
    let first = |turn| match zone.resolve(&name, RecordType::A, turn) {
        Resolved::Here(outcome) => outcome.answers[0].data.to_string(),
        other => panic!("{other:?}"),
    };
    let firsts: std::collections::BTreeSet<String> = (0..3).map(first).collect();
    assert_eq!(firsts.len(), 3);
    assert_eq!(first(0), first(3));
}

#[test]
fn before_all_is_known_nothing_is_missing() {
    let mut zone = Zone::new(cluster::config());
    zone.set_namespace("default");
    zone.set_service("default", "kubernetes", cluster::cluster_ip(&["10.96.0.1"], &[]));
    let answers = |zone: &Zone| {
        [
            "kubernetes.default.svc.cluster.local A",
            "absent.default.svc.cluster.local A",
            "10-244-1-2.web.pod.cluster.local A",
            "9.0.96.10.in-addr.arpa PTR",
            "www.example.com A",
        ]
        .map(|question| ask(zone, question))
    };
    let fails = "Server Failure".to_owned();
    let known = "No Error [10.96.0.1]".to_owned();
    let elsewhere = "elsewhere www.example.com.".to_owned();
    assert_eq!(
        answers(&zone),
        [&known, &fails, &fails, &fails, &elsewhere].map(String::clone)
    );
    zone.set_synced();
    let missing = "Non-Existent Domain".to_owned();
    assert_eq!(
        answers(&zone),
        [&known, &missing, &missing, &missing, &elsewhere].map(String::clone)
    );
}

#[test]
fn what_goes_is_gone_in_every_direction() {
    let mut zone = cluster::zone();
    zone.remove_slice("web", "headless-1");
    zone.remove_slice("web", "headless-6");
    assert_eq!(ask(&zone, "2.1.244.10.in-addr.arpa PTR"), "Non-Existent Domain");
    assert_eq!(
        ask(&zone, "headless.web.svc.cluster.local A"),
        "No Error [10.244.2.2]"
    );
    // Slices may come before their service, and stay after it.
    zone.remove_service("web", "headless");
    assert_eq!(
        ask(&zone, "headless.web.svc.cluster.local A"),
        "Non-Existent Domain"
    );
    assert_eq!(ask(&zone, "2.2.244.10.in-addr.arpa PTR"), "Non-Existent Domain");
    zone.set_service("web", "headless", cluster::headless(false));
    assert_eq!(
        ask(&zone, "2.2.244.10.in-addr.arpa PTR"),
        "No Error [my-pet.headless.web.svc.cluster.local.]"
    );
    // A slice that changes its service leaves the other one.
    zone.set_service("web", "second", cluster::headless(false));
    zone.set_slice(
        "web",
        "headless-2",
        cluster::slice("second", 8080, &[("10.244.2.2", None, true)]),
    );
    assert_eq!(
        ask(&zone, "headless.web.svc.cluster.local A"),
        "Non-Existent Domain"
    );
    assert_eq!(
        ask(&zone, "second.web.svc.cluster.local A"),
        "No Error [10.244.2.2]"
    );

    zone.retain_services(&[("default".to_owned(), "kubernetes".to_owned())].into());
    zone.retain_slices(&std::collections::BTreeSet::new());
    zone.retain_namespaces(&["default".to_owned()].into());
    assert_eq!(zone.size(), (1, 0));
    assert_eq!(ask(&zone, "web.svc.cluster.local A"), "Non-Existent Domain");
    assert_eq!(
        ask(&zone, "kubernetes.default.svc.cluster.local A"),
        "No Error [10.96.0.1]"
    );
}

#[test]
fn what_changes_nothing_is_no_change() {
    let mut zone = cluster::zone();
    let before = zone.revision();
    zone.restore(zone.contents());
    zone.remove_service("web", "absent");
    zone.remove_slice("web", "absent");
    zone.remove_namespace("absent");
    assert_eq!(zone.revision(), before);
    zone.remove_service("web", "plain");
    assert_ne!(zone.revision(), before);
}

#[test]
fn what_was_saved_answers_as_before() {
    let zone = cluster::zone();
    let text = serde_json::to_string(&zone.contents()).unwrap();
    let mut restored = Zone::new(cluster::config());
    restored.restore(serde_json::from_str(&text).unwrap());
    restored.set_synced();
    for (question, expected) in CASES {
        assert_eq!(ask(&restored, question), *expected, "{question}");
    }
    assert_eq!(restored.contents(), zone.contents());
}
