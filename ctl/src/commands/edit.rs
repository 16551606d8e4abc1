//! `bedplate edit`.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::SystemTime;

use anyhow::Context as _;
use clap::Args;
use machine_config::{Fault, MachineConfig};
use pki::Moment;
use zeroize::Zeroizing;

use super::apply::{How, read};
use crate::connect::connect;
use crate::fan_out::{NodeResponse, dial, show};
use crate::live_config::{Failure, apply_changed, read_config};
use crate::session::Session;
use crate::ui;

/// Edits the machine config of a node.
#[derive(Debug, Args)]
pub struct Edit {
    #[command(flatten)]
    how: How,
}

/// What begins each line that this program writes above the config, and removes again.
const OURS: &str = "#! ";
/// What is above the config when it is opened first.
const HEAD: &str = "\
#! The machine config of this node. Save it and leave the editor to apply it; leave it unchanged to do nothing.
#! <redacted> stands for a secret that the node already has. Comments are not kept on the node.
";

impl Edit {
    /// Lets people edit the config until it is applied, or until they leave it unchanged.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        session.one_node("one config is edited at a time")?;
        let node = dial(&session).await.into_iter().next();
        let NodeResponse { node, result } = node.context("no node whose config could be edited")?;
        let current = read_config(&session, &result?).await?;
        anyhow::ensure!(
            !current.redacted,
            "only an admin can apply a machine config, and this client is none"
        );
        let before = machine_config::parse(&current.yaml)?;
        let shown = before.to_yaml();
        let mut file = tempfile::Builder::new()
            .prefix("bedplate-edit-")
            .suffix(".yaml")
            .tempfile()
            .context("cannot create a file to edit")?;
        file.write_all(format!("{HEAD}{shown}").as_bytes())
            .context("cannot write the file to edit")?;
        // From here on the text is kept, whatever happens, until it was applied or nothing was changed.
        let (_, path) = file.keep().context("cannot keep the file to edit")?;
        let kept = format!("the text is kept in {}", path.display());
        let mut last = shown;
        let mut failed = false;
        loop {
            let text = edited(&path).with_context(|| kept.clone())?;
            if *text == *last {
                if failed {
                    anyhow::bail!("nothing was applied; {kept}");
                }
                let _ = fs::remove_file(&path);
                ui::note("nothing was changed");
                return Ok(ExitCode::SUCCESS);
            }
            let problem = match check(&text, &before) {
                Err(problem) => problem,
                Ok(()) => {
                    // The connection of before has not been served while the editor was open.
                    let connected = connect(&session, &node).await.with_context(|| kept.clone())?;
                    let request = self.how.request(&text, current.revision.clone());
                    match apply_changed(&session, &connected, request).await {
                        Ok(response) => {
                            if self.how.dry_run {
                                ui::note(&kept);
                            } else {
                                let _ = fs::remove_file(&path);
                            }
                            return show(
                                &session,
                                &[NodeResponse {
                                    node,
                                    result: Ok(response),
                                }],
                            );
                        }
                        Err(Failure {
                            problem,
                            correctable: true,
                        }) => problem.to_string(),
                        Err(Failure { problem, .. }) => return Err(problem).with_context(|| kept),
                    }
                }
            };
            write(&path, &with_problem(&text, &problem)).with_context(|| kept.clone())?;
            (last, failed) = (text.to_string(), true);
        }
    }
}

/// Opens the editor, and returns what is in the file afterwards, without our own lines.
fn edited(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let editor = set("VISUAL")
        .or_else(|| set("EDITOR"))
        .unwrap_or_else(|| "vi".to_owned());
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let status = Command::new(program)
        .args(words)
        .arg(path)
        .status()
        .with_context(|| format!("cannot start the editor {program:?}; set EDITOR to another one"))?;
    anyhow::ensure!(
        status.success(),
        "the editor ended with {status}; nothing was applied"
    );
    let text = read(path)?
        .map_err(|faults| anyhow::anyhow!("{}", faults.in_file(&path.display().to_string()).trim_end()))?;
    Ok(without_ours(&text))
}

fn without_ours(text: &str) -> Zeroizing<String> {
    let ours = |line: &&str| line.starts_with(OURS.trim_end());
    Zeroizing::new(text.split_inclusive('\n').skip_while(ours).collect())
}

/// Validates what was edited, as the node will.
fn check(text: &str, before: &MachineConfig) -> Result<(), String> {
    let checked = machine_config::parse_over(text, before)
        .and_then(|config| pki::check_config(text, &config, Moment::of_host(SystemTime::now())));
    checked.map_err(|faults| {
        let above = HEAD.lines().count() + faults.list().len() + 1;
        let line = |fault: &Fault| match fault.line {
            0 => fault.without_line(),
            line => format!("line {}: {}", line + above, fault.without_line()),
        };
        faults.list().iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

/// Puts the problem above the text, as comments.
fn with_problem(text: &str, problem: &str) -> Zeroizing<String> {
    let mut above = format!("{HEAD}{OURS}Not applied, because:\n");
    for line in problem.lines() {
        above.push_str(&format!("{OURS}{}\n", ui::clean(line)));
    }
    Zeroizing::new(above + text)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    sys::durable::write(path, text.as_bytes(), 0o600)
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_lines_go_and_those_of_people_stay() {
        let text = "# mine\n#! not at the top\na: 1\n";
        let shown = with_problem(text, "line 9: x\nline 10: y");
        assert!(
            shown.contains("#! Not applied, because:\n#! line 9: x\n#! line 10: y\n# mine\n"),
            "{}",
            *shown
        );
        assert_eq!(*without_ours(&shown), text);
        assert_eq!(*without_ours(&format!("{HEAD}{text}")), text);
    }
}
