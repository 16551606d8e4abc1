//! The room that builds need on the disk: a compiler that runs out of it says so late, and not plainly.

use crate::paths;
use crate::process::Program;

/// GiB that `cargo xtask test` fills in a clean clone, with some to spare.
const FIRST: u64 = 12;
/// GiB that a later run may add.
const LATER: u64 = 3;

/// Warns when the disk may be too full for a build.
pub fn warn() {
    let folder = paths::target();
    let built = paths::host_programs().is_dir();
    let place = if built { folder.as_path() } else { paths::root() };
    let read = Program::new("df")
        .args(["--output=avail", "-B1"])
        .arg(place)
        .read();
    if let Some(warning) = read.ok().and_then(|text| warning(&text, built)) {
        stdio::note(format_args!("warning: {}: {warning}", place.display()));
    }
}

/// Reads what `df` says of the free bytes, and what is to be said of them.
fn warning(df: &str, built: bool) -> Option<String> {
    let free: u64 = df.lines().last()?.trim().parse().ok()?;
    let gib = free / (1 << 30);
    let need = if built { LATER } else { FIRST };
    (gib < need).then(|| {
        format!("{gib} GiB are free, and builds and tests may need {need}; free some, or set CARGO_TARGET_DIR to another disk")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_room_is_told_with_the_way_out() {
        let df = format!("Avail\n{}\n", 5u64 << 30);
        let text = warning(&df, false).unwrap();
        assert!(
            text.contains("5 GiB are free") && text.contains("CARGO_TARGET_DIR"),
            "{text}"
        );
        assert_eq!(warning(&df, true), None);
        assert_eq!(warning("no number", false), None);
    }
}
