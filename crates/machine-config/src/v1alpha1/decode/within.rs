//! Reads what a workload finds within its container: secrets, folders and devices.

use super::secrets::{Marks, secret};
use crate::decode::Cursor;
use crate::secret::Secret;
use crate::v1alpha1::workloads::tmpfs_size;
use crate::v1alpha1::{MachineConfig, Tmpfs, WorkloadDevice, WorkloadMount, WorkloadSecret};
use crate::value::{ByteSize, ContainerPath, Name};

/// The longest text of a secret.
const LONGEST_SECRET: usize = 64 << 10;
/// Folders of a container that are the kernel's or Bedplate's.
const TAKEN: [&str; 4] = ["/proc", "/sys", "/dev", "/run/secrets"];

pub(super) fn workload_secret(
    cursor: Cursor<'_>,
    workload: Option<&Name>,
    marks: Marks<'_>,
) -> Option<WorkloadSecret> {
    let mut o = cursor.object()?;
    let name: Option<Name> = o
        .required("name", "its file is called so")
        .and_then(|c| c.parsed());
    let value = o.required("value", "give its text").and_then(|c| {
        let value = secret(&c, marks, |config| secret_of(config, workload?, name.as_ref()?))?;
        if value.expose().len() > LONGEST_SECRET || value.expose().contains('\0') {
            c.fault(format!(
                "is not a secret; expected a text of at most {LONGEST_SECRET} bytes"
            ));
        }
        Some(value)
    });
    let variable = o.field("variable").and_then(|c| c.parsed());
    o.finish();
    Some(WorkloadSecret {
        name: name?,
        value: value?,
        variable,
    })
}

/// Finds the secret that a mark stands for: of the same name, of the workload of the same name.
fn secret_of<'c>(config: &'c MachineConfig, workload: &Name, secret: &Name) -> Option<&'c Secret> {
    let workload = config.workloads.iter().find(|one| one.name == *workload)?;
    let found = workload.secrets.iter().find(|one| one.name == *secret)?;
    Some(&found.value)
}

fn target(cursor: &Cursor<'_>) -> Option<ContainerPath> {
    let path: ContainerPath = cursor.parsed()?;
    let below = |taken: &&&str| {
        path.as_str()
            .strip_prefix(**taken)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    // Programs that want more memory to share ask for this one.
    if let Some(taken) = TAKEN.iter().find(below).filter(|_| path.as_str() != "/dev/shm") {
        cursor.fault(format!("{path} is taken: {taken} is made for every workload"));
    }
    Some(path)
}

pub(super) fn mount(cursor: Cursor<'_>) -> Option<WorkloadMount> {
    let mut o = cursor.object()?;
    let volume = o
        .required("volume", "name a folder on DATA, such as camera")
        .and_then(|c| c.parsed());
    let to = o
        .required("target", "give the path in the container, such as /data")
        .and_then(|c| target(&c));
    let read_only = o.field("readOnly").and_then(|c| c.boolean()).unwrap_or(false);
    o.finish();
    Some(WorkloadMount {
        volume: volume?,
        target: to?,
        read_only,
    })
}

pub(super) fn tmpfs(cursor: Cursor<'_>) -> Option<Tmpfs> {
    let mut o = cursor.object()?;
    let to = o
        .required("target", "give the path in the container, such as /tmp")
        .and_then(|c| target(&c));
    let size = o
        .field("size")
        .map_or(Some(tmpfs_size()), |c| c.parsed::<ByteSize>());
    o.finish();
    Some(Tmpfs {
        target: to?,
        size: size?,
    })
}

pub(super) fn device(cursor: Cursor<'_>) -> Option<WorkloadDevice> {
    let mut o = cursor.object()?;
    let path = o.field("path").and_then(|c| c.parsed());
    let usb = o.field("usb").and_then(|c| c.parsed());
    let target = o.field("target").and_then(|c| c.parsed());
    let read_only = o.field("readOnly").and_then(|c| c.boolean()).unwrap_or(false);
    if o.has("path") == o.has("usb") {
        o.here().fault("needs either path or usb");
    } else if o.has("usb") && o.has("target") {
        o.here()
            .fault("target goes with path: a USB device can have several files");
    }
    o.finish();
    Some(WorkloadDevice {
        path,
        usb,
        target,
        read_only,
    })
}
