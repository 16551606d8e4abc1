//! What is asked of the kernel, what of it was taken, what it lets in, and whether a watchdog runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Resource;

/// What one part of the node asks of the kernel, beside the machine config. Named by the part.
///
/// The kind is shared: each part owns its own. The controller `kernel` carries them out. A parameter that the machine config
/// names is the config's; of two parts that want different values, the first in the alphabet wins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KernelContribution {
    /// Modules to load, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<String>,
    /// Parameters and their values. Those that modules bring are set after all modules are loaded.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
}

impl Resource for KernelContribution {
    const KIND: &'static str = "KernelContribution";
    const SHARED: bool = true;
}

/// What the kernel took of what was asked, and what it lets in. Owned by `kernel`; one, named `node`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KernelStatus {
    /// Parameters that are set.
    pub sysctls: Vec<String>,
    /// Modules that are loaded.
    pub modules: Vec<String>,
    /// What was refused, one sentence each.
    pub problems: Vec<String>,
    /// Set when code could enter the kernel that was not part of the verified boot.
    #[serde(default)]
    pub lockdown: Lockdown,
}

impl Resource for KernelStatus {
    const KIND: &'static str = "KernelStatus";
}

/// The way by which code could enter a running kernel, and whether it is shut.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lockdown {
    /// The kernel's lockdown: `none`, `integrity` or `confidentiality`; none at all when this kernel has no lockdown.
    pub mode: Option<String>,
    /// Set when it takes signed modules only.
    pub signed_modules_only: bool,
    /// Set when it starts no other kernel.
    pub kexec_disabled: bool,
}

impl Lockdown {
    /// Lists what is open, one sentence each.
    pub fn gaps(&self) -> Vec<String> {
        let unlocked = match self.mode.as_deref() {
            None => Some("this kernel has no lockdown: root could change it in memory"),
            Some("none") => Some("this kernel is not locked down: root could change it in memory"),
            Some(_) => None,
        };
        let unsigned = "this kernel takes modules without a signature";
        let kexec = "this kernel starts others that nobody verified";
        let found = [
            unlocked,
            (!self.signed_modules_only).then_some(unsigned),
            (!self.kexec_disabled).then_some(kexec),
        ];
        found.into_iter().flatten().map(str::to_owned).collect()
    }
}

/// The state of the watchdog. Owned by `watchdog`; one, named `node`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WatchdogStatus {
    /// Set when there is one, and it runs.
    pub armed: bool,
    /// How long it waits, in seconds.
    pub timeout_seconds: u64,
    /// Set when it restarted the machine the last time, as far as the hardware knows.
    pub restarted: bool,
}

impl Resource for WatchdogStatus {
    const KIND: &'static str = "WatchdogStatus";
}
