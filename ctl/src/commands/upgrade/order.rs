//! The order in which nodes are upgraded. Pure.

/// The progress of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Not started.
    Pending,
    /// Being upgraded.
    Running,
    /// Runs the release.
    Succeeded,
    /// Failed to run the release.
    Failed,
}

/// The next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Upgrade the node with this index.
    Start(usize),
    /// Wait until a running upgrade ends.
    Wait,
    /// Stop.
    End,
}

/// Decides the next step: nodes are upgraded in order, `parallel` at a time, and none is started after one has failed.
pub fn next(turns: &[Turn], parallel: usize) -> Next {
    let running = turns.iter().filter(|turn| **turn == Turn::Running).count();
    let failed = turns.contains(&Turn::Failed);
    let pending = turns.iter().position(|turn| *turn == Turn::Pending);
    match (pending, running) {
        (Some(node), running) if !failed && running < parallel.max(1) => Next::Start(node),
        (_, 0) => Next::End,
        _ => Next::Wait,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_node_takes_its_turn() {
        use Turn::{Failed, Pending, Running, Succeeded};
        let cases: &[(&[Turn], usize, Next)] = &[
            (&[], 1, Next::End),
            (&[Pending, Pending], 1, Next::Start(0)),
            (&[Running, Pending], 1, Next::Wait),
            (&[Running, Pending], 2, Next::Start(1)),
            (&[Succeeded, Pending], 1, Next::Start(1)),
            (&[Failed, Pending], 1, Next::End),
            (&[Failed, Running, Pending], 3, Next::Wait),
            (&[Succeeded, Succeeded], 1, Next::End),
            (&[Pending], 0, Next::Start(0)),
        ];
        for (turns, parallel, expected) in cases {
            assert_eq!(next(turns, *parallel), *expected, "{turns:?} {parallel}");
        }
    }

    proptest! {
        /// Plays a whole run: whatever the order in which nodes end, the rules hold at every step.
        #[test]
        fn never_too_many_and_none_after_a_failure(
            fates in prop::collection::vec(any::<bool>(), 0..12),
            parallel in 1_usize..5,
            ends in prop::collection::vec(any::<prop::sample::Index>(), 12),
        ) {
            let mut turns = vec![Turn::Pending; fates.len()];
            let mut ends = ends.into_iter();
            let mut started = Vec::new();
            loop {
                match next(&turns, parallel) {
                    Next::Start(node) => {
                        prop_assert_eq!(turns[node], Turn::Pending);
                        prop_assert!(!turns.contains(&Turn::Failed), "started after a failure");
                        started.push(node);
                        turns[node] = Turn::Running;
                    }
                    Next::Wait => {
                        let running: Vec<usize> =
                            (0..turns.len()).filter(|node| turns[*node] == Turn::Running).collect();
                        prop_assert!(!running.is_empty() && running.len() <= parallel);
                        let node = *ends.next().expect("one for each node").get(&running);
                        turns[node] = if fates[node] { Turn::Succeeded } else { Turn::Failed };
                    }
                    Next::End => break,
                }
            }
            prop_assert!(!turns.contains(&Turn::Running));
            prop_assert!(started.is_sorted(), "in order");
            let failed = turns.contains(&Turn::Failed);
            prop_assert!(failed || turns.iter().all(|turn| *turn == Turn::Succeeded));
        }
    }
}
