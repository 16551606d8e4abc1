//! Progress on standard error: a bar on a terminal, a line per stage elsewhere.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::watch::{Stage, Watch};

/// Shows each stage with its rate and the time left.
pub(crate) struct Bars {
    bar: Option<ProgressBar>,
    terminal: bool,
}

impl Bars {
    pub fn new() -> Self {
        Self {
            bar: None,
            terminal: io::stderr().is_terminal(),
        }
    }

    /// Leaves the last bar as it is.
    pub fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish();
        }
    }
}

impl Watch for Bars {
    fn stage(&mut self, stage: Stage, bytes: u64) {
        self.end();
        if !self.terminal {
            stdio::note(stage.title());
            return;
        }
        let template = match stage {
            Stage::Check | Stage::Write | Stage::ReadBack => {
                "{msg:<32} {wide_bar} {binary_bytes:>10} {binary_bytes_per_sec:>12} {eta:>4}"
            }
            Stage::Erase | Stage::Finish | Stage::Inspect => "{msg:<32}",
        };
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template(template).expect("the templates are constants"));
        bar.set_message(stage.title());
        // A flush can take seconds: the clock continues in the meantime.
        bar.enable_steady_tick(Duration::from_millis(200));
        self.bar = Some(bar);
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }
}
