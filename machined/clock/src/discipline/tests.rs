use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_800_000_000;
const DAY: i64 = 86_400;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn sample(server: &str, seconds: i64, delay_ms: u64) -> Sample {
    Sample {
        server: server.into(),
        offset_micros: seconds * 1_000_000,
        delay: Duration::from_millis(delay_ms),
    }
}

fn now() -> Now {
    Now {
        wall: at(NOW),
        since_boot: Duration::from_secs(60),
    }
}

fn bounds() -> Bounds {
    Bounds::of_image(at(NOW - 100))
}

fn chosen(samples: &[Sample]) -> Option<String> {
    match weigh(samples.to_vec(), now(), bounds(), true, &mut None) {
        Verdict::Follow(sample) => Some(sample.server),
        Verdict::Useless | Verdict::Doubt { .. } => None,
    }
}

/// Returns after how many rounds of the same answers they are followed.
fn rounds(samples: &[Sample], in_step: bool) -> u32 {
    let mut claim = None;
    let (mut now, mut rounds) = (now(), 0);
    loop {
        rounds += 1;
        assert!(rounds < 100, "{samples:?} are never followed");
        if let Verdict::Follow(_) = weigh(samples.to_vec(), now, bounds(), in_step, &mut claim) {
            return rounds;
        }
        let pause = pause_in_doubt(in_step);
        now = Now {
            wall: now.wall + pause,
            since_boot: now.since_boot + pause,
        };
    }
}

#[test]
fn one_liar_among_three_is_outvoted() {
    let honest = [sample("a", 10, 5), sample("b", 11, 50)];
    assert_eq!(chosen(&honest).as_deref(), Some("a"), "of two, the quicker");
    let liar = sample("liar", 1_000_000, 1);
    assert_eq!(
        chosen(&[liar, honest[0].clone(), honest[1].clone()]).as_deref(),
        Some("b")
    );
}

#[test]
fn of_two_that_differ_the_one_that_moves_the_clock_less_counts() {
    let (truth, liar) = (sample("truth", 3, 50), sample("liar", 30 * DAY, 1));
    assert_eq!(chosen(&[truth.clone(), liar.clone()]).as_deref(), Some("truth"));
    let back = sample("back", -90, 1);
    assert_eq!(chosen(&[back, truth.clone()]).as_deref(), Some("truth"));
    let two = [truth.clone(), truth, liar.clone(), liar];
    assert_eq!(
        chosen(&two).as_deref(),
        Some("truth"),
        "also when they are two each"
    );
}

#[test]
fn answers_that_cannot_be_true_or_are_too_late_do_not_count() {
    assert_eq!(chosen(&[sample("old", -101, 5)]), None);
    assert_eq!(chosen(&[sample("slow", 1, 2_001)]), None);
    let decades = sample("ahead", 41 * 365 * DAY, 5);
    assert_eq!(chosen(&[decades.clone(), decades]), None, "whoever agrees on it");
    assert_eq!(
        chosen(&[sample("fine", -99, 5)]).as_deref(),
        Some("fine"),
        "back, but not before the image"
    );
    assert_eq!(chosen(&[]), None);
}

#[test]
fn a_far_step_is_borne_out_by_servers_or_by_time() {
    let (month, back) = (sample("a", 30 * DAY, 5), sample("a", -99, 5));
    let (again, other) = (sample("b", 30 * DAY + 1, 9), sample("c", 60 * DAY, 9));
    let hour = sample("a", 3600, 5);
    let table: [(&[Sample], bool, u32); 8] = [
        (std::slice::from_ref(&hour), true, 1),
        (std::slice::from_ref(&back), true, 1),
        (std::slice::from_ref(&month), false, 3),
        (std::slice::from_ref(&month), true, 8),
        (&[month.clone(), again.clone()], true, 1),
        (&[month.clone(), again.clone(), other.clone()], true, 1),
        (&[month.clone(), other.clone()], true, 8),
        (&[month.clone(), again, other.clone(), other], true, 8),
    ];
    for (samples, in_step, expected) in table {
        assert_eq!(rounds(samples, in_step), expected, "{samples:?}");
    }
    // Back is quicker than forward: the image must be old enough for such a step.
    let old = Bounds::of_image(at(NOW) - Duration::from_secs(90 * 86_400));
    let mut claim = None;
    let back = [sample("a", -30 * DAY, 5)];
    let verdicts: Vec<bool> = (0..3)
        .map(|_| {
            matches!(
                weigh(back.to_vec(), now(), old, true, &mut claim),
                Verdict::Follow(_)
            )
        })
        .collect();
    assert_eq!(verdicts, [false, false, true]);
}

