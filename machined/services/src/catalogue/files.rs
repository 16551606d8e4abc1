//! Checks what a spec holds beside the definition of its service.

use std::collections::BTreeSet;

use state::kinds::service_spec::file_path;
use state::kinds::{FileContents, ServiceFile, ServiceSpec};

/// The longest file, in bytes: they are kept in memory, twice.
const LONGEST: usize = 1 << 20;
/// The most bytes that all files of a service may have.
const MOST_BYTES: usize = 4 << 20;
/// The most files of a service.
const MOST_FILES: usize = 64;
/// The longest name of a file or folder.
const LONGEST_NAME: usize = 255;
/// What every private key in PEM has in its first line.
const PRIVATE_KEY: &str = "PRIVATE KEY-----";

/// Checks the files of a spec, and that nothing which is shown holds a private key. The error is the first thing wrong.
pub(super) fn check(spec: &ServiceSpec) -> Result<(), String> {
    let shown = spec
        .service
        .command
        .iter()
        .chain(spec.service.environment.values());
    if shown.into_iter().any(|text| text.contains(PRIVATE_KEY)) {
        return Err(
            "command, environment: holds a private key, and is shown; put the key into a secret file"
                .to_owned(),
        );
    }
    if spec.files.len() > MOST_FILES {
        return Err(format!("files: at most {MOST_FILES}, not {}", spec.files.len()));
    }
    let total: usize = spec.files.iter().map(|file| file.contents.expose().len()).sum();
    if total > MOST_BYTES {
        return Err(format!("files: at most {MOST_BYTES} bytes together, not {total}"));
    }
    let mut names = BTreeSet::new();
    for file in &spec.files {
        let parts = parts(&spec.service.name, file)?;
        fits(file).map_err(|fault| format!("files: {}: {fault}", file.path))?;
        if !names.insert(parts) {
            return Err(format!("files: {} is listed twice", file.path));
        }
    }
    let inside = |a: &Vec<&str>| names.iter().find(|b| b.len() > a.len() && b.starts_with(a));
    if let Some(folder) = names.iter().find(|name| inside(name).is_some()) {
        let path = file_path(&spec.service.name, &folder.join("/"));
        return Err(format!("files: {path} is a file, and a folder of another one"));
    }
    Ok(())
}

/// Returns the parts of a file's path below the service's folder.
fn parts<'a>(service: &str, file: &'a ServiceFile) -> Result<Vec<&'a str>, String> {
    let folder = file_path(service, "");
    let path = &file.path;
    let Some(rest) = path.strip_prefix(&folder) else {
        return Err(format!("files: {path} is not below {folder}"));
    };
    let parts: Vec<&str> = rest.split('/').collect();
    // Names with a dot in front are ours, while a file is being written.
    let plain = |part: &str| {
        (1..=LONGEST_NAME - 5).contains(&part.len()) && !part.starts_with('.') && !part.contains('\0')
    };
    match parts.iter().copied().all(plain) {
        true => Ok(parts),
        false => Err(format!(
            "files: {path:?} has a part that is empty, hidden or too long"
        )),
    }
}

fn fits(file: &ServiceFile) -> Result<(), String> {
    let length = file.contents.expose().len();
    if length > LONGEST {
        return Err(format!("has {length} bytes; at most {LONGEST} are possible"));
    }
    if file.mode.0 > 0o777 {
        return Err(format!("{} is not a mode of a file; 0600 is one", file.mode));
    }
    match &file.contents {
        FileContents::Secret(_) if file.mode.0 & 0o077 != 0 => Err(format!(
            "is secret, and mode {} lets others read it; use 0600",
            file.mode
        )),
        FileContents::Plain(text) if text.contains(PRIVATE_KEY) => {
            Err("holds a private key; make its contents secret".to_owned())
        }
        _ => Ok(()),
    }
}
