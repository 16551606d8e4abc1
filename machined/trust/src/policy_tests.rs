//! Whatever is asked for, nothing is signed that says more than it may.

use std::net::IpAddr;
use std::time::SystemTime;

use kubernetes::Cluster;
use machine_config::value::{ClusterNetworks, IpPrefix};
use pki::authority::SERVER_LIFE;
use pki::{Authority, Details, PrivateKey, Purposes, SigningRequest, Subject, Validity};
use proptest::prelude::*;

use super::*;

fn cluster() -> Cluster {
    let networks = ClusterNetworks::new(&[], &[]).unwrap();
    let endpoint = "https://k8s.home.example:6443".parse().unwrap();
    Cluster::new("home".parse().unwrap(), endpoint, None, networks)
}

fn taken() -> Taken {
    Taken {
        names: ["k8s.home.example", "k8s", "plane1", "worker.alias.example"]
            .map(str::to_owned)
            .to_vec(),
        addresses: addresses(&["192.168.1.1", "192.168.1.100"]),
    }
}

fn addresses(all: &[&str]) -> Vec<IpAddr> {
    all.iter().map(|text| text.parse().unwrap()).collect()
}

fn asked(which: &str, name: &str, organization: Option<&str>, names: &[&str]) -> Asked {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let subject = Subject {
        name,
        organization,
        alternative_names: &names,
        purposes: Purposes::default(),
    };
    let der = SigningRequest::make(&subject, &PrivateKey::generate().unwrap()).unwrap();
    Asked {
        which: which.to_owned(),
        request: SigningRequest::from_der(&der).unwrap(),
    }
}

fn authority() -> &'static Authority {
    static AUTHORITY: std::sync::OnceLock<Authority> = std::sync::OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::generate_ecdsa("test", SystemTime::now()).unwrap())
}

struct Bench {
    cluster: Cluster,
    subnets: Vec<IpPrefix>,
    taken: Taken,
    shown: Option<String>,
}

impl Bench {
    fn new(subnets: &[&str]) -> Self {
        Self {
            cluster: cluster(),
            subnets: subnets.iter().map(|text| text.parse().unwrap()).collect(),
            taken: taken(),
            shown: None,
        }
    }

    fn decide(&self, asked: &[Asked]) -> Result<Granted, Refusal> {
        let facts = Facts {
            cluster: Some(&self.cluster),
            subnets: &self.subnets,
            peer: "192.168.1.7".parse().unwrap(),
            shown: self.shown.as_deref(),
            taken: &self.taken,
        };
        decide(&facts, asked)
    }

    fn refusal(&self, asked: &[Asked]) -> String {
        self.decide(asked).unwrap_err().to_string()
    }
}

const ALL: [&str; 5] = ["localhost", "127.0.0.1", "::1", "worker", "192.168.1.7"];

fn api(names: &[&str]) -> Asked {
    asked(API, API_NAME, None, names)
}

#[test]
fn a_worker_gets_what_it_is() {
    let bench = Bench::new(&[]);
    let more = [
        &ALL[..],
        &["worker.home.example", "10.9.9.9", "10.244.1.1", "fd00::7"],
    ]
    .concat();
    let granted = bench
        .decide(&[
            api(&more),
            asked(
                "kubelet/kubelet-client",
                "system:node:worker",
                Some("system:nodes"),
                &[],
            ),
            asked(
                "kubelet/kubelet",
                "system:node:worker",
                Some("system:nodes"),
                &["worker", "192.168.1.7"],
            ),
            asked("kube-proxy/kube-proxy", "system:kube-proxy", None, &[]),
            asked(
                "bedplate/kubernetes",
                "bedplate:node:worker",
                Some("bedplate:nodes"),
                &[],
            ),
        ])
        .unwrap();
    assert_eq!(granted.name.as_str(), "worker");
    assert_eq!(granted.addresses, addresses(&["192.168.1.7", "fd00::7"]));
    let api = granted.certificates[0].subject().alternative_names;
    let expected = [&ALL[..], &["worker.home.example", "fd00::7"]].concat();
    assert_eq!(api, expected, "what cannot be the node's is left out");
    let signers: Vec<By> = granted.certificates.iter().map(|one| one.by).collect();
    assert_eq!(signers[0], By::Machine);
    assert!(signers[1..].iter().all(|by| *by == By::Kubernetes));
}

