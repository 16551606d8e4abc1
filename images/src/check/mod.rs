//! Takes finished images apart with tools that are not ours, and says what they find.
//!
//! [`subject`] unpacks a bundle, [`tools`] asks minisign, veritysetup and the file system checkers, [`disk_image`] looks
//! at the disk image beside it, [`rules`] holds what a root may contain. A check that finds something is a [`Finding`];
//! an error means that it could not look.

mod disk_image;
mod job;
pub mod rules;
pub mod subject;
pub mod tools;

pub use job::{CheckError, Finding, Job, Outcome};
use subject::Subject;

/// Runs all checks on a bundle and on what lies beside it.
pub fn run(job: &Job<'_>) -> Result<Vec<Finding>, CheckError> {
    let subject = Subject::unpack(job)?;
    let mut findings = vec![
        Finding::new("manifest signature (minisign)", tools::signature(job)),
        Finding::new(
            "hash tree and root hash (veritysetup)",
            tools::verity(&subject.manifest.slot.verity, &subject.slot),
        ),
        Finding::new("root file system (fsck.erofs)", tools::erofs(job, &subject.erofs)),
        Finding::new("EFI system partition (fsck.vfat)", tools::vfat(&subject.esp)),
        Finding::new("loader trusts the keys", subject.loader_keys(job.keys)),
    ];
    match rules::walk(&subject.root) {
        Ok(files) => findings.extend(rules::all(&files, &subject.manifest)),
        Err(source) => {
            return Err(CheckError::Access {
                path: subject.root.clone(),
                source,
            });
        }
    }
    let image = job.bundle.with_extension("img");
    if image.is_file() {
        findings.extend(disk_image::all(&image, &subject));
    }
    Ok(findings)
}
