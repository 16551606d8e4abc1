use std::fmt::Write as _;

use machine_config::parse;
use machine_config::v1alpha1::NetworkMode;
use proptest::prelude::*;

use super::*;

/// Translates a file of the golden ones.
fn translated(text: &str, set: &[(&str, &str)]) -> Translation {
    let variables = set
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let options = Options {
        variables: variables.collect(),
        bundled: false,
    };
    translate(text, &options).unwrap()
}

/// Parses workloads as part of a whole machine config, as a node does.
fn valid(translation: &Translation) -> Vec<Workload> {
    let sample = include_str!("../../machine-config/testdata/v1alpha1.yaml");
    let before = sample.find("\nworkloads:\n").unwrap();
    let rest = &sample[before + 1..];
    // Whatever comes behind the workloads.
    let behind = rest
        .match_indices('\n')
        .map(|(at, _)| at + 1)
        .find(|at| rest[*at..].starts_with(|c: char| c.is_ascii_lowercase()))
        .unwrap_or(rest.len());
    let yaml = yaml::to_string(translation).unwrap();
    let config = format!("{}\n{yaml}{}", &sample[..before], &rest[behind..]);
    parse(&config).unwrap().workloads
}

#[test]
fn whole_files_become_workloads_that_nodes_take() {
    let files = [
        ("home", include_str!("../testdata/home.yaml"), &[][..]),
        ("shop", include_str!("../testdata/shop.yaml"), &[("TAG", "4")]),
    ];
    for (name, text, set) in files {
        let translation = translated(text, set);
        assert_eq!(valid(&translation), translation.workloads, "{name}");
        let mut page = yaml::to_string(&translation).unwrap();
        for left in &translation.left {
            writeln!(page, "# line {}: {}: {}", left.line, left.path, left.reason).unwrap();
        }
        golden::check(
            "compose",
            &format!("crates/compose/testdata/{name}.expected.yaml"),
            &page,
        );
    }
}

/// Translates one service, and returns the reasons of what is left as well.
fn service(body: &str) -> (Workload, Vec<String>) {
    let indented: String = body.lines().map(|line| format!("    {line}\n")).collect();
    let mut translation = translated(
        &format!("services:\n  a:\n    image: b\n{indented}"),
        &[("V", "set"), ("E", "")],
    );
    let left = translation.left.iter();
    let left = left
        .map(|left| format!("{}: {}", left.path, left.reason))
        .collect();
    (translation.workloads.remove(0), left)
}

#[test]
fn variables_are_filled_in_as_compose_does() {
    for (text, expected) in [
        ("$V/${V}", "set/set"),
        ("${N:-x}${N-y}${E:-z}${E-z}", "xyz"),
        ("$$V", "$V"),
        ("${V:?must be}", "set"),
    ] {
        let (workload, left) = service(&format!("environment: {{A: '{text}'}}"));
        assert_eq!(workload.environment.values().next().unwrap(), expected, "{text}");
        assert!(left.is_empty(), "{left:?}");
    }
    for (text, expected) in [
        ("$N", "variable N has no value; give one with --set N=VALUE"),
        ("${N", "without an end"),
        ("${V+x}", "is not known"),
        ("${N:-$V}", "default with variables"),
        ("a $ b", "a dollar alone is written $$"),
    ] {
        let (_, left) = service(&format!("environment: {{A: '{text}'}}"));
        assert!(left[0].contains(expected), "{text}: {left:?}");
    }
}

