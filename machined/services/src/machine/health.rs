//! What health checks say over time.

/// Tells how a running service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Its check has never succeeded: it may still be starting.
    Unknown,
    /// Its last check succeeded, or it has none.
    Well,
    /// It was well, and its last checks failed; not often enough to count.
    Failing {
        /// How many in a row.
        checks: u32,
    },
    /// Its checks failed too often in a row.
    Unwell {
        /// What the last one said.
        reason: String,
    },
}

impl Health {
    /// Returns the health of a service that has just been started.
    pub(super) fn at_start(checked: bool) -> Self {
        if checked { Health::Unknown } else { Health::Well }
    }

    /// Tells whether services that depend on it may start.
    pub fn is_well(&self) -> bool {
        matches!(self, Health::Well | Health::Failing { .. })
    }

    /// Takes the result of a check; `limit` failures in a row make a service unwell.
    ///
    /// One that was never well stays unknown: how long a start may take, nobody can tell on a slow card.
    pub(super) fn next(self, result: Result<(), String>, limit: u32) -> Self {
        let failed = match (self, &result) {
            (_, Ok(())) => return Health::Well,
            (Health::Unknown, Err(_)) => return Health::Unknown,
            (Health::Well, Err(_)) => 1,
            (Health::Failing { checks }, Err(_)) => checks.saturating_add(1),
            (Health::Unwell { .. }, Err(_)) => limit,
        };
        match result {
            Err(reason) if failed >= limit => Health::Unwell { reason },
            _ => Health::Failing { checks: failed },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(results: &[bool]) -> Health {
        let start = Health::at_start(true);
        results.iter().fold(start, |health, well| {
            health.next(if *well { Ok(()) } else { Err("no answer".into()) }, 3)
        })
    }

    #[test]
    fn three_failures_in_a_row_make_a_service_unwell() {
        let unwell = Health::Unwell {
            reason: "no answer".into(),
        };
        let table = [
            (&[][..], Health::Unknown),
            (&[false, false, false, false], Health::Unknown),
            (&[false, true], Health::Well),
            (&[true, false, false], Health::Failing { checks: 2 }),
            (&[true, false, false, true, false], Health::Failing { checks: 1 }),
            (&[true, false, false, false], unwell.clone()),
            (&[true, false, false, false, false], unwell),
            (&[true, false, false, false, true], Health::Well),
        ];
        for (results, expected) in table {
            assert_eq!(after(results), expected, "{results:?}");
        }
        assert!(Health::Failing { checks: 2 }.is_well());
        assert_eq!(Health::at_start(false), Health::Well);
    }
}
