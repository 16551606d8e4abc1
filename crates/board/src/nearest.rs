//! Finds the name that was probably meant.

/// Finds the known name nearest to a wrong one, when one is near enough to be a slip.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&wrong.to_lowercase(), &name.to_lowercase()),
                name,
            )
        })
        .min()
        .filter(|(distance, name)| *distance <= 1.max(name.len().min(wrong.len()) / 3))
        .map(|(_, name)| name)
}

/// Writes `; did you mean "x"?` for the nearest known name, or nothing.
pub fn hint<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(wrong, known)
        .map(|name| format!("; did you mean {name:?}?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let known = ["qemu-arm64", "generic-arm64", "rpi3"];
        assert_eq!(nearest("rpi4", known), Some("rpi3"));
        assert_eq!(nearest("qemu-amr64", known), Some("qemu-arm64"));
        assert_eq!(nearest("toaster", known), None);
        assert_eq!(hint("pri3", known), "; did you mean \"rpi3\"?");
    }
}
