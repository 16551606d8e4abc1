//! Progress on standard error: a bar on a terminal, lines elsewhere.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::Progress;
use crate::watch::{Stage, Watch};

/// What progress is shown as, here and now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Bars,
    Lines,
    Nothing,
}

impl Shown {
    pub fn of(wanted: Progress) -> Self {
        match wanted {
            Progress::Auto if io::stderr().is_terminal() => Shown::Bars,
            Progress::Auto | Progress::Plain => Shown::Lines,
            Progress::None => Shown::Nothing,
        }
    }
}

/// Shows each stage, as whoever watches wants it.
pub(crate) enum Bars {
    /// With its rate and the time left.
    Bar(Option<ProgressBar>),
    /// In lines, with its quarters.
    Plain(Quarters),
    /// Not at all.
    None,
}

impl Bars {
    pub fn new(progress: Progress) -> Self {
        match Shown::of(progress) {
            Shown::Bars => Bars::Bar(None),
            Shown::Lines => Bars::Plain(Quarters::default()),
            Shown::Nothing => Bars::None,
        }
    }

    /// Leaves the last bar as it is.
    pub fn end(&mut self) {
        if let Bars::Bar(bar) = self
            && let Some(bar) = bar.take()
        {
            bar.finish();
        }
    }
}

impl Watch for Bars {
    fn stage(&mut self, stage: Stage, bytes: u64) {
        self.end();
        match self {
            Bars::Bar(shown) => *shown = Some(bar(stage, bytes)),
            Bars::Plain(quarters) => {
                *quarters = Quarters {
                    bytes,
                    ..Quarters::default()
                };
                stdio::note(stage.title());
            }
            Bars::None => {}
        }
    }

    fn advance(&mut self, bytes: u64) {
        match self {
            Bars::Bar(Some(bar)) => bar.inc(bytes),
            Bars::Plain(quarters) => {
                if let Some(percent) = quarters.advance(bytes) {
                    stdio::note(format_args!("{percent} %"));
                }
            }
            Bars::Bar(None) | Bars::None => {}
        }
    }
}

fn bar(stage: Stage, bytes: u64) -> ProgressBar {
    let template = match stage {
        Stage::Check | Stage::Write | Stage::ReadBack => {
            "{msg:<32} {wide_bar} {binary_bytes:>10} {binary_bytes_per_sec:>12} {eta:>4}"
        }
        Stage::Erase | Stage::Finish | Stage::Inspect => "{msg:<32}",
    };
    let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template(template).expect("the templates are constants"));
    bar.set_message(stage.title());
    // A flash can take seconds: the clock continues in the meantime.
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A stage with less than this is over before anybody has read of its quarters.
const LONG: u64 = 256 << 20;

/// How far a stage is.
#[derive(Debug, Default)]
pub(crate) struct Quarters {
    bytes: u64,
    done: u64,
    told: u64,
}

impl Quarters {
    /// Adds bytes; returns the percentage if another quarter of a long stage is done, and it is not the last.
    fn advance(&mut self, bytes: u64) -> Option<u64> {
        self.done += bytes;
        if self.bytes < LONG {
            return None;
        }
        let quarter = (self.done * 4 / self.bytes).min(4);
        let is_next = quarter > self.told && quarter < 4;
        self.told = quarter;
        is_next.then_some(quarter * 25)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_of_what_is_long_are_told_once() {
        let told = |bytes: u64, steps: &[u64]| {
            let mut quarters = Quarters {
                bytes,
                ..Quarters::default()
            };
            steps
                .iter()
                .filter_map(|step| quarters.advance(*step))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            told(LONG, &[LONG / 4, 1, LONG / 4, LONG / 4, LONG / 4]),
            [25, 50, 75]
        );
        assert_eq!(told(LONG, &[LONG / 2, LONG / 2]), [50]);
        assert_eq!(told(LONG, &[LONG]), [0; 0]);
        assert_eq!(told(LONG - 1, &[LONG / 2]), [0; 0]);
        assert_eq!(told(0, &[5]), [0; 0]);
    }
}
