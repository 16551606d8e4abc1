//! Keeps the reference of the command line current.
//!
//! `UPDATE_EXPECT=1 cargo test -p ctl` writes it again.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Arg, Args as _, Command, CommandFactory as _};

/// Describes a command and those below it.
fn describe(page: &mut String, command: &Command, name: &str, depth: usize) {
    if depth > 0 {
        let about = command.get_long_about().or(command.get_about());
        let about = about.map(ToString::to_string).unwrap_or_default();
        write!(
            page,
            "\n## {name}\n\n{}\n",
            about.trim_end_matches('.').to_owned() + "."
        )
        .expect("a string");
        let aliases: Vec<String> = command
            .get_visible_aliases()
            .map(|alias| format!("`{alias}`"))
            .collect();
        if !aliases.is_empty() {
            write!(page, "\nAlias: {}.\n", aliases.join(", ")).expect("a string");
        }
        arguments(
            page,
            command
                .get_arguments()
                .filter(|argument| depth == 0 || !argument.is_global_set()),
        );
    }
    for below in command.get_subcommands() {
        describe(page, below, &format!("{name} {}", below.get_name()), depth + 1);
    }
}

fn arguments<'a>(page: &mut String, all: impl Iterator<Item = &'a Arg>) {
    let shown: Vec<&Arg> = all
        .filter(|argument| {
            !argument.is_hide_set() && !["help", "version"].contains(&argument.get_id().as_str())
        })
        .collect();
    if shown.is_empty() {
        return;
    }
    page.push_str("\n| argument | |\n|---|---|\n");
    for argument in shown {
        let mut text = argument.get_help().map(ToString::to_string).unwrap_or_default();
        if !text.ends_with('.') {
            text.push('.');
        }
        let values: Vec<String> = argument
            .get_possible_values()
            .iter()
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        if argument.get_action().takes_values() && !values.is_empty() {
            write!(text, " One of {}.", values.join(", ")).expect("a string");
        }
        let defaults: Vec<String> = argument
            .get_default_values()
            .iter()
            .map(|value| format!("`{}`", value.to_string_lossy()))
            .collect();
        if argument.get_action().takes_values()
            && !defaults.is_empty()
            && !argument.is_hide_default_value_set()
        {
            write!(text, " Default: {}.", defaults.join(", ")).expect("a string");
        }
        let aliases: Vec<String> = argument
            .get_visible_aliases()
            .unwrap_or_default()
            .iter()
            .map(|alias| format!("`--{alias}`"))
            .collect();
        if !aliases.is_empty() {
            write!(text, " Alias: {}.", aliases.join(", ")).expect("a string");
        }
        if let Some(variable) = argument.get_env() {
            write!(text, " Environment: `{}`.", variable.to_string_lossy()).expect("a string");
        }
        writeln!(page, "| `{}` | {} |", usage(argument), text.replace('|', "\\|")).expect("a string");
    }
}

fn usage(argument: &Arg) -> String {
    let value = || {
        let names = argument.get_value_names().unwrap_or_default();
        names.first().map_or_else(
            || argument.get_id().to_string().to_uppercase(),
            ToString::to_string,
        )
    };
    let short = argument
        .get_short()
        .map(|short| format!("-{short}, "))
        .unwrap_or_default();
    let text = match argument.get_long() {
        Some(long) if argument.get_action().takes_values() => format!("{short}--{long} {}", value()),
        Some(long) => format!("{short}--{long}"),
        None => value(),
    };
    text.replace('|', "\\|")
}

fn page() -> String {
    let mut command = ctl::cli::Cli::command();
    command.build();
    let mut page = String::from(
        "<!-- Generated from the program: `UPDATE_EXPECT=1 cargo test -p ctl`. Do not edit. -->\n\
         # Command reference\n\n\
         `bedplate` calls the nodes of a context, several at once, and prints their results as a table, as JSON or as YAML. \
         `bedplate context nodes` sets these nodes. A context without nodes calls the first of its endpoints that answers, and \
         `--nodes` selects other nodes for one command. A single result is printed as it is, several as a list of \
         `{node, result}` or `{node, error}`. Streams are printed as one document per item. The exit code is 0 on success, 1 when \
         anything failed on any node, and 2 when the command line is wrong; `bedplate health` also uses 3 and 4.\n\n\
         Commands that cannot be undone ask for confirmation, and need `--yes` where there is no terminal.\n\n\
         ## Global options\n",
    );
    arguments(
        &mut page,
        command
            .get_arguments()
            .filter(|argument| argument.is_global_set()),
    );
    describe(&mut page, &command, "bedplate", 0);
    let flash = flash_tool::Args::augment_args(Command::new("flash"));
    page.push_str("\n### Options of `bedplate flash`\n\nThe same as those of `bedplate-flash`; see [flashing](../flashing.md).\n");
    arguments(&mut page, flash.get_arguments());
    page
}

#[test]
fn the_reference_is_current() {
    golden::check("ctl", "docs/reference/cli.md", &page());
}

/// Methods that no command of ours calls, and why.
const WITHOUT_COMMAND: [&str; 3] = [
    // Every command goes through it, with --endpoint and --nodes.
    "/bedplate.v1alpha1.PeerService/Tunnel",
    // Health is checked, not watched.
    "/grpc.health.v1.Health/Watch",
    // For tools that know nothing of our protos.
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
];

#[test]
fn every_method_of_the_api_has_a_command() {
    let mut sources = String::new();
    read(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands"),
        &mut sources,
    );
    for path in api::METHODS
        .iter()
        .map(|method| method.path)
        .filter(|path| !WITHOUT_COMMAND.contains(path))
    {
        let (service, method) = path
            .trim_start_matches('/')
            .split_once('/')
            .expect("SERVICE/METHOD");
        let service = service.rsplit('.').next().expect("a name");
        let client = format!("{service}Client");
        let call: String = method
            .char_indices()
            .flat_map(|(at, c)| {
                (at > 0 && c.is_uppercase())
                    .then_some('_')
                    .into_iter()
                    .chain(c.to_lowercase())
            })
            .collect();
        assert!(
            sources.contains(&client) && sources.contains(&format!(".{call}(")),
            "no command calls {path}"
        );
    }
}

fn read(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).expect("the commands") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read(&path, into);
        } else {
            into.push_str(&std::fs::read_to_string(&path).expect("a source"));
        }
    }
}
