//! Finds the name that was probably meant.

/// Finds the known name nearest to a wrong one, when one is near enough to be a slip of the finger.
///
/// Counts letters that are wrong, missing, too many or exchanged with their neighbour; one in three may be. An abbreviation of
/// three letters or more is near, whichever of the two is the shorter one. Capital and small letters are alike.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let distance = |known: &str| {
        let known = known.to_lowercase();
        let shorter = known.len().min(wrong.len());
        let abbreviates = known.starts_with(&wrong) || wrong.starts_with(&known);
        let distance = strsim::damerau_levenshtein(&wrong, &known);
        (distance <= 1.max(shorter / 3) || abbreviates && shorter >= 3).then_some(distance)
    };
    let near = known.into_iter().filter_map(|name| Some((distance(name)?, name)));
    near.min().map(|(_, name)| name)
}

/// Writes `, did you mean "x"?` for the nearest known name, or nothing.
pub fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(wrong, known)
        .map(|name| format!(", did you mean {name:?}?"))
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
        assert_eq!(nearest("QEMU", known), Some("qemu-arm64"));
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest("monday", ["mon", "sun"]), Some("mon"));
        assert_eq!(did_you_mean("pri3", known), ", did you mean \"rpi3\"?");
        assert_eq!(did_you_mean("toaster", known), "");
    }
}
