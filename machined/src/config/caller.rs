//! Checks, right before a config is applied, that whoever asks may still do so. Pure.

use api::Role;
use machine_config::MachineConfig;

use crate::api::backend::{Caller, Revoked};

/// Says why a caller, who was let through when the call began, may not apply a config now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallerError {
    /// What the guard found does not hold any more.
    #[error(transparent)]
    Revoked(#[from] Revoked),
    /// The call was made before the config in effect was applied.
    #[error(
        "the node was given a machine config while this call was under way; connect again with a certificate of its authority"
    )]
    Overtaken,
    /// The role does not allow it.
    #[error("a machine config is applied by an admin")]
    NotAdmin,
}

/// Checks a caller against the config in effect, to be called while nobody else can apply one.
///
/// The config itself says whom the node trusts: the certificate in service follows it a moment later, and would let
/// somebody through in between. A config whose authority cannot be read lets nobody through.
pub(super) fn authorise(caller: &Caller, current: Option<&MachineConfig>) -> Result<(), CallerError> {
    caller.grant.check()?;
    let trust = match current {
        Some(config) => {
            Some(pki::trust_in(&config.machine.ca.cert.to_string()).map_err(|_| CallerError::Overtaken)?)
        }
        None => None,
    };
    if caller.grant.trust() != trust {
        return Err(CallerError::Overtaken);
    }
    if trust.is_some() && caller.role != Some(Role::Admin) {
        return Err(CallerError::NotAdmin);
    }
    Ok(())
}
