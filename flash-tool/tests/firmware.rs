//! Lines of the machine config for the firmware, on the medium and in refusals.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use std::fs::{self, File};
use std::io::{Cursor, Read as _, Seek as _, SeekFrom, Write as _};
use std::process::{Command, Output, Stdio};

use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
use firmware_files::SETTINGS;
use layout::{Name, Table};
use support::{CONFIG, MIB, Recipe, Sample, sample};

const OWN: &str = "arm_64bit=1\nenable_uart=1\n";
const SETTINGS_TEXT: &str = "path: config.txt
heading: '[all]'
overlays: overlays
overlayLine: 'dtoverlay={name}'
parameterSeparator: ','
reserved: [kernel]
";

/// A FAT32 volume as an image has it, with files.
fn volume(files: &[(&str, &str)]) -> Vec<u8> {
    let mut disk = Cursor::new(vec![0; 40 << 20]);
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(512);
    fatfs::format_volume(&mut disk, options).unwrap();
    let volume = FileSystem::new(&mut disk, FsOptions::new()).unwrap();
    for folder in ["EFI", "EFI/bedplate"] {
        volume.root_dir().create_dir(folder).unwrap();
    }
    for (path, text) in files {
        let mut file = volume.root_dir().create_file(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
    volume.unmount().unwrap();
    disk.into_inner()
}

fn bundle(files: &[(&str, &str)]) -> Sample {
    sample(&Recipe {
        volume: Some(volume(files)),
        ..Recipe::default()
    })
}

/// Flashes into a file with a config that has these lines.
fn flash(sample: &Sample, lines: &str) -> Output {
    let config = sample.dir.path().join("config.yaml");
    let firmware = format!("machine:\n  firmware: {{config: {lines}}}\n");
    fs::write(&config, CONFIG.replacen("machine:\n", &firmware, 1)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedplate-flash"));
    command
        .arg("--key")
        .arg(&sample.key_file)
        .args(["--yes", "--size=512M", "--config"])
        .arg(config);
    command
        .args([&sample.bundle, &sample.dir.path().join("disk.img")])
        .stdin(Stdio::null());
    command.output().unwrap()
}

#[test]
fn lines_are_in_the_file_before_the_first_start() {
    let sample = bundle(&[("config.txt", OWN), (SETTINGS, SETTINGS_TEXT)]);
    // Twice: the second flash finds what the first one wrote.
    for _ in 0..2 {
        let output = flash(&sample, "[dtparam=spi=on, hdmi_group=1]");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let mut disk = File::options()
            .read(true)
            .write(true)
            .open(sample.dir.path().join("disk.img"))
            .unwrap();
        let esp = Table::read(&mut disk).unwrap().layout.extent(Name::Esp);
        let mut bytes = vec![0; (40 * MIB) as usize];
        disk.seek(SeekFrom::Start(esp.start)).unwrap();
        disk.read_exact(&mut bytes).unwrap();
        let volume = FileSystem::new(Cursor::new(bytes), FsOptions::new()).unwrap();
        let mut text = String::new();
        volume
            .root_dir()
            .open_file("config.txt")
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        let expected =
            format!("{OWN}# machine.firmware of the machine config:\n[all]\ndtparam=spi=on\nhdmi_group=1\n");
        assert_eq!(text, expected);
    }
}

#[test]
fn what_the_firmware_cannot_take_is_refused_before_anything_is_written() {
    let pi = bundle(&[("config.txt", OWN), (SETTINGS, SETTINGS_TEXT)]);
    let other = bundle(&[]);
    for (sample, lines, why) in [
        (
            &pi,
            "[a=1, kernel=mine.img]",
            "machine.firmware.config[1]: \"kernel=mine.img\" sets kernel",
        ),
        (
            &pi,
            "[enable_uart=0]",
            "the line \"enable_uart=1\" of the release",
        ),
        (&other, "[a=1]", "the board's firmware has no configuration file"),
    ] {
        let output = flash(sample, lines);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{lines}: {said}");
        assert!(!sample.dir.path().join("disk.img").exists());
    }
}
