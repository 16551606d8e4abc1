//! The command line: `machined dns serve SETTINGS` and `machined dns check SETTINGS`.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use crate::settings::Settings;
use crate::{WORD, check, run};

/// Returns what is asked of the service, if these arguments are for it.
pub fn asked_for(arguments: &[String]) -> Option<&[String]> {
    match arguments {
        [word, rest @ ..] if word == WORD => Some(rest),
        _ => None,
    }
}

/// Runs the service, or asks it. What [`asked_for`] returned says which.
pub fn main(arguments: &[String]) -> ExitCode {
    let done: Result<(), Box<dyn Error>> = match arguments {
        [verb, settings] if verb == "serve" => serve(Path::new(settings)),
        [verb, settings] if verb == "check" => Settings::load(Path::new(settings))
            .map_err(Into::into)
            .and_then(|settings| check::check(&settings).map_err(Into::into)),
        _ => Err("write: machined dns serve SETTINGS, or machined dns check SETTINGS".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stdio::note(state::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn serve(settings: &Path) -> Result<(), Box<dyn Error>> {
    let settings = Settings::load(settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .thread_name("dns")
        .thread_stack_size(512 * 1024)
        .enable_all()
        .build()?;
    runtime.block_on(run(settings))?;
    Ok(())
}
