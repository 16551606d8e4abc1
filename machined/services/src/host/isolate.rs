//! Starting a program with the rights of its service.

use std::path::Path;
use std::process::Command;

use service_definition::Run;
use sys::confine::Confinement;

/// Makes a program of a service start in its cgroup, with the service's rights and no others.
pub(super) fn isolate(command: &mut Command, run: &Run, cgroup: Option<&Path>) -> Result<(), sys::Error> {
    let rights = &run.rights;
    // The cgroup first: its files are root's.
    sys::process::isolate(command, cgroup)?;
    sys::confine::confine(
        command,
        &Confinement {
            user: run.user.as_ref().map(|user| user.id),
            capabilities: rights.capabilities.0,
            no_new_privileges: rights.no_new_privileges,
            read_only: rights.read_only_paths.clone(),
            private_tmp: rights.private_tmp,
        },
    )
}
