//! Patches of machine configs on the command line: `@FILE`, or the patch itself.

use std::path::Path;
use std::time::SystemTime;

use machine_config::patch::{Patch, PatchError, apply};
use machine_config::{Fault, Faults};
use pki::Moment;
use zeroize::Zeroizing;

use crate::commands::apply::read;

/// The most patches of one command: more are a mistake.
const MOST: usize = 64;

/// Patches that were read.
#[derive(Default)]
pub struct Patches {
    /// The name of each, for messages.
    names: Vec<String>,
    patches: Vec<Patch>,
}

impl Patches {
    /// Reads patches: each is `@FILE` (`@-` for standard input), or the patch itself as YAML or JSON.
    ///
    /// # Errors
    ///
    /// Files that cannot be read, and what is not a patch, as `FILE:LINE: PATH: MESSAGE`.
    pub fn load<'a>(arguments: impl IntoIterator<Item = &'a String>) -> anyhow::Result<Self> {
        let mut loaded = Self::default();
        for argument in arguments {
            anyhow::ensure!(
                loaded.patches.len() < MOST,
                "more than {MOST} patches; put several into one"
            );
            let (name, text) = match argument.strip_prefix('@') {
                Some(file) => {
                    let text = read(Path::new(file))?;
                    let text = text.map_err(|faults| unusable(faults.in_file(file).trim_end()))?;
                    (file.to_owned(), text)
                }
                None => {
                    let name = format!("patch {}", loaded.patches.len() + 1);
                    (name, Zeroizing::new(argument.clone()))
                }
            };
            let patch = Patch::parse(&text).map_err(|fault| unusable(&place(&name, &fault)))?;
            loaded.names.push(name);
            loaded.patches.push(patch);
        }
        Ok(loaded)
    }

    /// Returns true if there is no patch.
    pub fn is_empty(&self) -> bool {
        self.patches.is_empty()
    }

    /// Applies the patches to the text of a config, and validates the result unless secrets are redacted in it.
    ///
    /// # Errors
    ///
    /// A patch that does not fit, with its line, and all faults of the result. `name` is that of the config.
    pub fn apply(&self, name: &str, config: &str) -> anyhow::Result<Zeroizing<String>> {
        let text = apply(config, &self.patches).map_err(|error| match error {
            PatchError::Config(fault) => anyhow::anyhow!("cannot patch {}", place(name, &fault)),
            PatchError::Patch { index, fault } => unusable(&place(&self.names[index], &fault)),
        })?;
        check(&text).map_err(|faults| {
            let faults: Vec<String> = faults.list().iter().map(Fault::without_line).collect();
            anyhow::anyhow!("{name} would not be valid with the patch:\n{}", faults.join("\n"))
        })?;
        Ok(text)
    }
}

/// Validates a config, unless secrets are redacted in it: those only the node knows.
pub fn check(yaml: &str) -> Result<(), Faults> {
    if yaml.contains(machine_config::secret::REDACTED) {
        return Ok(());
    }
    pki::parse_config(yaml, Moment::of_host(SystemTime::now())).map(drop)
}

fn unusable(place: &str) -> anyhow::Error {
    anyhow::anyhow!("cannot use the patch:\n{place}")
}

fn place(name: &str, fault: &Fault) -> String {
    format!("{name}:{}: {}", fault.line.max(1), fault.without_line())
}
