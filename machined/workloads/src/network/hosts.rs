//! The names of workloads on the bridge, as a file that each of them has as `/etc/hosts`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::Path;

/// Makes the file. Pure.
pub fn text(addresses: &BTreeMap<String, Ipv4Addr>) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost\n".to_owned();
    for (name, address) in addresses {
        text += &format!("{address}\t{name}\n");
    }
    text
}

/// Writes the file where it differs: in its place, since containers that run have this one.
///
/// # Errors
///
/// It cannot be written.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    // Written over what is there, then cut: nobody finds it empty in between.
    file.write_all(text.as_bytes())?;
    file.set_len(u64::try_from(text.len()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_file_that_somebody_has_open_changes_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/hosts");
        let one = |name: &str, last: u8| (name.to_owned(), Ipv4Addr::new(10, 87, 0, last));
        let both = text(&BTreeMap::from([one("web", 2), one("db", 3)]));
        write(&path, &both).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "127.0.0.1\tlocalhost\n::1\tlocalhost\n10.87.0.3\tdb\n10.87.0.2\tweb\n"
        );
        let before = path.metadata().unwrap().ino();
        let shorter = text(&BTreeMap::from([one("db", 3)]));
        write(&path, &shorter).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), shorter);
        assert_eq!(path.metadata().unwrap().ino(), before);
    }
}
