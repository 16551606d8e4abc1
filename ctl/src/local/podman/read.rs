//! Reads what Podman writes.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::Value;

use crate::local::provisioner::State;

fn list(text: &str) -> anyhow::Result<Vec<Value>> {
    let value: Value = serde_json::from_str(text).context("podman did not answer with JSON")?;
    match value {
        Value::Array(list) => Ok(list),
        // Some versions write this for an empty list.
        Value::Null => Ok(Vec::new()),
        _ => anyhow::bail!("podman did not answer with a list"),
    }
}

/// Returns the first IPv4 subnet of `podman network inspect`.
pub(super) fn subnet(text: &str) -> anyhow::Result<String> {
    let networks = list(text)?;
    let subnets = networks
        .iter()
        .filter_map(|network| network["subnets"].as_array())
        .flatten();
    let mut subnets = subnets.filter_map(|subnet| subnet["subnet"].as_str());
    let found = subnets.find(|subnet| subnet.contains('.'));
    found
        .map(str::to_owned)
        .context("podman made a network without addresses")
}

/// Returns the containers of `podman ps --format json` by their label.
pub(super) fn containers(text: &str, label: &str) -> anyhow::Result<BTreeMap<String, State>> {
    let node = |container: &Value| {
        let name = container["Labels"][label].as_str()?.to_owned();
        let word = container["State"].as_str()?.to_owned();
        let running = word == "running";
        // Podman may start it again.
        let ended = false;
        Some((name, State { running, ended, word }))
    };
    Ok(list(text)?.iter().filter_map(node).collect())
}

/// Returns the values of a label, of `podman ps`, `volume ls` or `network ls`.
pub(super) fn labels(text: &str, label: &str) -> anyhow::Result<Vec<String>> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let value = |thing: &Value| {
        let labels = thing.get("Labels").or_else(|| thing.get("labels"))?;
        Some(labels[label].as_str()?.to_owned())
    };
    Ok(list(text)?.iter().filter_map(value).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_podman_4_writes_is_read() {
        let network = r#"[{"name":"bedplate-lab","driver":"bridge","subnets":[{"subnet":"10.89.0.0/24","gateway":"10.89.0.1"}],"labels":{"bedplate.cluster":"lab"}}]"#;
        assert_eq!(subnet(network).unwrap(), "10.89.0.0/24");
        assert_eq!(labels(network, "bedplate.cluster").unwrap(), ["lab"]);
        let ps = r#"[{"Names":["bedplate-lab-worker-1"],"Labels":{"bedplate.cluster":"lab","bedplate.node":"worker-1"},"State":"running"},
                     {"Names":["x"],"Labels":{"bedplate.node":"worker-2"},"State":"exited"},{"Names":["y"],"Labels":null,"State":"running"}]"#;
        let found = containers(ps, "bedplate.node").unwrap();
        assert!(found["worker-1"].running && !found["worker-2"].running && found.len() == 2);
        for nothing in ["[]", "null"] {
            assert!(containers(nothing, "x").unwrap().is_empty());
        }
        assert!(subnet("[]").is_err() && labels("", "x").unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn nothing_that_it_writes_is_fatal(text in ".*") {
            let _ = (subnet(&text), containers(&text, "x"), labels(&text, "x"));
        }
    }
}
