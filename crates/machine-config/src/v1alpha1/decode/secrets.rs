//! Reads secrets, and the marks that stand for them.

use crate::decode::Cursor;
use crate::secret::Secret;
use crate::v1alpha1::{CertificateAuthority, MachineConfig, Role};
use crate::value::private_key;

/// How redaction marks in place of secrets are treated.
#[derive(Clone, Copy)]
pub(crate) enum Marks<'a> {
    /// As faults.
    Refuse,
    /// They stand for the secrets of this config.
    Replace(&'a MachineConfig),
    /// They stay: the config is only to be shown.
    Keep,
}

/// Reads an authority. `pick` finds the one whose key a mark could stand for.
pub(super) fn authority(
    cursor: Cursor<'_>,
    role: Option<Role>,
    marks: Marks<'_>,
    pick: fn(&MachineConfig) -> Option<&CertificateAuthority>,
) -> Option<CertificateAuthority> {
    let mut o = cursor.object()?;
    let cert = o
        .required("cert", "give the authority's certificate in PEM")
        .and_then(|c| c.parsed_unquoted());
    let key = o.field("key").and_then(|c| {
        let key = pem_secret(&c, marks, |config| pick(config)?.key.as_ref());
        if role.is_some_and(|role| !role.holds_ca_key()) {
            c.fault("a worker must not have the authority's key; remove it");
        }
        key
    });
    if role.is_some_and(Role::holds_ca_key) && !o.has("key") {
        o.missing("key", "only workers do without it");
    }
    o.finish();
    Some(CertificateAuthority { cert: cert?, key })
}

/// Reads a private key in PEM, or what stands for it.
pub(super) fn pem_secret<'p>(
    cursor: &Cursor<'_>,
    marks: Marks<'p>,
    pick: impl FnOnce(&'p MachineConfig) -> Option<&'p Secret>,
) -> Option<Secret> {
    let key = secret(cursor, marks, pick)?;
    let pem = if key.is_redacted() {
        Ok(())
    } else {
        private_key(key.expose())
    };
    if let Err(error) = &pem {
        // Never the text itself: a fault is logged, and this may be a key with a slip in it.
        cursor.fault(format!("is not {error}"));
    }
    pem.is_ok().then_some(key)
}

/// Reads a secret, or the mark that stands for it.
pub(super) fn secret<'p>(
    cursor: &Cursor<'_>,
    marks: Marks<'p>,
    pick: impl FnOnce(&'p MachineConfig) -> Option<&'p Secret>,
) -> Option<Secret> {
    let secret = Secret::new(cursor.text()?);
    if !secret.is_redacted() {
        return Some(secret);
    }
    let kept = match marks {
        Marks::Keep => return Some(secret),
        Marks::Replace(previous) => pick(previous),
        Marks::Refuse => None,
    };
    if kept.is_none() {
        cursor.fault("is the mark of a redacted secret, and there is no secret here that it could stand for");
    }
    kept.cloned()
}
