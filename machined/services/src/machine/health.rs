//! What health checks say over time.

/// The health of a running service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Its check has never succeeded: it may still be starting.
    Unknown {
        /// What the last one said, if there was one.
        reason: Option<String>,
    },
    /// Its last check succeeded, or it has none.
    Healthy,
    /// It was healthy, and its last checks failed; not often enough to count.
    Failing {
        /// How many in a row.
        checks: u32,
    },
    /// Its checks failed too often in a row.
    Unhealthy {
        /// What the last one said.
        reason: String,
    },
}

impl Health {
    /// Returns the health of a service that has just been started.
    pub(super) fn at_start(checked: bool) -> Self {
        if checked {
            Health::Unknown { reason: None }
        } else {
            Health::Healthy
        }
    }

    /// Returns true if services that depend on it may start.
    pub fn is_healthy(&self) -> bool {
        matches!(self, Health::Healthy | Health::Failing { .. })
    }

    /// Takes the result of a check; `limit` failures in a row make a service unhealthy.
    ///
    /// One that was never healthy stays unknown: on a slow card nobody can say how long a start may take.
    pub(super) fn next(self, result: Result<(), String>, limit: u32) -> Self {
        let failed = match (self, &result) {
            (_, Ok(())) => return Health::Healthy,
            (Health::Unknown { .. }, Err(reason)) => {
                return Health::Unknown {
                    reason: Some(reason.clone()),
                };
            }
            (Health::Healthy, Err(_)) => 1,
            (Health::Failing { checks }, Err(_)) => checks.saturating_add(1),
            (Health::Unhealthy { .. }, Err(_)) => limit,
        };
        match result {
            Err(reason) if failed >= limit => Health::Unhealthy { reason },
            _ => Health::Failing { checks: failed },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(results: &[bool]) -> Health {
        let start = Health::at_start(true);
        results.iter().fold(start, |health, succeeded| {
            health.next(
                if *succeeded {
                    Ok(())
                } else {
                    Err("no answer".into())
                },
                3,
            )
        })
    }

    #[test]
    fn three_failures_in_a_row_make_a_service_unhealthy() {
        let unhealthy = Health::Unhealthy {
            reason: "no answer".into(),
        };
        let table = [
            (&[][..], Health::Unknown { reason: None }),
            (
                &[false, false, false, false],
                Health::Unknown {
                    reason: Some("no answer".into()),
                },
            ),
            (&[false, true], Health::Healthy),
            (&[true, false, false], Health::Failing { checks: 2 }),
            (&[true, false, false, true, false], Health::Failing { checks: 1 }),
            (&[true, false, false, false], unhealthy.clone()),
            (&[true, false, false, false, false], unhealthy),
            (&[true, false, false, false, true], Health::Healthy),
        ];
        for (results, expected) in table {
            assert_eq!(after(results), expected, "{results:?}");
        }
        assert!(Health::Failing { checks: 2 }.is_healthy());
        assert_eq!(Health::at_start(false), Health::Healthy);
    }
}
