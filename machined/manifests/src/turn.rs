//! Which control plane's list counts.
//!
//! All control planes apply the same list, and it does not matter which of them does. Lists differ while a change is on its way
//! from one control plane to the next, or a new release with other manifests. If each applied its own then, they would delete
//! each other's objects in turn. So the newest change counts: a node applies its list if it is the cluster's, or if it has
//! changed since it last was. Each remembers that one on STATE.

/// What a control plane does with its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It applies it.
    Apply,
    /// Another control plane has applied a newer one: it waits until its own changes.
    Wait,
}

/// Decides: by the digests of the own list, the one that was last in agreement with the cluster, and the cluster's.
pub(crate) fn decide(own: &str, remembered: Option<&str>, applied: Option<&str>) -> Turn {
    match applied {
        None => Turn::Apply,
        Some(applied) if applied == own => Turn::Apply,
        Some(_) if remembered.is_some_and(|remembered| remembered != own) => Turn::Apply,
        Some(_) => Turn::Wait,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A control plane, and what it remembers.
    #[derive(Debug, Clone)]
    struct Plane {
        own: u8,
        remembered: Option<u8>,
    }

    impl Plane {
        /// Runs as the controller does.
        fn run(&mut self, applied: &mut Option<u8>) -> bool {
            let text = |digest: u8| digest.to_string();
            let remembered = self.remembered.map(text);
            let turn = decide(
                &text(self.own),
                remembered.as_deref(),
                applied.map(text).as_deref(),
            );
            if turn == Turn::Apply {
                *applied = Some(self.own);
            }
            self.remembered = Some(self.own);
            turn == Turn::Apply
        }
    }

    proptest! {
        /// Whatever changes where, in whatever order control planes run: once all had a turn, the newest change is applied,
        /// and nobody ever takes the cluster back to an older list.
        #[test]
        fn the_newest_change_counts_and_stays(
            steps in proptest::collection::vec((0_usize..3, proptest::option::of(1_u8..5)), 1..40),
        ) {
            let mut planes = vec![Plane { own: 0, remembered: None }; 3];
            let mut applied = None;
            for plane in &mut planes {
                plane.run(&mut applied);
            }
            for (index, change) in steps {
                let newer = change.filter(|digest| *digest != planes[index].own);
                if let Some(digest) = newer {
                    planes[index].own = digest;
                }
                let before = applied;
                planes[index].run(&mut applied);
                match newer {
                    Some(digest) => prop_assert_eq!(applied, Some(digest)),
                    None => prop_assert_eq!(applied, before),
                }
                let settled = applied;
                for plane in &mut planes {
                    plane.run(&mut applied);
                    prop_assert_eq!(applied, settled, "the lists take turns");
                }
            }
        }
    }

    #[test]
    fn a_control_plane_that_remembers_nothing_does_not_undo_what_others_applied() {
        assert_eq!(decide("a", None, Some("b")), Turn::Wait);
        assert_eq!(decide("a", None, None), Turn::Apply);
        assert_eq!(decide("a", Some("b"), Some("a")), Turn::Apply);
    }
}
