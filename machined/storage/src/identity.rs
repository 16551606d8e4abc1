//! What tells this machine from every other: made on the first boot, kept in STATE.

use std::fs;
use std::io;
use std::path::Path;

use sys::durable;

const FILE: &str = "machine-id";

/// Returns the machine's identity, 32 hex digits, and makes it when there is none.
pub fn machine_id(state: &Path) -> io::Result<String> {
    let path = state.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) if is_id(text.trim()) => return Ok(text.trim().to_owned()),
        Ok(_) => tracing::warn!("{} is damaged: the machine gets a new identity", path.display()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let id = uuid::Uuid::new_v4().simple().to_string();
    durable::write(&path, format!("{id}\n").as_bytes(), 0o644)?;
    Ok(id)
}

fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once_and_kept() {
        let state = tempfile::tempdir().unwrap();
        let id = machine_id(state.path()).unwrap();
        assert!(is_id(&id), "{id}");
        assert_eq!(machine_id(state.path()).unwrap(), id);
    }

    #[test]
    fn a_damaged_identity_is_replaced() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join(FILE), "half an i").unwrap();
        let id = machine_id(state.path()).unwrap();
        assert!(is_id(&id), "{id}");
    }
}
