//! Results that cannot be written.

mod program;

use std::fs::File;
use std::io;
use std::process::{Command, Output, Stdio};

use program::Home;

fn run(command: &mut Command, stdout: impl Into<Stdio>) -> Output {
    command.stdout(stdout).output().expect("the program runs")
}

#[test]
fn a_result_that_is_lost_is_an_error_of_its_own() {
    let home = Home::new();
    for arguments in [
        &["gen", "secrets"][..],
        &["completions", "bash"],
        &["flash", "--completions=bash"],
        &["flash", "--help"],
        &["--version"],
    ] {
        let full = File::options().write(true).open("/dev/full").expect("/dev/full");
        let lost = run(&mut home.command(arguments), full);
        let said = String::from_utf8_lossy(&lost.stderr);
        assert_eq!(lost.status.code(), Some(74), "{arguments:?}: {said}");
        let told = said.contains("cannot write the result to standard output");
        assert!(
            told || arguments.last().is_some_and(|last| last.starts_with("--")),
            "{said}"
        );
    }
    assert!(home.path("secrets.yaml").is_file(), "what was asked for is done");
}

#[test]
fn a_closed_pipe_is_not_reported() {
    let home = Home::new();
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let lost = run(&mut home.command(&["completions", "bash"]), writer);
    assert_eq!(lost.status.code(), Some(74));
    assert_eq!(String::from_utf8_lossy(&lost.stderr), "");
}
