//! Removes secrets that somebody printed: what is in logs was not written by us.

use std::cmp::Reverse;

use machine_config::MachineConfig;
use machine_config::secret::REDACTED;
use serde_json::Value;
use zeroize::Zeroizing;

/// The shortest text that is looked for: shorter ones are in every log by chance.
const SHORTEST: usize = 8;

/// Returns every line of every secret of a config as it would be found in a text or in JSON, longest first: a short one may be
/// a part of a longer one.
pub fn secrets(config: &MachineConfig) -> Vec<Zeroizing<String>> {
    let read = |text: &str| yaml::from_str::<Value>(text).unwrap_or(Value::Null);
    let revealed = Zeroizing::new(config.to_yaml_with_secrets());
    let mut found = Vec::new();
    collect(&read(&config.to_yaml()), &read(&revealed), &mut found);
    found.sort_by_key(|secret| Reverse(secret.len()));
    found.dedup();
    found
}

fn collect(shown: &Value, revealed: &Value, found: &mut Vec<Zeroizing<String>>) {
    match (shown, revealed) {
        (Value::String(shown), Value::String(secret)) if shown == REDACTED => {
            // A log has one line of a key at a time, and JSON writes line ends in another way.
            let lines = secret.lines().map(str::trim);
            for line in lines.filter(|line| line.len() >= SHORTEST && !line.starts_with("-----")) {
                let escaped = Zeroizing::new(Value::String(line.to_owned()).to_string());
                if let Some(escaped) = escaped.get(1..escaped.len() - 1)
                    && escaped != line
                {
                    found.push(Zeroizing::new(escaped.to_owned()));
                }
                found.push(Zeroizing::new(line.to_owned()));
            }
        }
        (Value::Object(shown), Value::Object(revealed)) => {
            for (key, revealed) in revealed {
                collect(shown.get(key).unwrap_or(&Value::Null), revealed, found);
            }
        }
        (Value::Array(shown), Value::Array(revealed)) => {
            for (shown, revealed) in shown.iter().zip(revealed) {
                collect(shown, revealed, found);
            }
        }
        _ => {}
    }
}

/// Replaces secrets in a text.
pub fn scrub(text: &mut String, secrets: &[Zeroizing<String>]) {
    for secret in secrets {
        if text.contains(secret.as_str()) {
            *text = text.replace(secret.as_str(), REDACTED);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_are_found_as_json_writes_them() {
        let (mut shown, mut revealed) = (Vec::new(), Vec::new());
        for secret in ["pass\"word\\1", "-----BEGIN-----\nabcdefgh12\n", "short"] {
            shown.push(Value::from(REDACTED));
            revealed.push(Value::from(secret));
        }
        let mut found = Vec::new();
        collect(&Value::from(shown), &Value::from(revealed), &mut found);
        let found: Vec<&str> = found.iter().map(|secret| secret.as_str()).collect();
        assert_eq!(found, [r#"pass\"word\\1"#, r#"pass"word\1"#, "abcdefgh12"]);
    }

    proptest! {
        #[test]
        fn no_secret_is_left(before in "[a-z]{0,20}", secret in "[A-Z0-9+/=]{8,60}", after in "\\PC{0,20}") {
            let longer = format!("{secret}tail");
            let secrets = [Zeroizing::new(longer.clone()), Zeroizing::new(secret.clone())];
            let mut text = format!("{before}{secret}{after}{longer}{secret}");
            scrub(&mut text, &secrets);
            prop_assert!(!text.contains(&secret), "{}", text);
        }
    }
}
