//! What the kernel says of mounts.

/// A line of `/proc/self/mountinfo`.
pub(super) struct Mount<'a> {
    /// Major and minor number of what is mounted.
    pub number: &'a str,
    /// Where it is mounted, blanks written as the kernel writes them.
    pub at: &'a str,
    /// What is mounted.
    pub source: &'a str,
}

impl<'a> Mount<'a> {
    /// Reads a line; nothing for one of another form.
    pub fn parse(line: &'a str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(2);
        let (number, at) = (left.next()?, left.nth(1)?);
        Some(Self {
            number,
            at,
            source: right.split(' ').nth(1)?,
        })
    }
}

/// Undoes the kernel's way of writing blanks in paths.
pub(super) fn unescape(path: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(path.to_owned(), |path, (code, character)| {
            path.replace(code, character)
        })
}
