//! The command line: `machined workload run SETTINGS` and `machined workload check SETTINGS`.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::runner::{self, Ended, Places};
use crate::settings::Settings;

/// The first word of the command line.
const WORD: &str = "workload";

/// Returns what is asked of the program, if these arguments are for it.
pub fn asked_for(arguments: &[String]) -> Option<&[String]> {
    match arguments {
        [word, rest @ ..] if word == WORD => Some(rest),
        _ => None,
    }
}

/// Runs a workload, or checks its health. What [`asked_for`] returned says which.
pub fn main(arguments: &[String]) -> ExitCode {
    main_with(arguments, &Places::default())
}

/// Does the same with other places, for tests.
fn main_with(arguments: &[String], places: &Places) -> ExitCode {
    let done: Result<ExitCode, Box<dyn Error>> = match arguments {
        [verb, settings] if verb == "run" => run(Path::new(settings), places),
        [verb, settings] if verb == "check" => check(Path::new(settings), places),
        _ => Err("write: machined workload run SETTINGS, or machined workload check SETTINGS".into()),
    };
    done.unwrap_or_else(|error| {
        stdio::note(state::chain(error.as_ref()));
        ExitCode::FAILURE
    })
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn run(settings: &Path, places: &Places) -> Result<ExitCode, Box<dyn Error>> {
    let settings = Settings::load(settings)?;
    let ended = runtime()?.block_on(async {
        let mut asked = signal(SignalKind::terminate())?;
        let asked = async move {
            asked.recv().await;
        };
        runner::run(&settings, places, asked).await
    });
    let reason = match &ended {
        Ok(ended) => describe(*ended, &settings),
        Err(error) => Some(error.to_string()),
    };
    if let Some(reason) = &reason {
        stdio::note(reason.clone());
        // The agent shows it; without it there is still the log.
        let _ = fs::write(places.reason(&settings.name), reason);
    }
    match ended {
        Ok(Ended { asked: true, .. }) => Ok(ExitCode::SUCCESS),
        Ok(Ended { code, .. }) => Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)),
        Err(_) => Ok(ExitCode::FAILURE),
    }
}

/// Says how a container ended that was not asked to.
fn describe(ended: Ended, settings: &Settings) -> Option<String> {
    if ended.asked {
        return None;
    }
    if ended.out_of_memory {
        let limit = settings.memory.map(quantity::show_bytes);
        return Some(match limit {
            Some(limit) => {
                format!("was killed because it needs more memory than its {limit}; raise resources.memory")
            }
            None => {
                "was killed because the node has no more memory; set resources.memory of what needs too much"
                    .to_owned()
            }
        });
    }
    (ended.code != 0).then(|| format!("ended with {}", ended.code))
}

fn check(settings: &Path, places: &Places) -> Result<ExitCode, Box<dyn Error>> {
    let settings = Settings::load(settings)?;
    runtime()?
        .block_on(runner::check(&settings, places))
        .map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_word_is_taken() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(asked_for(&words("workload run x")).unwrap(), ["run", "x"]);
        assert_eq!(asked_for(&words("dns serve x")), None);
    }
}
