//! Removes secrets that somebody printed: logs are not written by us.

use machine_config::MachineConfig;
use machine_config::secret::REDACTED;
use serde_json::Value;
use zeroize::Zeroizing;

/// The shortest text that is looked for: shorter ones are in every log by chance.
const SHORTEST: usize = 8;

/// Returns every line of every secret of a config.
pub fn secrets(config: &MachineConfig) -> Vec<Zeroizing<String>> {
    let read = |text: &str| yaml::from_str::<Value>(text).unwrap_or(Value::Null);
    let revealed = Zeroizing::new(config.to_yaml_with_secrets());
    let mut found = Vec::new();
    collect(&read(&config.to_yaml()), &read(&revealed), &mut found);
    found
}

fn collect(shown: &Value, revealed: &Value, found: &mut Vec<Zeroizing<String>>) {
    match (shown, revealed) {
        (Value::String(shown), Value::String(secret)) if shown == REDACTED => {
            // A log has one line of a key at a time, and JSON writes line ends in another way.
            let lines = secret.lines().map(str::trim);
            let long = lines.filter(|line| line.len() >= SHORTEST && !line.starts_with("-----"));
            found.extend(long.map(|line| Zeroizing::new(line.to_owned())));
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
