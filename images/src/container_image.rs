//! Packs the root file system of a board as a container image, in which machined is the first process.
//!
//! It has what the board's image has, but for kernel and modules: those are the host's. Nothing in it is signed; whoever
//! starts the container answers for it.

use std::fs::{File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use crate::error::{BuildError, access};
use crate::packages::fetch::Fetcher;
use crate::report::Progress;
use crate::request::Request;
use crate::{contents, inputs, oci, release};

/// Where a container's machine config is looked for, and where volumes belong: a container without them loses all at its
/// end.
const VOLUMES: [&str; 2] = ["/var", "/var/lib/bedplate"];

/// Returns the name of the image of a version.
pub fn reference(version: &str) -> String {
    format!("localhost/bedplate:{version}")
}

/// Builds the image, and writes it to a file as an OCI archive. Returns the size of its root file system in bytes.
///
/// # Errors
/// Fails when a package or program is missing, and when the file cannot be written. The file is then not there.
pub fn build(
    request: &Request<'_>,
    reference: &str,
    out: &Path,
    fetcher: &mut Fetcher,
    progress: &Progress,
) -> Result<u64, BuildError> {
    let machined = request.binary("machined")?;
    progress.step("getting packages");
    let (packages, fetched) = inputs::without_kernel(request.selection, fetcher)?;
    progress.step("choosing files");
    let version = request.version.to_string();
    let release =
        release::without_kernel(request.selection, &version, request.kubernetes, &fetched).to_yaml();
    let root = contents::root_without_kernel(request, &packages, &machined, &release)?;
    drop(packages);
    progress.step("writing the container image");
    let layer = root.to_tar(request.created).map_err(access(out))?;
    let image = oci::Image {
        reference,
        arch: request.arch(),
        config: json!({
            "Entrypoint": ["/usr/bin/machined"],
            "StopSignal": "SIGTERM",
            "Volumes": VOLUMES.map(|path| (path.to_owned(), json!({}))).into_iter().collect::<serde_json::Map<_, _>>(),
        }),
        layer: &layer,
    };
    write(&image, out).map_err(access(out))?;
    Ok(root.size())
}

/// Writes beside the file first: what is there under its name is whole.
fn write(image: &oci::Image<'_>, out: &Path) -> std::io::Result<()> {
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    let file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(folder.unwrap_or(Path::new(".")))?;
    let mut buffered = BufWriter::new(file);
    image.write(&mut buffered)?;
    buffered.flush()?;
    let file: tempfile::NamedTempFile<File> = buffered
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)?;
    let file = file.persist(out)?;
    file.sync_all()
}