#[test]
fn a_claim_that_changes_or_stops_begins_anew() {
    let mut claim = None;
    let mut ask = |seconds: Option<i64>| {
        let samples = seconds
            .map(|seconds| sample("a", seconds, 5))
            .into_iter()
            .collect();
        match weigh(samples, now(), bounds(), false, &mut claim) {
            Verdict::Doubt { rounds, .. } => Some(rounds),
            Verdict::Follow(_) | Verdict::Useless => None,
        }
    };
    let month = 30 * DAY;
    assert_eq!([ask(Some(month)), ask(Some(month))], [Some(1), Some(2)]);
    assert_eq!(ask(Some(2 * month)), Some(1), "another time");
    assert_eq!(
        [ask(Some(0)), ask(Some(2 * month))],
        [None, Some(1)],
        "the clock is right"
    );
    assert_eq!([ask(None), ask(Some(2 * month))], [None, Some(1)], "silence");
    assert_eq!(
        [ask(Some(2 * month + 2)), ask(Some(2 * month + 4))],
        [Some(2), Some(1)],
        "one that creeps"
    );
}

#[test]
fn a_little_is_slewed_and_a_lot_is_stepped() {
    assert_eq!(adjust(at(NOW), 128_000), Adjustment::Slew(128_000));
    assert_eq!(adjust(at(NOW), -5), Adjustment::Slew(-5));
    assert_eq!(adjust(at(NOW), 2_000_000), Adjustment::Step(at(NOW + 2)));
    assert_eq!(adjust(at(NOW), -2_000_000), Adjustment::Step(at(NOW - 2)));
}

#[test]
fn who_does_not_answer_is_asked_more_rarely() {
    let seconds: Vec<_> = [1, 2, 3, 8, 9, 100, u32::MAX]
        .map(|n| pause(n, 0).as_secs())
        .to_vec();
    assert_eq!(seconds, [2, 4, 8, 256, 300, 300, 300]);
    let seconds: Vec<_> = [1, 3, 4, 8, 16, u32::MAX].map(|n| pause(0, n).as_secs()).to_vec();
    assert_eq!(seconds, [64, 64, 128, 256, 1024, 1024]);
    assert_eq!(pause(0, 0), Duration::ZERO);
}

proptest! {
    #[test]
    fn no_answer_moves_the_clock_out_of_bounds(
        offsets in proptest::collection::vec(any::<i64>(), 0..6),
        wall in any::<u32>(),
        built in any::<u32>(),
        in_step in any::<bool>(),
    ) {
        let (wall, bounds) = (at(wall.into()), Bounds::of_image(at(built.into())));
        let samples: Vec<Sample> = offsets
            .iter()
            .map(|micros| Sample { server: String::new(), offset_micros: *micros, delay: Duration::ZERO })
            .collect();
        let mut claim = None;
        for _ in 0..8 {
            let now = Now { wall, since_boot: Duration::ZERO };
            if let Verdict::Follow(sample) = weigh(samples.clone(), now, bounds, in_step, &mut claim)
                && let Adjustment::Step(to) = adjust(wall, sample.offset_micros)
            {
                prop_assert!(bounds.contain(to));
            }
        }
    }
}
