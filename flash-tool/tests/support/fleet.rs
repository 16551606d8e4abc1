//! A fleet that is flashed by the real program.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use layout::Name;
use machine_config::MachineConfig;
use serde_json::Value;

use super::program::{config, program, table};
use super::{CONFIG, Recipe, Sample, sample};

/// A folder with a bundle, a machine config and a fleet.
pub struct Shop {
    pub sample: Sample,
}

impl Shop {
    pub fn new(fleet: &str) -> Self {
        let sample = sample(&Recipe::default());
        config(&sample, CONFIG);
        let shop = Self { sample };
        shop.write(fleet);
        shop
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.sample.dir.path().join(name)
    }

    pub fn write(&self, rows: &str) {
        let head = "apiVersion: bedplate.dev/v1alpha1\nkind: Fleet\nconfig: node.yaml\ninterface: eth0\ngateway: 10.0.0.1\ncards:\n";
        fs::write(self.path("fleet.yaml"), format!("{head}{rows}")).unwrap();
    }

    pub fn command(&self, arguments: &[&str], targets: &[PathBuf]) -> Command {
        let mut command = program();
        command.arg("--key").arg(&self.sample.key_file);
        command.arg("--fleet").arg(self.path("fleet.yaml"));
        command.args(arguments).arg(&self.sample.bundle).args(targets);
        command
    }

    pub fn run(&self, arguments: &[&str], targets: &[&str]) -> Output {
        let targets: Vec<PathBuf> = targets.iter().map(|name| self.path(name)).collect();
        self.command(arguments, &targets).output().unwrap()
    }
}

/// Returns the lines for programs.
pub fn events(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub fn of<'a>(events: &'a [Value], event: &str) -> Vec<&'a Value> {
    events.iter().filter(|line| line["event"] == event).collect()
}

/// Reads the machine config of a flashed file.
pub fn injected(target: &Path) -> MachineConfig {
    let mut partition = vec![0; machine_config::medium::MAX];
    let start = table(target).unwrap().layout.extent(Name::Config).start;
    File::open(target)
        .unwrap()
        .read_exact_at(&mut partition, start)
        .unwrap();
    machine_config::parse(&machine_config::medium::decode(&partition).unwrap().unwrap()).unwrap()
}

pub fn hostname(target: &Path) -> String {
    injected(target).machine.hostname.unwrap().to_string()
}
