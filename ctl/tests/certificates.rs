//! Certificates that would lock their owner out are refused in every place that takes one.

mod program;

use std::time::{Duration, SystemTime};

use pki::authority::AUTHORITY_LIFE;
use pki::{Authority, Secrets};
use serde_json::Value;

use program::Home;

fn made() -> Home {
    let home = Home::new();
    for name in ["lab", "away"] {
        home.run(&[
            "gen",
            "config",
            name,
            "10.0.0.2",
            "--standalone",
            "--folder",
            name,
        ])
        .success();
    }
    home
}

fn yaml(home: &Home, name: &str) -> Value {
    yaml::from_str(&home.read(name)).expect("YAML")
}

fn write(home: &Home, name: &str, value: &Value) {
    home.write(name, &yaml::to_string(value).expect("YAML"));
}

#[test]
fn a_config_whose_authority_has_another_key_is_refused_before_it_is_sent() {
    let home = made();
    let mut config = yaml(&home, "lab/standalone.yaml");
    config["machine"]["ca"]["key"] = yaml(&home, "away/standalone.yaml")["machine"]["ca"]["key"].clone();
    write(&home, "mixed.yaml", &config);
    let line = home
        .read("mixed.yaml")
        .lines()
        .position(|line| line.trim_start().starts_with("key:"));
    let line = line.expect("a key") + 1;
    let expected = format!("mixed.yaml:{line}: machine.ca.key: belongs to another certificate");
    let found = home
        .run(&["config", "validate", "lab/standalone.yaml", "mixed.yaml"])
        .failure();
    assert!(found.out.contains("lab/standalone.yaml: valid"), "{}", found.out);
    assert!(found.out.contains(&expected), "{}", found.out);
    let refused = home
        .run(&["--insecure", "-n", "127.0.0.1:9", "apply", "-f", "mixed.yaml"])
        .failure();
    assert!(
        refused.err.contains("was not sent to any node") && refused.err.contains(&expected),
        "{}",
        refused.err
    );
}

#[test]
fn secrets_of_an_authority_that_has_expired_make_nothing() {
    let home = Home::new();
    let long_ago = SystemTime::now() - AUTHORITY_LIFE - Duration::from_secs(86_400);
    let mut secrets = Secrets::generate(long_ago).expect("secrets");
    home.write("old.yaml", &secrets.to_yaml());
    let made = [
        vec!["gen", "config", "lab", "10.0.0.2", "--with-secrets", "old.yaml"],
        vec![
            "gen",
            "client",
            "lab",
            "--at",
            "n",
            "--file",
            "ann.yaml",
            "--secrets",
            "old.yaml",
        ],
    ];
    for arguments in &made {
        let error = home.run(arguments).failure().err;
        assert!(
            error.contains("the certificate authority in old.yaml expired on 20"),
            "{error}"
        );
    }
    secrets.authority = Authority::generate("lab", SystemTime::now()).expect("an authority");
    home.write("old.yaml", &secrets.to_yaml());
    for arguments in &made {
        home.run(arguments).success();
    }
}

#[test]
fn a_context_of_parts_that_do_not_belong_together_is_not_taken_in() {
    let home = made();
    let part = |cluster: &str, field: &str| {
        let file = yaml(&home, &format!("{cluster}/client.yaml"));
        let name = format!("{cluster}.{field}");
        home.write(&name, file["contexts"][cluster][field].as_str().expect("PEM"));
        name
    };
    for cluster in ["lab", "away"] {
        for field in ["ca", "cert", "key"] {
            part(cluster, field);
        }
    }
    let add = |ca: &str, cert: &str, key: &str| {
        home.run(&[
            "context", "add", "--force", "lab", "--at", "10.0.0.2", "--ca", ca, "--cert", cert, "--key", key,
        ])
    };
    add("lab.ca", "lab.cert", "lab.key").success();
    let table = [
        (
            ["lab.ca", "lab.cert", "away.key"],
            "key belongs to another certificate",
        ),
        (
            ["away.ca", "lab.cert", "lab.key"],
            "cert was not signed by the given authority",
        ),
        (
            ["lab.cert", "lab.cert", "lab.key"],
            "ca is not one of a certificate authority",
        ),
    ];
    for ([ca, cert, key], expected) in table {
        let error = add(ca, cert, key).failure().err;
        assert!(
            error.contains("context \"lab\" cannot be used: ") && error.contains(expected),
            "{error}"
        );
    }
}