#[test]
fn each_refusal_says_what_to_do() {
    let bench = Bench::new(&[]);
    let client = |name: &str, group: &str| asked("kubelet/kubelet-client", name, Some(group), &[]);
    let cases = [
        (vec![], "no request says who asks"),
        (
            vec![client("system:node:worker", "system:nodes")],
            "no request says who asks",
        ),
        (
            vec![api(&ALL), api(&ALL)],
            "\"bedplate/api\" is no certificate that a worker has",
        ),
        (
            vec![api(&ALL), asked("etcd/peer", "worker", None, &[])],
            "\"etcd/peer\" is no certificate",
        ),
        (vec![api(&["Worker", "192.168.1.7"])], "set machine.hostname"),
        (
            vec![api(&["plane1", "192.168.1.7"])],
            "plane1 is the name of a control plane",
        ),
        (vec![api(&["worker", "192.168.1.1"])], "set cluster.subnets"),
        (vec![api(&["worker", "192.168.1.8"])], "set cluster.subnets"),
        (vec![asked(API, "admin", None, &ALL)], "asks for \"admin\""),
        (
            vec![asked(API, API_NAME, Some("bedplate:admin"), &ALL)],
            "asks for",
        ),
        (
            vec![api(&ALL), client("system:node:worker", "system:masters")],
            "asks for \"system:node:worker of system:masters\"",
        ),
        (
            vec![api(&ALL), client("system:node:worker2", "system:nodes")],
            "which node worker is not",
        ),
        (
            vec![
                api(&ALL),
                asked(
                    "kubelet/kubelet",
                    "system:node:worker",
                    Some("system:nodes"),
                    &["192.168.1.8"],
                ),
            ],
            "asks for \"192.168.1.8\"",
        ),
    ];
    for (asked, expected) in cases {
        let found = bench.refusal(&asked);
        assert!(found.contains(expected), "{found:?}: {expected:?}");
    }
    let stolen = Bench {
        shown: Some("bedplate:node:other".to_owned()),
        ..Bench::new(&[])
    };
    let found = stolen.refusal(&[api(&ALL)]);
    assert_eq!(
        found,
        "the certificate of \"bedplate:node:other\" renews nothing for node worker"
    );
    let own = Bench {
        shown: Some("bedplate:node:worker".to_owned()),
        ..Bench::new(&[])
    };
    own.decide(&[api(&ALL)]).unwrap();
}

#[test]
fn subnets_say_which_addresses_nodes_have() {
    let bench = Bench::new(&["10.0.0.0/8"]);
    let found = bench.refusal(&[api(&ALL)]);
    assert!(found.contains("set cluster.subnets"), "{found}");
    let granted = bench
        .decide(&[api(&["worker", "10.1.2.3", "10.244.0.9", "192.168.1.7"])])
        .unwrap();
    assert_eq!(granted.addresses, addresses(&["10.1.2.3"]), "none of pods either");
}

const KNOWN: &[&str] = &[
    "worker",
    "plane1",
    "k8s",
    "k8s.home.example",
    "worker.k8s.home.example",
    "worker.alias.example",
    "localhost",
    "kubernetes.default.svc",
    "*.home.example",
    "worker.*",
    "system:masters",
    "system:nodes",
    "bedplate:nodes",
    "bedplate:admin",
    "system:node:worker",
    "system:node:plane1",
    "system:kube-proxy",
    "system:kube-scheduler",
    "bedplate:node:worker",
    "bedplate:node:plane1",
    "Bedplate node",
    "admin",
    "127.0.0.1",
    "::1",
    "0.0.0.0",
    "192.168.1.7",
    "192.168.1.1",
    "192.168.1.100",
    "192.168.1.8",
    "10.244.1.1",
    "10.96.0.1",
    "::ffff:192.168.1.1",
    "::ffff:192.168.1.7",
    "fe80::1",
    "fd00::7",
    "224.0.0.1",
];

/// What a request may hold: what is right, what is nearly right, and what nobody may have.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![9 => prop::sample::select(KNOWN).prop_map(str::to_owned), 1 => "[ -~]{1,12}"]
}

