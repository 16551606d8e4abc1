//! The names of a cluster, as its pods ask for them: by this machine's stock resolvers, in the network of a pod.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::scenario::Stage;
use crate::tools::Tool;

const OBJECTS: &str = include_str!("names.yaml");
const POD: Duration = Duration::from_secs(180);
/// What asks: packages `bind9-dnsutils`, `libc-bin` and `util-linux`.
const RESOLVERS: [&str; 3] = ["dig", "getent", "nsenter"];
/// What kubelet gives to a pod.
const RESOLV_CONF: &str = "root/etc/resolv.conf";
/// Until what was applied is known to every node.
const KNOWN: Duration = Duration::from_secs(30);

/// Each question of `dig`, and what it prints, sorted. `REX` and `BO` are the addresses of the pods, `ARPA` that of the
/// first as a name, `DASHES` that of the other as a label.
const QUESTIONS: &[(&str, &[&str])] = &[
    ("kubernetes.default.svc.cluster.local A", &["10.96.0.1"]),
    ("shop.names.svc.cluster.local A", &["10.96.0.77"]),
    ("shop.names.svc.cluster.local AAAA", &[]),
    (
        "_http._tcp.shop.names.svc.cluster.local SRV",
        &["0 100 80 shop.names.svc.cluster.local."],
    ),
    ("pets.names.svc.cluster.local A", &["BO", "REX"]),
    ("rex.pets.names.svc.cluster.local A", &["REX"]),
    (
        "_http._tcp.pets.names.svc.cluster.local SRV",
        &[
            "0 100 8080 DASHES.pets.names.svc.cluster.local.",
            "0 100 8080 rex.pets.names.svc.cluster.local.",
        ],
    ),
    ("ARPA PTR", &["rex.pets.names.svc.cluster.local."]),
    ("77.0.96.10.in-addr.arpa PTR", &["shop.names.svc.cluster.local."]),
    (
        "outside.names.svc.cluster.local A",
        &["10.96.0.77", "shop.names.svc.cluster.local."],
    ),
    ("DASHES.names.pod.cluster.local A", &["BO"]),
    ("dns-version.cluster.local TXT", &["\"1.1.0\""]),
    ("absent.names.svc.cluster.local A", &[]),
];

/// What a program in the pod asks for by the C library, and an address or name that it gets.
const LOOKUPS: &[(&str, &str, &str)] = &[
    ("ahostsv4", "shop", "10.96.0.77"),
    ("ahostsv4", "kubernetes.default", "10.96.0.1"),
    ("ahostsv4", "rex.pets", "REX"),
    ("hosts", "REX", "rex.pets.names.svc.cluster.local"),
];

