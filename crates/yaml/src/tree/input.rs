//! The input of the YAML scanner.

use saphyr_parser::input::SkipTabs;
use saphyr_parser::{Input, StrInput};

/// A text whose tabs separate words like spaces.
///
/// YAML allows a tab after the `:` of a key; the scanner requires a space there. What must not follow one, such as a second
/// key or the first entry of a list, the scanner refuses later with its own message.
pub(super) struct Tabs<'a>(StrInput<'a>);

impl<'a> Tabs<'a> {
    /// Makes the input of a text.
    pub fn new(text: &'a str) -> Self {
        Self(StrInput::new(text))
    }
}

impl Input for Tabs<'_> {
    fn skip_ws_to_eol(&mut self, skip_tabs: SkipTabs) -> (usize, Result<SkipTabs, &'static str>) {
        let (skipped, found) = self.0.skip_ws_to_eol(skip_tabs);
        let found = found.map(|found| {
            SkipTabs::Result(
                found.found_tabs(),
                found.has_valid_yaml_ws() || found.found_tabs(),
            )
        });
        (skipped, found)
    }

    fn lookahead(&mut self, count: usize) {
        self.0.lookahead(count);
    }

    fn buflen(&self) -> usize {
        self.0.buflen()
    }

    fn bufmaxlen(&self) -> usize {
        self.0.bufmaxlen()
    }

    fn raw_read_ch(&mut self) -> char {
        self.0.raw_read_ch()
    }

    fn raw_read_non_breakz_ch(&mut self) -> Option<char> {
        self.0.raw_read_non_breakz_ch()
    }

    fn skip(&mut self) {
        self.0.skip();
    }

    fn skip_n(&mut self, count: usize) {
        self.0.skip_n(count);
    }

    fn peek(&self) -> char {
        self.0.peek()
    }

    fn peek_nth(&self, n: usize) -> char {
        self.0.peek_nth(n)
    }

    fn peek_opt(&self) -> Option<char> {
        self.0.peek_opt()
    }
}
