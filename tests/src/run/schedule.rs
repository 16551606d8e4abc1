//! Which scenario begins next, and how many machines run at a time. Decides only.

use crate::scenario::Scenario;

/// Machines that two cores can serve at a time: more than half of a scenario is waiting.
const PER_TWO_CORES: usize = 5;
/// What a machine takes of the memory, with what is run beside it, in MiB.
const PER_MACHINE: u64 = 1280;
/// What is left to everything else, in MiB.
const RESERVED: u64 = 512;

/// Scenarios that have not begun, and the places for machines that are free.
pub struct Schedule {
    /// The longest first.
    waiting: Vec<&'static Scenario>,
    places: usize,
    free: usize,
}

/// A scenario that was given places.
#[derive(Clone, Copy)]
pub struct Turn {
    /// The scenario.
    pub scenario: &'static Scenario,
    /// How many machines it may have on at a time.
    pub machines: usize,
}

impl Schedule {
    /// Orders scenarios, for a number of places.
    pub fn new(mut scenarios: Vec<&'static Scenario>, places: usize) -> Schedule {
        scenarios.sort_by_key(|scenario| std::cmp::Reverse(scenario.takes));
        Schedule {
            waiting: scenarios,
            places,
            free: places,
        }
    }

    /// Takes the longest scenario for which there is room.
    pub fn next(&mut self) -> Option<Turn> {
        let machines = |scenario: &Scenario| scenario.machines.min(self.places);
        let fits = |scenario: &&'static Scenario| machines(scenario) <= self.free;
        let scenario = self.waiting.remove(self.waiting.iter().position(fits)?);
        let machines = machines(scenario);
        self.free -= machines;
        Some(Turn { scenario, machines })
    }

    /// Returns back the places of a scenario that has ended.
    pub fn ended(&mut self, turn: Turn) {
        self.free += turn.machines;
    }
}

/// Returns how many machines run at a time on this many cores, with so much memory available.
pub fn places(cores: usize, available_mib: u64) -> usize {
    let fit = available_mib.saturating_sub(RESERVED) / PER_MACHINE;
    let fit = usize::try_from(fit).unwrap_or(usize::MAX);
    (cores * PER_TWO_CORES / 2).min(fit).max(1)
}

/// Reads the memory that programs can still have out of `/proc/meminfo`, in MiB.
pub fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Processors;
    use std::time::Duration;

    const fn scenario(name: &'static str, takes: u64, machines: usize) -> Scenario {
        Scenario {
            name,
            shows: "",
            limit: Duration::ZERO,
            machines,
            processors: Processors::One,
            takes,
            run: |_| Ok(()),
        }
    }

    static LONG: Scenario = scenario("long", 400, 2);
    static WIDE: Scenario = scenario("wide", 300, 3);
    static SHORT: Scenario = scenario("short", 10, 1);
    static TINY: Scenario = scenario("tiny", 5, 1);

    fn next(schedule: &mut Schedule) -> Option<&'static str> {
        schedule.next().map(|turn| turn.scenario.name)
    }

    #[test]
    fn the_longest_that_fits_begins_first() {
        let mut schedule = Schedule::new(vec![&TINY, &WIDE, &SHORT, &LONG], 4);
        let long = schedule.next().unwrap();
        assert_eq!(long.scenario.name, "long");
        assert_eq!(
            next(&mut schedule),
            Some("short"),
            "there is no room for the wide one"
        );
        assert_eq!(next(&mut schedule), Some("tiny"));
        assert_eq!(next(&mut schedule), None);
        schedule.ended(long);
        assert_eq!(next(&mut schedule), None, "three places are needed");
        schedule.ended(Turn {
            scenario: &TINY,
            machines: 1,
        });
        assert_eq!(next(&mut schedule), Some("wide"));
        assert!(schedule.waiting.is_empty());
    }

    #[test]
    fn a_wide_one_makes_do_with_what_there_is() {
        let mut schedule = Schedule::new(vec![&WIDE], 1);
        assert_eq!(schedule.next().unwrap().machines, 1);
    }

    #[test]
    fn machines_are_limited_by_cores_and_by_memory() {
        assert_eq!(places(2, 16_000), 5);
        assert_eq!(places(2, 4_400), 3);
        assert_eq!(places(8, 600), 1);
    }

    #[test]
    fn the_kernel_tells_the_memory() {
        let text = "MemTotal:       24576000 kB\nMemAvailable:    8388608 kB\nBuffers: 1 kB\n";
        assert_eq!(available(text), Some(8192));
        assert_eq!(available("MemTotal: 1 kB"), None);
    }
}
