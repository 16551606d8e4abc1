//! Upgrades a slot in a file from a bundle in a file: for measuring, on any machine.
//!
//! `install BUNDLE KEY.pub OLD-SLOT NEW-SLOT`: both slots are files of a partition's length; the old one holds a release.
//! Prints what was fetched and written as JSON.

use std::error::Error;
use std::fs::{self, File};
use std::ops::ControlFlow;

use manifest::{TrustedKey, trailer};
use medium::{FileMedium, Medium};
use slots::Slot;
use upgrade::{Disk, Progress, Release, Slots, install};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bundle, key, old, new] = arguments.as_slice() else {
        return Err("usage: install BUNDLE KEY.pub OLD-SLOT NEW-SLOT".into());
    };
    let key = TrustedKey::parse(&fs::read_to_string(key)?)?;
    let mut running = FileMedium::new(File::open(old)?)?;
    let mut target = FileMedium::new(File::options().read(true).write(true).open(new)?)?;
    let record = tempfile::tempfile()?;
    record.set_len(1 << 20)?;
    let mut bootstate = FileMedium::new(record)?;

    let mut area = vec![0; trailer::AREA];
    running.read_at(running.len() - trailer::AREA as u64, &mut area)?;
    let texts = trailer::decode(&area)?;
    let manifest = manifest::verify(texts.json, texts.signatures, &[key])?;
    let mut release = Release::open(File::open(bundle)?, &[key])?;
    let mut disk = Disk {
        bootstate: &mut bootstate,
        slots: Slots {
            running: &mut running,
            old: &manifest,
            target: &mut target,
            slot: Slot::B,
        },
    };
    let report = install(&mut release, &mut disk, &mut |_: Progress| {
        ControlFlow::Continue(())
    })?;
    stdio::line(format_args!(
        "{{\"fetched\": {}, \"written\": {}, \"full\": {}, \"choice\": \"{:?}\"}}",
        report.progress.fetched, report.progress.written, report.plan.full, report.plan.choice
    ))?;
    Ok(())
}
