//! Every target passes on every input of its corpus: no fault that was found once returns.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use fuzz::TARGETS;
use manifest::Manifest;
use rollout::Rollout;

/// The most inputs of a target.
const INPUTS: usize = 110;
/// The most bytes in total.
const BYTES: usize = 1 << 20;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

#[test]
fn every_input_is_as_harmless_as_it_should_be() {
    for target in TARGETS {
        for path in files(&corpus().join(target.name)) {
            let data = fs::read(&path).unwrap();
            let result = catch_unwind(|| (target.run)(&data));
            assert!(result.is_ok(), "{} fails on {}", target.name, path.display());
        }
    }
}

#[test]
fn every_target_has_a_small_corpus_and_every_corpus_a_target() {
    let folders: Vec<String> = files(&corpus())
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(folders, names);
    let mut bytes = 0;
    for name in names {
        let files = files(&corpus().join(name));
        assert!(
            (1..=INPUTS).contains(&files.len()),
            "{name} has {} inputs",
            files.len()
        );
        bytes += files
            .iter()
            .map(|path| fs::metadata(path).unwrap().len() as usize)
            .sum::<usize>();
    }
    assert!(bytes <= BYTES, "{bytes} bytes");
}

/// A changed format invalidates its seeds, and a fuzzer that starts from invalid inputs finds nothing.
#[test]
fn what_fuzzing_starts_from_is_sound() {
    let read = |path: &str| fs::read(corpus().join(path)).unwrap();
    let text = |path: &str| String::from_utf8(read(path)).unwrap();
    for name in ["golden", "every-field", "qemu-arm64", "rpi3"] {
        Manifest::parse_unverified(&read(&format!("manifest/{name}.json"))).unwrap();
    }
    for name in ["every-field", "generated"] {
        machine_config::parse(&text(&format!("machine-config/{name}.yaml"))).unwrap();
    }
    let path = Path::new("seed.yaml");
    for name in ["arm64", "generic-arm64", "rpi3"] {
        board::document::parse_board(&text(&format!("board/{name}.yaml")), path).unwrap();
    }
    for name in ["base", "containerd"] {
        board::document::parse_overlay(&text(&format!("overlay/{name}.yaml")), path).unwrap();
    }
    let services = yaml::from_str(&text("services/containerd.yaml")).unwrap();
    assert_eq!(service_definition::check(services).unwrap().iter().count(), 2);
    Rollout::parse_unverified(&read("rollout/every-field.json")).unwrap();
    slots::decode(&read("slot-record/trial")).unwrap();
    machine_config::medium::decode(&read("config-partition/generated"))
        .unwrap()
        .unwrap();
}