/// Checks every case in the network of a pod. `kubectl` is a command without its words.
pub fn check(stage: &Stage, kubectl: &Tool) -> Result<()> {
    if let Some(program) = RESOLVERS.iter().find(|program| !exists(program)) {
        stage.shown(&format!("names are not asked for: there is no {program}"));
        return Ok(());
    }
    let file = stage.folder.join("names.yaml");
    fs::write(&file, OBJECTS)?;
    kubectl.clone().args(["apply", "--filename"]).arg(&file).run()?;
    let ready = [
        "wait",
        "--namespace",
        "names",
        "--for=condition=Ready",
        "pod",
        "--all",
    ];
    let limit = format!("--timeout={}s", crate::pace::stretch(POD).as_secs());
    kubectl.clone().args(ready).arg(&limit).within(POD * 2).run()?;
    let address = |pod: &str| {
        let path = ["--output", "jsonpath={.status.podIP}"];
        kubectl
            .clone()
            .args(["get", "pod", "--namespace", "names", pod])
            .args(path)
            .run()
    };
    let pods = Pods {
        rex: address("rex")?,
        bo: address("bo")?,
    };
    let inside = process_at(&pods.rex).context("no process has the address of pod rex")?;

    for (question, expected) in QUESTIONS {
        let question = pods.named(question);
        let mut expected: Vec<String> = expected.iter().map(|line| pods.named(line)).collect();
        expected.sort();
        let end = std::time::Instant::now() + crate::pace::stretch(KNOWN);
        let mut found = dig(&inside, &question)?;
        while found != expected && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_secs(1));
            found = dig(&inside, &question)?;
        }
        ensure!(
            found == expected,
            "a pod asks for {question:?}: {found:?}, not {expected:?}"
        );
    }
    // A file of another mount namespace cannot be mounted here.
    let resolv_conf = stage.folder.join("pod-resolv.conf");
    fs::copy(inside.join(RESOLV_CONF), &resolv_conf)?;
    let getent = |database: &str, name: &str| getent(&inside, &resolv_conf, database, name);
    for (database, name, expected) in LOOKUPS {
        let found = getent(database, &pods.named(name))?;
        ensure!(
            found.contains(&pods.named(expected)),
            "a pod looks for {name}: {found:?}"
        );
    }
    ensure!(
        getent("hosts", "absent")?.is_empty(),
        "a pod finds what is absent"
    );
    stage.shown(&format!(
        "in a pod, dig has the right answers to {} questions of the specification, and getent to {} lookups",
        QUESTIONS.len(),
        LOOKUPS.len() + 1
    ));
    kubectl
        .clone()
        .args(["delete", "namespace", "names", "--wait=false"])
        .run()?;
    Ok(())
}

/// The addresses of the pods.
struct Pods {
    rex: String,
    bo: String,
}

impl Pods {
    /// Writes the pods' addresses into a text.
    fn named(&self, text: &str) -> String {
        let mut digits: Vec<&str> = self.rex.split('.').collect();
        digits.reverse();
        let text = text.replace("ARPA", &format!("{}.in-addr.arpa", digits.join(".")));
        let text = text.replace("DASHES", &self.bo.replace('.', "-"));
        text.replace("REX", &self.rex).replace("BO", &self.bo)
    }
}

/// Finds a process in the network of a pod.
fn process_at(address: &str) -> Option<PathBuf> {
    let local = format!("{address}\n");
    let mut processes = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path());
    processes.find(|process| {
        let has = |table: String| table.contains(&format!("|-- {local}"));
        fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == "pause")
            && fs::read_to_string(process.join("net/fib_trie")).is_ok_and(has)
    })
}

fn exists(program: &str) -> bool {
    Tool::new(program).arg("--version").end().is_ok()
}

/// Asks from inside, the server that the pod's `resolv.conf` names.
fn dig(inside: &Path, question: &str) -> Result<Vec<String>> {
    let ask = entered(inside).args(["dig", "+short", "+tries=2", "+time=5"]);
    let printed = ask.arg(server(inside)?).args(question.split(' ')).end()?.stdout;
    let mut lines: Vec<String> = printed.lines().map(str::to_owned).collect();
    lines.sort();
    Ok(lines)
}

/// Names the server as `dig` takes it.
fn server(inside: &Path) -> Result<String> {
    let text = fs::read_to_string(inside.join(RESOLV_CONF))?;
    let line = text.lines().find_map(|line| line.strip_prefix("nameserver "));
    Ok(format!("@{}", line.context("the pod has no nameserver")?.trim()))
}

/// Looks up from inside, as programs do.
fn getent(inside: &Path, resolv_conf: &Path, database: &str, name: &str) -> Result<String> {
    let with_its_own = "mount --bind \"$0\" /etc/resolv.conf && exec getent \"$@\"";
    let ask = entered(inside).args(["unshare", "--mount", "sh", "-c", with_its_own]);
    Ok(ask.arg(resolv_conf).args([database, name]).end()?.stdout)
}

fn entered(inside: &Path) -> Tool {
    Tool::new("nsenter").arg(format!("--net={}", inside.join("ns/net").display()))
}
