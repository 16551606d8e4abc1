//! Reads registries.

use super::kubernetes::unique;
use super::secrets::{Marks, secret};
use super::workloads::bounded;
use crate::decode::Cursor;
use crate::v1alpha1::Registry;
use crate::value::{MirrorAddress, RegistryHost};

pub(super) fn registries(cursor: Cursor<'_>, marks: Marks<'_>) -> Vec<Registry> {
    bounded(&cursor, "registries");
    unique(cursor, |item| registry(item, marks), |one| one.host.to_string())
}

fn registry(cursor: Cursor<'_>, marks: Marks<'_>) -> Option<Registry> {
    let mut o = cursor.object()?;
    let host: Option<RegistryHost> = o
        .required(
            "host",
            "give the registry as it stands in references, such as docker.io",
        )
        .and_then(|c| c.parsed());
    let mirrors = o
        .field("mirrors")
        .map(|c| unique(c, |item| item.parsed_unquoted(), MirrorAddress::to_string))
        .unwrap_or_default();
    let ca = o.field("ca").and_then(|c| c.parsed_unquoted());
    let username = o.field("username").and_then(|c| {
        let name = c.text()?;
        if name.is_empty() || name.contains(':') || name.chars().any(char::is_control) {
            c.fault("is not a user; expected a text without a colon");
        }
        Some(name.to_owned())
    });
    let password = o.field("password").and_then(|c| {
        secret(&c, marks, |config| {
            let registries = &config.machine.registries;
            let found = registries.iter().find(|one| Some(&one.host) == host.as_ref())?;
            found.password.as_ref()
        })
    });
    if o.has("username") != o.has("password") {
        o.here()
            .fault("username and password go together; give both, or none");
    }
    o.finish();
    Some(Registry {
        host: host?,
        mirrors,
        ca,
        username,
        password,
    })
}
