//! What differs between two configs, by path.

use serde_yaml::Value;

use crate::secret::reveal;
use crate::v1alpha1::MachineConfig;

/// Lists the paths at which `new` differs from `old`, in the document's order. Secrets are compared, never shown.
///
/// Without an old config every value of the new one is a difference. A list that differs in length is one difference.
pub fn changes(old: Option<&MachineConfig>, new: &MachineConfig) -> Vec<String> {
    let tree = |config: &MachineConfig| {
        reveal(|| serde_yaml::to_value(config)).expect("maps, lists and texts are always a tree")
    };
    let mut paths = Vec::new();
    compare("", &old.map_or(Value::Null, tree), &tree(new), &mut paths);
    paths
}

fn compare(path: &str, old: &Value, new: &Value, paths: &mut Vec<String>) {
    match (old, new) {
        _ if old == new => {}
        (Value::Mapping(_) | Value::Null, Value::Mapping(_) | Value::Null) => {
            let keys = |value: &Value| {
                value
                    .as_mapping()
                    .map_or(Vec::new(), |map| map.keys().cloned().collect())
            };
            let (before, mut all) = (keys(old), keys(new));
            all.extend(before);
            let mut seen = Vec::new();
            for key in all {
                if seen.contains(&key) {
                    continue;
                }
                let name = key.as_str().unwrap_or_default();
                let null = Value::Null;
                let at = |value: &Value| value.as_mapping().and_then(|map| map.get(&key)).cloned();
                let (old, new) = (at(old).unwrap_or(null.clone()), at(new).unwrap_or(null));
                compare(&yaml::join(path, name), &old, &new, paths);
                seen.push(key);
            }
        }
        (Value::Sequence(old), Value::Sequence(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                compare(&format!("{path}[{index}]"), old, new, paths);
            }
        }
        _ => paths.push(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{GOLDEN, SMALLEST};

    #[test]
    fn only_differences_are_listed() {
        let old = crate::parse(GOLDEN).unwrap();
        assert_eq!(changes(Some(&old), &old), [""; 0]);
        let text = GOLDEN
            .replace("node1\n", "node2\n")
            .replace("MC4CAQ", "MC4CAr")
            .replace("kernel.panic: \"10\"", "vm.swappiness: 5")
            .replace("mtu: 9000", "mtu: 1500")
            .replace("[10.0.0.1, ", "[10.0.0.9, ");
        let new = crate::parse(&text).unwrap();
        let expected = [
            "machine.hostname",
            "machine.ca.key",
            "machine.network.interfaces[0].mtu",
            "machine.network.nameservers[0]",
            "machine.sysctls[\"vm.swappiness\"]",
            "machine.sysctls[\"kernel.panic\"]",
        ];
        assert_eq!(changes(Some(&old), &new), expected);
    }

    #[test]
    fn everything_in_a_first_config_is_new() {
        let first = changes(None, &crate::parse(SMALLEST).unwrap());
        let expected = [
            "apiVersion",
            "kind",
            "machine.role",
            "machine.ca.cert",
            "machine.ca.key",
        ];
        assert_eq!(first, expected);
    }
}