fn request() -> impl Strategy<Value = Option<Asked>> {
    let which = prop::sample::select(
        &[
            "bedplate/api",
            "kubelet/kubelet-client",
            "kubelet/kubelet",
            "kube-proxy/kube-proxy",
            "bedplate/kubernetes",
            "etcd/peer",
        ][..],
    );
    let names = prop::collection::vec(word(), 0..8);
    (which, word(), prop::option::of(word()), names, any::<bool>()).prop_map(
        |(which, name, group, names, tame)| {
            // Half of them are right but for their names: else few came far.
            let (name, group) = match (tame, which) {
                (false, _) => (name, group),
                (true, API) => (API_NAME.to_owned(), None),
                (true, "kube-proxy/kube-proxy") => ("system:kube-proxy".to_owned(), None),
                (true, "bedplate/kubernetes") => (
                    "bedplate:node:worker".to_owned(),
                    Some("bedplate:nodes".to_owned()),
                ),
                (true, _) => ("system:node:worker".to_owned(), Some("system:nodes".to_owned())),
            };
            let subject = Subject {
                name: &name,
                organization: group.as_deref(),
                alternative_names: &names,
                purposes: Purposes::default(),
            };
            let der = SigningRequest::make(&subject, &PrivateKey::generate().unwrap()).ok()?;
            let request = SigningRequest::from_der(&der).ok()?;
            Some(Asked {
                which: which.to_owned(),
                request,
            })
        },
    )
}

/// Says what a certificate may say, from the rules and not from the code.
fn may_say(by: By, details: &Details, name: &str, subnets: bool) -> Result<(), String> {
    let told = |what: &str| Err(format!("{what}: {details:?}"));
    if details.is_authority || (by == By::Machine && details.purposes.client) {
        return told("it may do what no node may");
    }
    let groups: Vec<&str> = details.organizations.iter().map(String::as_str).collect();
    let (node, agent) = (format!("system:node:{name}"), format!("bedplate:node:{name}"));
    let fits = match (by, details.name.as_str(), groups.as_slice()) {
        (By::Machine, API_NAME, []) | (By::Kubernetes, "system:kube-proxy", []) => true,
        (By::Kubernetes, of, ["system:nodes"]) => of == node,
        (By::Kubernetes, of, ["bedplate:nodes"]) => of == agent,
        _ => false,
    };
    if !fits || taken().names.iter().any(|taken| taken == name) {
        return told("it names somebody else");
    }
    for one in &details.alternative_names {
        let fits = match one.parse::<IpAddr>() {
            Ok(address) if address.is_loopback() => by == By::Machine,
            Ok(address) => {
                let from = if subnets {
                    "192.168.0.0/16"
                } else {
                    "192.168.1.7/32"
                };
                let near = from.parse::<IpPrefix>().unwrap().contains(address);
                (near || (!subnets && one == "fd00::7")) && !taken().addresses.contains(&address)
            }
            Err(_) if one == "localhost" => by == By::Machine,
            Err(_) => (one == name || one.starts_with(&format!("{name}."))) && !one.contains('*'),
        };
        if !fits || taken().names.contains(one) {
            return told(&format!("it serves as {one}"));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn whatever_is_asked_no_certificate_says_more_than_it_may(
        requests in prop::collection::vec(request(), 1..5),
        names in prop::collection::vec(word(), 0..6),
        start in prop::sample::select(&["worker", "plane1", "k8s", "Worker"][..]),
        subnets in any::<bool>(),
        shown in prop::option::of(word()),
    ) {
        let bench = Bench {
            shown,
            ..Bench::new(if subnets { &["192.168.0.0/16"] } else { &[] })
        };
        let mut all: Vec<Asked> = requests.into_iter().flatten().collect();
        // Most have a request that says who asks.
        if !all.iter().any(|one| one.which == API) {
            let mut own = vec![start, "192.168.1.7"];
            own.extend(names.iter().map(String::as_str).filter(|name| !["worker", "192.168.1.7"].contains(name)));
            own.dedup();
            let unique: std::collections::BTreeSet<_> = own.iter().collect();
            prop_assume!(unique.len() == own.len());
            let names: Vec<String> = own.iter().map(|name| (*name).to_owned()).collect();
            let subject = Subject { name: API_NAME, organization: None, alternative_names: &names, purposes: Purposes::default() };
            let der = SigningRequest::make(&subject, &PrivateKey::generate().unwrap());
            let request = der.ok().and_then(|der| SigningRequest::from_der(&der).ok());
            prop_assume!(request.is_some());
            all.push(Asked { which: API.to_owned(), request: request.unwrap() });
        }
        if let Ok(granted) = bench.decide(&all) {
            let agent = format!("bedplate:node:{}", granted.name);
            prop_assert!(bench.shown.as_ref().is_none_or(|shown| *shown == agent));
            let authority = authority();
            for (asked, certificate) in all.iter().zip(&granted.certificates) {
                let validity = Validity::starting(SystemTime::now(), SERVER_LIFE);
                let (made, _) = authority.sign(&asked.request, &certificate.subject(), validity).unwrap();
                let found = may_say(certificate.by, made.details(), granted.name.as_str(), subnets);
                prop_assert!(found.is_ok(), "{}", found.unwrap_err());
            }
        }
    }
}
