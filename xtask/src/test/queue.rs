//! Which stage runs next, and stages under way.

use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::count::Count;
use super::stages::{Lane, Stage};
use super::table::Row;
use crate::paths;

/// Two compilers of large crates at a time, on each of two cores, take this much memory, in KiB.
const FOR_TWO_LANES: u64 = 5 << 20;

/// Stages that have not begun.
pub struct Queue {
    waiting: Vec<Stage>,
    /// Lanes that are used at a time.
    lanes: usize,
    busy: Vec<(&'static str, Lane)>,
    failed: Vec<&'static str>,
}

impl Queue {
    /// Runs stages in their order, in so many lanes at a time.
    pub fn new(stages: Vec<Stage>, lanes: usize) -> Queue {
        Queue {
            waiting: stages,
            lanes,
            busy: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Takes the stages that can begin. A stage whose need failed is left out, and so are those that need it.
    pub fn ready(&mut self) -> Vec<Stage> {
        let mut ready = Vec::new();
        for lane in [Lane::Checks, Lane::Builds] {
            self.drop_hopeless();
            if self.busy.len() < self.lanes
                && let Some(number) = self.first(lane)
            {
                let stage = self.waiting.remove(number);
                self.busy.push((stage.name, lane));
                ready.push(stage);
            }
        }
        ready
    }

    /// Frees the lane of a stage that has ended.
    pub fn ended(&mut self, name: &'static str, passed: bool) {
        self.busy.retain(|(busy, _)| *busy != name);
        if !passed {
            self.failed.push(name);
        }
    }

    /// Finds the first stage of a lane, when the lane is free and what the stage needs has ended.
    fn first(&self, lane: Lane) -> Option<usize> {
        let number = self.waiting.iter().position(|stage| stage.lane == lane)?;
        let open = |need: &&str| {
            self.busy.iter().any(|(busy, _)| busy == need)
                || self.waiting.iter().any(|stage| stage.name == *need)
        };
        let free = !self.busy.iter().any(|(_, busy)| *busy == lane);
        let can = free && !self.waiting[number].needs.iter().any(open);
        can.then_some(number)
    }

    fn drop_hopeless(&mut self) {
        let mut failed = std::mem::take(&mut self.failed);
        self.waiting.retain(|stage| {
            let hopeless = stage.needs.iter().any(|need| failed.contains(need));
            if hopeless {
                failed.push(stage.name);
            }
            !hopeless
        });
        self.failed = failed;
    }
}

/// A stage under way.
pub struct Running {
    stage: Stage,
    process: Child,
    began: Instant,
    log: PathBuf,
}

/// How a stage ended.
pub struct End {
    /// Set when all of it passed.
    pub result: Result<()>,
    worked: Duration,
}

impl Running {
    /// Starts a stage, with a log of its own.
    pub fn start(mut stage: Stage) -> Result<Running> {
        let log = paths::test_logs().join(format!("{}.log", stage.name));
        stage.program = stage.program.log(log.clone());
        Ok(Running {
            process: stage.program.start()?,
            stage,
            began: Instant::now(),
            log,
        })
    }

    /// Returns its name.
    pub fn name(&self) -> &'static str {
        self.stage.name
    }

    /// Returns how it ended, once it has.
    pub fn ended(&mut self) -> Result<Option<End>> {
        // One thread waits for all of them: what is added to the account of the ended is this one's.
        let before = children_worked();
        let status = self.process.try_wait().context("cannot wait for a stage")?;
        Ok(status.map(|status| End {
            worked: children_worked().saturating_sub(before),
            result: self.stage.program.judge(status),
        }))
    }

    /// Sums up what it checked and took.
    pub fn row(&self, end: &End, begun: Instant) -> Row {
        let mut count = Count::of_log(&fs::read_to_string(&self.log).unwrap_or_default());
        match &end.result {
            Ok(()) if count == Count::default() => count.passed = 1,
            Err(_) if count.failed == 0 => count.failed = 1,
            _ => {}
        }
        Row {
            name: self.stage.name,
            count,
            began: self.began - begun,
            took: self.began.elapsed(),
            worked: end.worked,
        }
    }
}

/// Returns how many lanes this machine has room for.
pub fn lanes() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    if cores > 1 && available(&meminfo).is_none_or(|kib| kib >= FOR_TWO_LANES) {
        2
    } else {
        1
    }
}

/// Reads the memory that programs can still have, in KiB.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Returns the processor time of all child processes that have ended, with that of theirs.
fn children_worked() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    parse_children(&stat).unwrap_or_default()
}

/// Reads `cutime` and `cstime`: fields 16 and 17, in hundredths of a second. The second field may hold blanks.
fn parse_children(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(13);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks()? + ticks()?) * 10))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Program;

    fn stage(name: &'static str, lane: Lane, needs: &'static [&'static str]) -> Stage {
        Stage {
            name,
            program: Program::new("true"),
            lane,
            needs,
        }
    }

    fn queue(lanes: usize) -> Queue {
        let stages = vec![
            stage("clippy", Lane::Checks, &[]),
            stage("test", Lane::Checks, &[]),
            stage("nodes", Lane::Builds, &[]),
            stage("e2e", Lane::Checks, &["nodes"]),
            stage("after", Lane::Checks, &["e2e"]),
        ];
        Queue::new(stages, lanes)
    }

    fn ready(queue: &mut Queue) -> Vec<&'static str> {
        queue.ready().iter().map(|stage| stage.name).collect()
    }

    #[test]
    fn lanes_run_side_by_side_and_wait_for_what_they_need() {
        let mut queue = queue(2);
        assert_eq!(ready(&mut queue), ["clippy", "nodes"]);
        queue.ended("clippy", false);
        assert_eq!(ready(&mut queue), ["test"], "a failure does not stop the rest");
        queue.ended("test", true);
        assert!(ready(&mut queue).is_empty(), "nodes are being built");
        queue.ended("nodes", true);
        assert_eq!(ready(&mut queue), ["e2e"]);
        queue.ended("e2e", true);
        assert_eq!(ready(&mut queue), ["after"]);
        queue.ended("after", true);
        assert!(ready(&mut queue).is_empty());
    }

    #[test]
    fn with_one_lane_nothing_runs_side_by_side() {
        let mut queue = queue(1);
        for name in ["clippy", "test", "nodes", "e2e", "after"] {
            assert_eq!(ready(&mut queue), [name]);
            assert!(ready(&mut queue).is_empty());
            queue.ended(name, true);
        }
    }

    #[test]
    fn what_needs_a_failure_is_left_out() {
        let mut queue = queue(2);
        ready(&mut queue);
        queue.ended("nodes", false);
        queue.ended("clippy", true);
        assert_eq!(ready(&mut queue), ["test"]);
        queue.ended("test", true);
        assert!(ready(&mut queue).is_empty());
        assert!(queue.waiting.is_empty());
    }

    #[test]
    fn the_kernel_tells_memory_and_time() {
        assert_eq!(
            available("MemTotal: 9 kB\nMemAvailable:    8388608 kB\n"),
            Some(8 << 20)
        );
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194304 100 200 0 0 11 22 300 45 20 0 1 0 5000";
        assert_eq!(parse_children(stat), Some(Duration::from_millis(3450)));
        assert_eq!(parse_children("42 (x) S 1"), None);
    }
}
