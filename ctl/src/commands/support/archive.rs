//! The archive: a compressed tar of texts.

use anyhow::Context as _;

/// The folder in the archive that everything is in.
const TOP: &str = "bedplate-support";
/// The most bytes of text in all: some hundred nodes.
const MOST: usize = 512 * 1024 * 1024;
/// The level of compression: logs are small after any.
const LEVEL: i32 = 6;

/// An archive that is being made.
pub struct Archive {
    tar: tar::Builder<zstd::Encoder<'static, Vec<u8>>>,
    /// The date of all files, in seconds since 1970.
    seconds: u64,
    bytes: usize,
}

impl Archive {
    /// Begins an archive.
    pub fn new(seconds: u64) -> anyhow::Result<Self> {
        let encoder = zstd::Encoder::new(Vec::new(), LEVEL).context("cannot begin to compress")?;
        Ok(Self {
            tar: tar::Builder::new(encoder),
            seconds,
            bytes: 0,
        })
    }

    /// Adds a file.
    ///
    /// # Errors
    ///
    /// The archive would be too large.
    pub fn add(&mut self, name: &str, text: &str) -> anyhow::Result<()> {
        self.bytes += text.len();
        anyhow::ensure!(
            self.bytes <= MOST,
            "the archive would have more than {}; ask fewer nodes at a time with --nodes",
            crate::ui::bytes(MOST as u64)
        );
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(self.seconds);
        self.tar
            .append_data(&mut header, format!("{TOP}/{name}"), text.as_bytes())
            .with_context(|| format!("cannot add {name} to the archive"))
    }

    /// Returns the archive.
    pub fn finish(self) -> anyhow::Result<Vec<u8>> {
        let encoder = self.tar.into_inner().context("cannot end the archive")?;
        encoder.finish().context("cannot compress the archive")
    }
}
