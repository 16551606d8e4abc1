//! Between which moments any time must lie, by the age of the image.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// No image is in use for longer: a later time is a mistake, of a clock or of a server.
const LONGEST_USE: Duration = Duration::from_secs(40 * 365 * 86_400);
/// The year 2100, for an image whose age is not known.
const FAR: Duration = Duration::from_secs(4_102_444_800);
/// How long an era of NTP is: its seconds have 32 bits.
const ERA_MICROS: i128 = (1 << 32) * 1_000_000;
/// How far before the image's age an answer is still taken as such, and not as one of the next era.
const BEFORE: Duration = Duration::from_secs(20 * 365 * 86_400);

/// The moments between which a time can be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// When the image was made.
    pub earliest: SystemTime,
    /// When no such image is in use any more.
    pub latest: SystemTime,
}

impl Bounds {
    /// Makes the bounds of an image that was made then; at 1970 when that is not known.
    pub fn of_image(built: SystemTime) -> Self {
        let latest = if built > UNIX_EPOCH {
            built + LONGEST_USE
        } else {
            UNIX_EPOCH + FAR
        };
        Self {
            earliest: built,
            latest,
        }
    }

    /// Returns true if a time can be true.
    pub fn contain(&self, time: SystemTime) -> bool {
        (self.earliest..=self.latest).contains(&time)
    }

    /// Finds the era that an answer is of: NTP tells the time only modulo 136 years.
    ///
    /// The image's age decides, never the clock, which may be the thing that is wrong. What results may still lie out
    /// of bounds.
    pub fn in_era(&self, now: SystemTime, offset_micros: i64) -> i64 {
        let (now, start) = (micros(now), micros(self.earliest) - micros(UNIX_EPOCH + BEFORE));
        let told = now + i128::from(offset_micros);
        let in_era = start + (told - start).rem_euclid(ERA_MICROS);
        i64::try_from(in_era - now).unwrap_or(offset_micros)
    }
}

fn micros(time: SystemTime) -> i128 {
    let signed = |length: Duration| i128::try_from(length.as_micros()).unwrap_or(i128::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => signed(since),
        Err(before) => -signed(before.duration()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const YEAR: u64 = 365 * 86_400 + 21_600;

    fn year(year: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs((year - 1970) * YEAR)
    }

    #[test]
    fn the_era_is_the_images_whatever_the_clock_says() {
        let bounds = Bounds::of_image(year(2026));
        // The clock, the truth, and how sntpc sees the difference: folded into half an era.
        for (clock, truth) in [
            (2099, 2027),
            (2163, 2027),
            (1970, 2027),
            (2035, 2037),
            (2027, 2065),
            (2030, 2020),
        ] {
            let (clock, truth) = (year(clock), year(truth));
            let off = micros(truth) - micros(clock);
            let half = ERA_MICROS / 2;
            let folded = (off + half).rem_euclid(ERA_MICROS) - half;
            let found = bounds.in_era(clock, i64::try_from(folded).unwrap());
            assert_eq!(i128::from(found), off, "{clock:?} {truth:?}");
        }
    }

    #[test]
    fn an_image_without_an_age_bounds_little() {
        let bounds = Bounds::of_image(UNIX_EPOCH);
        assert!(bounds.contain(year(2026)) && bounds.contain(year(1999)) && !bounds.contain(year(2163)));
    }

    proptest! {
        #[test]
        fn an_answer_keeps_its_place_in_the_era(now in any::<u32>(), offset in any::<i64>(), built in any::<u32>()) {
            let at = |seconds: u32| UNIX_EPOCH + Duration::from_secs(seconds.into());
            let found = Bounds::of_image(at(built)).in_era(at(now), offset);
            prop_assert_eq!((i128::from(found) - i128::from(offset)).rem_euclid(ERA_MICROS), 0);
        }
    }
}
