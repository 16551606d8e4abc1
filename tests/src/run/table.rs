//! Where the time of a run went.

use std::fmt;
use std::time::Duration;

/// What became of a scenario.
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Set when all of it was shown.
    pub passed: bool,
    /// When it began, from the start of the run.
    pub began: Duration,
    /// How long it took.
    pub took: Duration,
    /// What it took of the processors.
    pub worked: Duration,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (took, worked) = (self.took.as_secs(), self.worked.as_secs());
        let how = if self.passed { "ok in" } else { "FAILED after" };
        write!(f, "{}: {how} {took} s, {worked} s of processor time", self.name)
    }
}

/// Writes the table, the longest first. `cores` is how many processors a scenario kept busy: the rest of its time it waited,
/// for its machines or for what others were making.
pub fn text(rows: &[Row]) -> String {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.took));
    let mut text = line("scenario", "begins", "takes", "works", "cores");
    for row in rows {
        let cores = row.worked.as_secs_f64() / row.took.as_secs_f64().max(0.001);
        let seconds = |time: Duration| format!("{} s", time.as_secs());
        text += &line(
            row.name,
            &seconds(row.began),
            &seconds(row.took),
            &seconds(row.worked),
            &format!("{cores:.2}{}", if row.passed { "" } else { "  FAILED" }),
        );
    }
    text
}

fn line(name: &str, began: &str, took: &str, worked: &str, cores: &str) -> String {
    format!("{name:<16} {began:>7} {took:>7} {worked:>7} {cores:>7}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_stands_first_and_failures_stand_out() {
        let row = |name, seconds, passed| Row {
            name,
            passed,
            began: Duration::from_secs(3),
            took: Duration::from_secs(seconds),
            worked: Duration::from_secs(seconds / 2),
        };
        let rows = [row("short", 10, true), row("long", 400, false)];
        let table = text(&rows);
        let lines: Vec<&str> = table.lines().collect();
        assert!(
            lines[1].starts_with("long") && lines[1].ends_with("0.50  FAILED"),
            "{table}"
        );
        assert!(
            lines[2].starts_with("short") && lines[2].ends_with("0.50"),
            "{table}"
        );
        assert_eq!(rows[0].to_string(), "short: ok in 10 s, 5 s of processor time");
    }
}
