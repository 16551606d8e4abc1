//! Lays the status page out.

use std::fmt::Write;

/// What the page shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub board: String,
    pub version: String,
    pub slot: Option<String>,
    pub failed: Vec<String>,
    pub hostname: Option<String>,
    pub addresses: Vec<String>,
    pub configured: bool,
    /// Set when the node has looked for a config yet.
    pub looked: bool,
    /// Why the node is locked, when it is.
    pub locked: Option<Locked>,
    pub api: bool,
    /// Of the certificate that nobody but the node has signed.
    pub fingerprint: Option<String>,
    /// What the node waits for in its Kubernetes cluster.
    pub cluster_waits: Option<String>,
    pub problems: Vec<String>,
    /// Something to know that is no problem.
    pub note: Option<String>,
    pub stopping: bool,
}

/// What the page shows of a locked node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Locked {
    pub reason: String,
    /// Set when the node still knows whose certificates it obeys.
    pub owner_known: bool,
}

const WIDTH: usize = 72;

/// Renders the page. Lines are plain text: every serial terminal shows them.
pub(super) fn render(facts: &Facts) -> String {
    let mut page = String::from("\n");
    let title = format!("-- Bedplate {} on {} ", facts.version, facts.board);
    line(&mut page, &format!("{title:-<WIDTH$}"));
    field(
        &mut page,
        "node",
        facts.hostname.as_deref().unwrap_or("(no name yet)"),
    );
    field(&mut page, "state", state(facts));
    field(
        &mut page,
        "slot",
        facts
            .slot
            .as_deref()
            .unwrap_or("none: started without the loader"),
    );
    for failed in &facts.failed {
        field(&mut page, "refused", failed);
    }
    let addresses = if facts.addresses.is_empty() {
        "none yet".to_owned()
    } else {
        facts.addresses.join(", ")
    };
    field(&mut page, "address", &addresses);
    if let Some(address) = facts.addresses.first().filter(|_| facts.api) {
        let endpoint = if address.contains(':') {
            format!("[{address}]:{}", api::PORT)
        } else {
            format!("{address}:{}", api::PORT)
        };
        field(&mut page, "api", &endpoint);
    }
    if let Some(fingerprint) = facts
        .fingerprint
        .as_deref()
        .filter(|_| facts.looked && !facts.configured)
    {
        field(&mut page, "sha256", fingerprint);
    }
    if let Some(locked) = &facts.locked {
        field(&mut page, "locked", &locked.reason);
        for step in way_out(locked, facts.fingerprint.as_deref()) {
            field(&mut page, "to do", &step);
        }
    }
    if let Some(note) = &facts.note {
        field(&mut page, "note", note);
    }
    if let Some(reason) = &facts.cluster_waits {
        field(&mut page, "cluster", &format!("waits: {reason}"));
    }
    for problem in &facts.problems {
        field(&mut page, "problem", problem);
    }
    line(&mut page, &"-".repeat(WIDTH));
    page
}

fn state(facts: &Facts) -> &'static str {
    match facts {
        Facts { stopping: true, .. } => "stopping",
        Facts { looked: false, .. } => "starting",
        Facts {
            locked: Some(Locked {
                owner_known: true, ..
            }),
            ..
        } => "locked: only its owner may repair it",
        Facts { locked: Some(_), .. } => "locked: its owner is not known any more",
        Facts { configured: true, .. } => "running",
        Facts { .. } => "maintenance: waits for a machine config (bedplate apply)",
    }
}

/// Says what ends the lock.
fn way_out(locked: &Locked, fingerprint: Option<&str>) -> Vec<String> {
    if !locked.owner_known {
        return vec![
            "flash the medium again, with a machine config: bedplate flash --config FILE".to_owned(),
            "nothing can be changed over the network; the loader's menu starts the other release".to_owned(),
        ];
    }
    let reach = match fingerprint {
        Some(fingerprint) => format!("--fingerprint {fingerprint}"),
        None => "--fingerprint (not known yet)".to_owned(),
    };
    vec![
        format!("with an admin's certificate: bedplate {reach} apply --file FILE"),
        "or bedplate reset, or bedplate upgrade rollback to the release that could use the config".to_owned(),
    ]
}

fn field(page: &mut String, name: &str, value: &str) {
    line(page, &format!(" {name:<9}{value}"));
}

fn line(page: &mut String, text: &str) {
    writeln!(page, "{text}").expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maintenance_shows_where_and_whom_to_trust() {
        let facts = Facts {
            board: "rpi3".into(),
            version: "0.1.0".into(),
            slot: Some("a, committed".into()),
            addresses: vec!["10.0.2.15".into(), "fe80::1".into()],
            looked: true,
            api: true,
            fingerprint: Some("AA:BB".into()),
            ..Facts::default()
        };
        let expected = "
-- Bedplate 0.1.0 on rpi3 ----------------------------------------------
 node     (no name yet)
 state    maintenance: waits for a machine config (bedplate apply)
 slot     a, committed
 address  10.0.2.15, fe80::1
 api      10.0.2.15:50000
 sha256   AA:BB
------------------------------------------------------------------------
";
        assert_eq!(render(&facts), expected);
    }

    #[test]
    fn a_locked_node_says_why_and_what_to_do() {
        let facts = |owner_known| Facts {
            looked: true,
            fingerprint: Some("AA:BB".into()),
            locked: Some(Locked {
                reason: "the machine config in STATE is damaged".into(),
                owner_known,
            }),
            ..Facts::default()
        };
        let page = render(&facts(true));
        for words in [
            " state    locked: only its owner may repair it\n",
            " locked   the machine config in STATE is damaged\n",
            "bedplate --fingerprint AA:BB apply --file FILE",
        ] {
            assert!(page.contains(words), "{page}");
        }
        let page = render(&facts(false));
        assert!(
            page.contains("locked: its owner is not known any more")
                && page.contains("flash the medium again"),
            "{page}"
        );
        assert!(!page.contains("maintenance"), "{page}");
    }

    #[test]
    fn a_running_node_shows_no_fingerprint_but_its_problems() {
        let facts = Facts {
            looked: true,
            configured: true,
            fingerprint: Some("AA".into()),
            failed: vec!["slot b: no manifest".into()],
            problems: vec!["DATA is only in memory: broken".into()],
            ..Facts::default()
        };
        let page = render(&facts);
        assert!(
            !page.contains("sha256") && page.contains("state    running"),
            "{page}"
        );
        assert!(
            page.contains("refused  slot b: no manifest") && page.contains("problem  DATA is only"),
            "{page}"
        );
    }
}
