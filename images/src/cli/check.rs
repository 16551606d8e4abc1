//! `bedplate-image check`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use images::check::{Finding, Job, Outcome, run};
use images::erofs::Tool;
use images::packages::lock::Lock;
use images::report::Progress;
use serde_json::json;
use signing::load_public;

use super::{Global, Output};

/// Take images apart with tools that are not ours.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// A bundle, or a folder of bundles.
    path: PathBuf,
    /// Public key that the manifests are signed with; may be given several times.
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// Also fail when a tool is not installed.
    #[arg(long)]
    strict: bool,
}

impl Check {
    /// Runs the command.
    pub fn run(self, global: &Global) -> Result<ExitCode> {
        let progress = Progress::new(global.quiet);
        let keys = self
            .key
            .iter()
            .map(|path| load_public(path))
            .collect::<Result<Vec<_>, _>>()?;
        let mut fetcher = global.places.fetcher(Lock::load(&global.places.lock_path()?)?)?;
        let (erofs, _) = Tool::get(&mut fetcher, &global.places.cache()?)?;
        let mut failed = false;
        let mut results = Vec::new();
        for bundle in self.bundles()? {
            progress.step(&format!("checking {}", bundle.display()));
            let job = Job {
                bundle: &bundle,
                key_files: &self.key,
                keys: &keys,
                erofs: &erofs,
            };
            let findings = run(&job)?;
            failed |= findings.iter().any(|finding| self.fails(finding));
            if global.output == Output::Text {
                stdio::line(bundle.display())?;
                findings
                    .iter()
                    .try_for_each(|finding| stdio::line(line(finding)))?;
            }
            results.push(json!({"bundle": bundle.to_string_lossy(), "findings": findings}));
        }
        if global.output == Output::Json {
            stdio::line(format_args!("{:#}", json!(results)))?;
        }
        Ok(if failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }

    fn bundles(&self) -> Result<Vec<PathBuf>> {
        if self.path.is_file() {
            return Ok(vec![self.path.clone()]);
        }
        let entries =
            std::fs::read_dir(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        let mut bundles: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "bundle"))
            .collect();
        bundles.sort();
        if bundles.is_empty() {
            bail!("no .bundle file in {}", self.path.display());
        }
        Ok(bundles)
    }

    fn fails(&self, finding: &Finding) -> bool {
        match finding.outcome {
            Outcome::Passed(_) => false,
            Outcome::Failed(_) => true,
            Outcome::Skipped(_) => self.strict,
        }
    }
}

fn line(finding: &Finding) -> String {
    let (word, detail) = match &finding.outcome {
        Outcome::Passed(detail) => ("ok", detail),
        Outcome::Failed(detail) => ("FAILED", detail),
        Outcome::Skipped(detail) => ("skipped", detail),
    };
    let detail = if detail.is_empty() {
        String::new()
    } else {
        format!(": {detail}")
    };
    format!("  {word:8}{}{detail}", finding.check)
}
