//! Where the time of a run went.

use std::fmt;
use std::time::Duration;

use super::count::Count;

/// The first word of the table that `e2e` writes, and the end of its output.
const SCENARIOS: &str = "scenario ";

/// What became of a stage.
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// What it checked.
    pub count: Count,
    /// When it began, from the start of the run.
    pub began: Duration,
    /// How long it took.
    pub took: Duration,
    /// What it took of the processors.
    pub worked: Duration,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count { passed, failed } = self.count;
        let seconds = self.took.as_secs();
        write!(
            f,
            "{}: {passed} passed, {failed} failed in {seconds} s",
            self.name
        )
    }
}

/// Writes the table of the stages, in the order in which they began. `cores` is how many processors a stage kept busy.
pub fn text(rows: &[Row], took: Duration) -> String {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by_key(|row| row.began);
    let mut text = line("stage", "begins", "takes", "works", "cores");
    for row in &rows {
        text += &timed(row.name, row.began, row.took, row.worked);
    }
    let worked = rows.iter().map(|row| row.worked).sum();
    text + &timed("all of it", Duration::ZERO, took, worked)
}

fn timed(name: &str, began: Duration, took: Duration, worked: Duration) -> String {
    let cores = worked.as_secs_f64() / took.as_secs_f64().max(0.001);
    let seconds = |time: Duration| format!("{} s", time.as_secs());
    line(
        name,
        &seconds(began),
        &seconds(took),
        &seconds(worked),
        &format!("{cores:.2}"),
    )
}

fn line(name: &str, began: &str, took: &str, worked: &str, cores: &str) -> String {
    format!("{name:<16} {began:>7} {took:>7} {worked:>7} {cores:>7}\n")
}

/// Finds the table of scenarios in what `e2e` wrote.
pub fn scenarios(log: &str) -> Option<String> {
    let lines: Vec<&str> = log
        .lines()
        .skip_while(|line| !line.starts_with(SCENARIOS))
        .take_while(|line| !line.contains(" passed, "))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_stand_in_the_order_in_which_they_began() {
        let row = |name, began, took, worked| Row {
            name,
            count: Count { passed: 3, failed: 1 },
            began: Duration::from_secs(began),
            took: Duration::from_secs(took),
            worked: Duration::from_secs(worked),
        };
        let rows = [row("test", 10, 300, 450), row("fmt", 0, 10, 5)];
        let table = text(&rows, Duration::from_secs(310));
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(
            lines[1].starts_with("fmt ") && lines[1].ends_with("0.50"),
            "{table}"
        );
        assert!(
            lines[2].starts_with("test ") && lines[2].ends_with("1.50"),
            "{table}"
        );
        assert!(
            lines[3].starts_with("all of it ") && lines[3].contains("455 s"),
            "{table}"
        );
        assert_eq!(rows[0].to_string(), "test: 3 passed, 1 failed in 300 s");
    }

    #[test]
    fn the_table_of_scenarios_is_found() {
        let log = "noise\nscenario   begins\nlife  3 s\n16 passed, 1 failed\nerror: x\n";
        assert_eq!(scenarios(log).as_deref(), Some("scenario   begins\nlife  3 s"));
        assert_eq!(scenarios("noise\n"), None);
    }
}
