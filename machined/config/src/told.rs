//! What is told of a config that somebody applied. Pure.

use std::time::Duration;

use quantity::human_time;

use super::plan::{ApplyPlan, Effect};

/// The most paths that are named.
const NAMED: usize = 5;

/// Says what was done with a config, by whom, and what differs.
pub(super) fn told(plan: &ApplyPlan, who: &str, try_timeout: Duration) -> String {
    let changes = match plan.changes.len() {
        0 => "nothing differs".to_owned(),
        1..=NAMED => format!("{} differs", plan.changes.join(", ")),
        more => format!("it differs in {more} places"),
    };
    let done = match plan.effect {
        Effect::Live => "was applied".to_owned(),
        Effect::Reboot => "was applied, and the node restarts for it".to_owned(),
        Effect::Stage => "was staged for the next start".to_owned(),
        Effect::Try => format!("is tried for {}", human_time(try_timeout)),
    };
    format!("a machine config {done}, by {who}: {changes}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_by_whom_and_where() {
        let plan = |effect, changes: &[&str]| ApplyPlan {
            effect,
            changes: changes.iter().map(|path| (*path).to_owned()).collect(),
            warnings: vec![],
        };
        let minute = Duration::from_secs(60);
        assert_eq!(
            told(&plan(Effect::Try, &["machine.hostname"]), "ann", minute),
            "a machine config is tried for 1m, by ann: machine.hostname differs"
        );
        assert_eq!(
            told(&plan(Effect::Live, &["a"; 6]), "ann", minute),
            "a machine config was applied, by ann: it differs in 6 places"
        );
    }
}
