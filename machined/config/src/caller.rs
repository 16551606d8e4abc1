//! Checks, right before a config is applied, that whoever asks may still do so. Pure.

use api::Role;
use backend::{Caller, Revoked};
use machine_config::MachineConfig;
use pki::Trusted;
use state::kinds::OwnerStatus;

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

/// Checks a caller against whose the node is, to be called while nobody else can apply a config.
///
/// The config itself says whom the node trusts: the certificate in service follows it a moment later, and would let
/// somebody through in between. A node without a usable config obeys its last owner; where neither has an authority that
/// can be read, nobody is let through. Only a node that was never anybody's takes a config from anybody.
pub(super) fn authorise(
    caller: &Caller,
    current: Option<&MachineConfig>,
    owner: Option<&OwnerStatus>,
) -> Result<(), CallerError> {
    caller.grant.check()?;
    let owned = current.is_some() || owner.is_some_and(|owner| owner.owned);
    let Some(trust) = caller.grant.trust() else {
        return if owned {
            Err(CallerError::Overtaken)
        } else {
            Ok(())
        };
    };
    let current = current.map(|config| config.machine.ca.cert.to_string());
    let last = owner.and_then(|owner| owner.authorities.clone());
    let mut known = current.iter().chain(&last);
    if !known.any(|authorities| Trusted::of(authorities).is_ok_and(|known| known.contains(trust))) {
        return Err(CallerError::Overtaken);
    }
    if caller.role != Some(Role::Admin) {
        return Err(CallerError::NotAdmin);
    }
    Ok(())
}
