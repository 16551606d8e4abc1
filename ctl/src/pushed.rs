//! A file of this computer that nodes request piece by piece.

use std::fs::File;
use std::io::{IsTerminal as _, stderr};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use api::v1alpha1::{BundleData, BundleWant};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// An open file of a fixed length.
pub struct Pushed {
    file: Arc<File>,
    name: String,
    /// What it is, for messages.
    what: &'static str,
    length: u64,
}

impl Pushed {
    /// Opens a file.
    pub fn open(path: &Path, what: &'static str) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
        let about = file
            .metadata()
            .with_context(|| format!("cannot read the size of {name}"))?;
        anyhow::ensure!(about.is_file(), "{name} is not a file; expected {what}");
        Ok(Self {
            length: about.len(),
            file: Arc::new(file),
            name,
            what,
        })
    }

    /// Returns its length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Reads the data that a node requests.
    pub async fn piece(&self, want: BundleWant) -> anyhow::Result<BundleData> {
        let length = usize::try_from(want.length).unwrap_or(usize::MAX);
        let end = want.offset.checked_add(want.length.into());
        anyhow::ensure!(
            length <= api::MAX_DATA && end.is_some_and(|end| end <= self.length),
            "the node requested {} bytes at offset {} of {} of {} bytes: it may run another version of the API",
            want.length,
            want.offset,
            self.what,
            self.length
        );
        let file = self.file.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut data = vec![0; length];
            file.read_exact_at(&mut data, want.offset)?;
            Ok::<_, std::io::Error>(data)
        });
        let data = read
            .await
            .context("reading was interrupted")?
            .with_context(|| format!("cannot read {}", self.name))?;
        Ok(BundleData {
            offset: want.offset,
            data,
        })
    }

    /// Returns a bar for its bytes; one that shows nothing where there is no terminal.
    pub fn bar(&self, message: &str) -> ProgressBar {
        let target = match stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(self.length), target);
        let template = "{msg:<24} {wide_bar} {binary_bytes:>10} / {binary_total_bytes} {eta:>4}";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is constant"));
        bar.set_message(message.to_owned());
        bar
    }
}
