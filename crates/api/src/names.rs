//! Enumerations as the words that people read and write: `APPLY_MODE_NO_REBOOT` is `no-reboot`.

/// An enumeration of the API.
pub trait Named: TryFrom<i32> {
    /// Returns the value's name in the `.proto` file.
    fn proto_name(&self) -> &'static str;

    /// Prefix of the values' names, with the underscore.
    const PREFIX: &'static str;

    /// Returns the value's word: lower case, dashes, without the type's name. Unspecified is empty.
    fn word(&self) -> String {
        let name = self.proto_name();
        match name.strip_prefix(Self::PREFIX).unwrap_or(name) {
            "UNSPECIFIED" => String::new(),
            rest => rest.to_ascii_lowercase().replace('_', "-"),
        }
    }
}

include!(concat!(env!("OUT_DIR"), "/names.rs"));

/// Returns the word of a field's number; a number of a newer API stays a number.
pub fn word<E: Named>(number: i32) -> String {
    E::try_from(number).map_or_else(|_| number.to_string(), |value| value.word())
}

/// Writes an enumeration's word, for `serialize_with`.
#[cfg(feature = "serde")]
pub fn serialize<E: Named, S: serde::Serializer>(number: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&word::<E>(*number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1alpha1::{ApplyMode, Phase, ServiceHealth};

    #[test]
    fn words_are_short_and_lower_case() {
        assert_eq!(ApplyMode::NoReboot.word(), "no-reboot");
        assert_eq!(Phase::Running.word(), "running");
        assert_eq!(word::<ServiceHealth>(0), "");
        assert_eq!(word::<Phase>(77), "77");
    }

    #[cfg(feature = "serde")]
    #[test]
    fn messages_show_words_and_camel_case() {
        let status = crate::v1alpha1::StatusResponse {
            phase: Phase::Maintenance.into(),
            uptime_ms: 5,
            ..Default::default()
        };
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["phase"], "maintenance");
        assert_eq!(json["uptimeMs"], 5);
    }
}
