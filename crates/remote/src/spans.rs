//! Decides which bytes come in one request.

use std::ops::Range;

/// The most bytes between two needed spans that are skipped: fetching them costs less than another request.
pub const BRIDGE: u64 = 16 * 1024;

/// Joins spans that are close together, in order. Empty ones are dropped, as is everything after `len`.
pub(crate) fn runs(spans: impl IntoIterator<Item = Range<u64>>, len: u64) -> Vec<Range<u64>> {
    let clip = |span: Range<u64>| span.start.min(len)..span.end.min(len);
    let mut spans: Vec<Range<u64>> = spans
        .into_iter()
        .map(clip)
        .filter(|span| !span.is_empty())
        .collect();
    spans.sort_by_key(|span| span.start);
    let mut runs: Vec<Range<u64>> = Vec::new();
    for span in spans {
        match runs.last_mut() {
            Some(last) if span.start.saturating_sub(last.end) <= BRIDGE => last.end = last.end.max(span.end),
            _ => runs.push(span),
        }
    }
    runs
}

/// Returns where a request for `wanted` should end: with the run that it begins in, or as requested.
pub(crate) fn end_of(runs: &[Range<u64>], wanted: Range<u64>) -> u64 {
    let following = runs.partition_point(|run| run.start <= wanted.start);
    let run = following.checked_sub(1).map(|index| &runs[index]);
    run.map_or(wanted.end, |run| {
        if wanted.start < run.end {
            run.end.max(wanted.end)
        } else {
            wanted.end
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn near_spans_are_one_request_and_far_ones_are_two() {
        let joined = runs(
            [100_000..100_010, 0..10, 10 + BRIDGE..20 + BRIDGE, 5..7, 3..3],
            100_005,
        );
        assert_eq!(joined, [0..20 + BRIDGE, 100_000..100_005]);
        assert_eq!(end_of(&joined, 5..6), 20 + BRIDGE);
        assert_eq!(end_of(&joined, 15..50_000), 50_000);
        assert_eq!(end_of(&joined, 20 + BRIDGE..30_000), 30_000, "behind the run");
        assert_eq!(end_of(&[], 5..6), 6);
    }

    proptest! {
        #[test]
        fn runs_are_disjoint_in_order_and_cover_every_span(
            spans in proptest::collection::vec((0u64..200_000, 0u64..30_000), 0..40), len in 0u64..220_000,
        ) {
            let spans: Vec<Range<u64>> = spans.into_iter().map(|(start, len)| start..start + len).collect();
            let joined = runs(spans.clone(), len);
            for pair in joined.windows(2) {
                prop_assert!(pair[0].end + BRIDGE < pair[1].start);
            }
            // Where an empty span is, another may be as well.
            for span in spans.into_iter().filter(|span| !span.is_empty()) {
                for byte in [span.start, span.end - 1] {
                    let held = joined.iter().any(|run| run.contains(&byte));
                    prop_assert_eq!(held, byte < len);
                }
            }
        }
    }
}
