//! How many checks a log reports.

/// How many checks passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// That passed.
    pub passed: usize,
    /// That failed.
    pub failed: usize,
}

impl Count {
    /// Adds up what a log says of itself: cargo's `test result:` lines, or a line `N passed, N failed`.
    pub fn of_log(log: &str) -> Count {
        let mut total = Count::default();
        for line in log.lines() {
            let line = line
                .strip_prefix("test result: ")
                .map_or(line, |rest| rest.split_once(". ").map_or(rest, |(_, rest)| rest));
            if let Some(count) = parse(line) {
                total.add(count);
            }
        }
        total
    }

    /// Adds another count to this one.
    pub fn add(&mut self, other: Count) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

fn parse(line: &str) -> Option<Count> {
    let (passed, rest) = line.split_once(" passed")?;
    let failed = rest.trim_start_matches([',', ';', ' ']).split_once(" failed")?.0;
    Some(Count {
        passed: passed.parse().ok()?,
        failed: failed.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_added_up_over_a_log() {
        let log = "running 3 tests\n\
            test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured\n\
            test result: FAILED. 1 passed; 2 failed; 0 ignored\n\
            4 passed, 1 failed\n";
        assert_eq!(Count::of_log(log), Count { passed: 8, failed: 3 });
    }

    #[test]
    fn other_lines_are_not_counted() {
        assert_eq!(
            Count::of_log("12 of 14 passed\nnothing failed\n"),
            Count::default()
        );
    }
}