#[test]
fn command_lines_are_split_by_quotes_alone() {
    for (text, expected) in [
        (r#"a 'b c' "d \" e" f\ g"#, vec!["a", "b c", "d \" e", "f g"]),
        ("a '' b", vec!["a", "", "b"]),
        ("a | b > c", vec!["a", "|", "b", ">", "c"]),
    ] {
        assert_eq!(words::split(text).unwrap(), expected);
    }
    assert!(
        words::split("a 'b")
            .unwrap_err()
            .contains("a quote without its end")
    );
}

#[test]
fn what_does_not_fit_is_named_with_its_key() {
    for (body, expected) in [
        (
            "volumes: ['/etc/localtime:/etc/localtime:ro']",
            "services.a.volumes[0]: /etc/localtime is a path of the host",
        ),
        (
            "ports: ['[::1]:80:80']",
            "services.a.ports[0]: \"[::1]\" is no IPv4 address",
        ),
        (
            "ports: ['80/sctp']",
            "services.a.ports[0]: sctp ports cannot be published",
        ),
        (
            "ports: ['80-82:90-91']",
            "services.a.ports[0]: its two ranges of ports are not of the same length",
        ),
        ("ports: ['0:80']", "services.a.ports[0]: \"0\" is not a port"),
        (
            "ports: [{target: 80, publish: 90}]",
            "services.a.ports[0].publish: is not a key of ports",
        ),
        (
            "network_mode: host\nports: ['8080:80']",
            "services.a.ports: with the node's network every port of the program is the node's",
        ),
        (
            "network_mode: 'service:b'",
            "services.a.network_mode: there is no network service:b",
        ),
        ("user: root", "services.a.user: \"root\" is not a user"),
        (
            "enviroment: {}",
            "services.a.enviroment: is not a key of services, did you mean \"environment\"?",
        ),
        (
            "depends_on: [c]",
            "services.a.depends_on: c is not a service of the file",
        ),
        ("cap_add: [ALL]", "services.a.cap_add: all capabilities at once"),
        ("mem_limit: lots", "services.a.mem_limit: \"lots\" is not a size"),
        (
            "restart: sometimes",
            "services.a.restart: \"sometimes\" is not a restart policy",
        ),
        (
            "privileged: true",
            "services.a.privileged: no workload is privileged",
        ),
        (
            "healthcheck: {interval: 5s}",
            "services.a.healthcheck: the check of the image is not known here",
        ),
    ] {
        let (_, left) = service(body);
        assert!(
            left.iter().any(|left| left.starts_with(expected)),
            "{expected}: {left:?}"
        );
    }
}

#[test]
fn ports_are_published_as_compose_does() {
    let body = "ports:
  - 80
  - '8080:81'
  - '127.0.0.1:8081:82/udp'
  - '9000-9001:90-91'
  - {target: 100, published: '8100', host_ip: 192.0.2.1, protocol: tcp, mode: host}
  - '80'";
    let (workload, left) = service(body);
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(workload.network.mode, NetworkMode::Bridge);
    let ports: Vec<String> = workload
        .network
        .ports
        .iter()
        .map(|port| {
            let address = port
                .address
                .map(|address| format!("{address}:"))
                .unwrap_or_default();
            format!(
                "{address}{}:{}/{}",
                port.host(),
                port.container,
                port.protocol.name()
            )
        })
        .collect();
    assert_eq!(
        ports,
        [
            "80:80/tcp",
            "8080:81/tcp",
            "127.0.0.1:8081:82/udp",
            "9000:90/tcp",
            "9001:91/tcp",
            "192.0.2.1:8100:100/tcp"
        ]
    );
    let (workload, left) = service("network_mode: host\nports: ['80:80']");
    assert!(left.is_empty() && workload.network.ports.is_empty(), "{left:?}");
}

#[test]
fn a_file_that_is_none_is_refused() {
    for (text, expected) in [
        ("a: 1", "it has no services"),
        ("services: [a]", "expected a map, found a list"),
        ("services: {a: &x {image: b}, c: *x}", "anchor"),
    ] {
        let error = translate(text, &Options::default()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn images_of_the_system_image_are_named_so() {
    let options = Options {
        bundled: true,
        ..Options::default()
    };
    let translation = translate("services: {a: {image: b}}", &options).unwrap();
    let image = &translation.workloads[0].image;
    assert!(image.reference.is_none() && image.bundled.is_some());
}

#[test]
fn every_key_is_in_one_table_alone() {
    let (_, left) = service("ports: []\nbuild: .");
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(others::is_disjoint(&service::names()));
}

proptest! {
    #[test]
    fn no_file_panics(text in "(services:\n  a:\n    image: b\n)?[ \\[\\]{}:a-z0-9$'\",./\n-]{0,120}") {
        let _ = translate(&text, &Options::default());
    }

    #[test]
    fn no_value_panics(key in "[a-z_]{3,12}|volumes|ports|deploy|healthcheck|environment|devices|tmpfs|mem_limit",
                       value in "[a-z0-9:/.,=$\\[\\]{}\" -]{0,40}") {
        let text = format!("services:\n  a:\n    image: b\n    {key}: {value}\n");
        if let Ok(translation) = translate(&text, &Options::default()) {
            for left in &translation.left {
                prop_assert!(left.line >= 1 && !left.path.is_empty() && !left.reason.is_empty());
            }
        }
    }
}
