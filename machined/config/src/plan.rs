//! Decides what a new config means. Pure: looks at two configs, touches nothing.

use machine_config::MachineConfig;
use machine_config::v1alpha1::Interface;
use pki::Trusted;

/// Says how a new config is to take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// At once where that is possible, else by a reboot.
    Auto,
    /// At once, or not at all.
    NoReboot,
    /// With the next start.
    Staged,
    /// At once, and taken back unless it is applied for good in time.
    Try,
}

/// What is to be done with a new config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyPlan {
    /// What will be done.
    pub effect: Effect,
    /// The paths that differ.
    pub changes: Vec<String>,
    /// Remarks that are no faults.
    pub warnings: Vec<String>,
}

/// What will be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is filed, and takes effect at once.
    Live,
    /// It is filed, and the node restarts.
    Reboot,
    /// It is filed beside the accepted one.
    Stage,
    /// It takes effect at once, and is not filed.
    Try,
}

/// Says why a config cannot be applied in the mode that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this needs a reboot ({}); apply it in mode auto or staged", reasons.join("; "))]
pub struct Refusal {
    /// Each section with its reason.
    reasons: Vec<String>,
}

/// A part of the config that cannot follow every change at once.
struct Stiff {
    path: &'static str,
    why: &'static str,
    needs_reboot: fn(&MachineConfig, &MachineConfig) -> bool,
}

/// Everything not named here is followed at once by the controller that owns it.
const STIFF: &[Stiff] = &[
    Stiff {
        path: "machine.role",
        why: "a role is taken on at the start",
        needs_reboot: |old, new| old.machine.role != new.machine.role,
    },
    Stiff {
        path: "machine.ca",
        why: "every connection and certificate hangs on the old authority",
        needs_reboot: |old, new| old.machine.ca != new.machine.ca && !shares_authority(old, new),
    },
    Stiff {
        path: "machine.modules",
        why: "a loaded module is not taken out again",
        needs_reboot: |old, new| {
            old.machine
                .modules
                .iter()
                .any(|module| !new.machine.modules.contains(module))
        },
    },
    Stiff {
        path: "machine.sysctls",
        why: "only the kernel knows the value a parameter had before",
        needs_reboot: |old, new| {
            old.machine
                .sysctls
                .keys()
                .any(|name| !new.machine.sysctls.contains_key(name))
        },
    },
];

/// Tells whether two configs accept an authority in common: then nobody who talks to the node is cut off at once, and the
/// change is one of the steps in which authorities are rotated.
fn shares_authority(old: &MachineConfig, new: &MachineConfig) -> bool {
    let [old, new] = [old, new].map(|config| Trusted::of(config.machine.ca.cert.as_str()));
    matches!((old, new), (Ok(old), Ok(new)) if old.overlaps(&new))
}

/// Decides what `new` means for a node that runs with `old`; in maintenance mode there is no old one, and nothing
/// that would have to be restarted.
pub fn decide(old: Option<&MachineConfig>, new: &MachineConfig, mode: Mode) -> Result<ApplyPlan, Refusal> {
    let stiff = |old: &MachineConfig| {
        STIFF
            .iter()
            .filter(|part| (part.needs_reboot)(old, new))
            .collect()
    };
    let stiff: Vec<&Stiff> = old.map(stiff).unwrap_or_default();
    let effect = match mode {
        Mode::Staged => Effect::Stage,
        Mode::Auto if stiff.is_empty() => Effect::Live,
        Mode::Auto => Effect::Reboot,
        Mode::NoReboot | Mode::Try if !stiff.is_empty() => {
            let reasons = stiff
                .iter()
                .map(|part| format!("{}: {}", part.path, part.why))
                .collect();
            return Err(Refusal { reasons });
        }
        Mode::NoReboot => Effect::Live,
        Mode::Try => Effect::Try,
    };
    Ok(ApplyPlan {
        effect,
        changes: machine_config::changes(old, new),
        warnings: warnings(new),
    })
}

fn warnings(new: &MachineConfig) -> Vec<String> {
    let interfaces = &new.machine.network.interfaces;
    let idle = |interface: &Interface| !interface.dhcp && interface.addresses.is_empty();
    let mut warnings = Vec::new();
    if !interfaces.is_empty() && interfaces.iter().all(idle) {
        warnings.push(
            "machine.network.interfaces: none has an address or DHCP; the node will not be reachable".into(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use state::testkit::config;

    use super::*;
    use crate::tests::other;

    fn edited(edit: impl FnOnce(&mut MachineConfig)) -> MachineConfig {
        let mut config = config();
        edit(&mut config);
        config
    }

    #[test]
    fn a_change_of_name_is_followed_at_once() {
        let plan = decide(Some(&config()), &other(), Mode::Auto).unwrap();
        let expected = ApplyPlan {
            effect: Effect::Live,
            changes: vec!["machine.hostname".into()],
            warnings: vec![],
        };
        assert_eq!(plan, expected);
    }

    #[test]
    fn each_mode_has_its_effect() {
        let stiff = edited(|c| c.machine.modules.clear());
        let table = [
            (Mode::Auto, Ok(Effect::Live), Ok(Effect::Reboot)),
            (Mode::NoReboot, Ok(Effect::Live), Err(())),
            (Mode::Staged, Ok(Effect::Stage), Ok(Effect::Stage)),
            (Mode::Try, Ok(Effect::Try), Err(())),
        ];
        for (mode, soft, hard) in table {
            let effect = |new| {
                decide(Some(&config()), new, mode)
                    .map(|plan| plan.effect)
                    .map_err(drop)
            };
            assert_eq!((effect(&other()), effect(&stiff)), (soft, hard), "{mode:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_part_the_reason_and_the_way_out() {
        let refusal = decide(
            Some(&config()),
            &edited(|c| c.machine.modules.clear()),
            Mode::NoReboot,
        )
        .unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "this needs a reboot (machine.modules: a loaded module is not taken out again); apply it in mode auto or staged"
        );
    }

    #[test]
    fn more_modules_and_parameters_need_no_reboot_and_fewer_do() {
        let more = edited(|c| {
            c.machine.modules.push("i2c-dev".parse().unwrap());
            let value = machine_config::v1alpha1::SysctlValue("1".into());
            c.machine.sysctls.insert("vm.swappiness".parse().unwrap(), value);
        });
        assert_eq!(
            decide(Some(&config()), &more, Mode::Auto).unwrap().effect,
            Effect::Live
        );
        assert_eq!(
            decide(Some(&more), &config(), Mode::Auto).unwrap().effect,
            Effect::Reboot
        );
    }

    #[test]
    fn authorities_are_rotated_without_a_reboot_and_replaced_with_one() {
        let new = pki::Authority::generate("new", std::time::SystemTime::now()).unwrap();
        let old = config().machine.ca;
        let accepting = |certs: [&str; 2], key: &machine_config::Secret| {
            edited(|c| {
                c.machine.ca.cert = certs.concat().parse().unwrap();
                c.machine.ca.key = Some(key.clone());
            })
        };
        let (old_cert, old_key) = (old.cert.as_str(), old.key.unwrap());
        let (new_cert, new_key) = (
            new.certificate_pem(),
            machine_config::Secret::new(new.key_pem().as_str()),
        );
        let steps = [
            accepting([old_cert, ""], &old_key),
            accepting([old_cert, new_cert], &old_key),
            accepting([new_cert, old_cert], &new_key),
            accepting([new_cert, ""], &new_key),
        ];
        let effect = |old, new| decide(Some(old), new, Mode::Auto).unwrap().effect;
        for pair in steps.windows(2) {
            assert_eq!(effect(&pair[0], &pair[1]), Effect::Live);
        }
        assert_eq!(effect(&steps[0], &steps[3]), Effect::Reboot);
    }

    #[test]
    fn maintenance_needs_no_reboot() {
        assert_eq!(decide(None, &config(), Mode::Try).unwrap().effect, Effect::Try);
        assert_eq!(
            decide(None, &config(), Mode::NoReboot).unwrap().effect,
            Effect::Live
        );
    }

    #[test]
    fn an_unreachable_node_is_warned_of() {
        let idle = edited(|c| {
            c.machine.network.interfaces = vec![Interface {
                name: "eth0".parse().ok(),
                ..Interface::default()
            }];
        });
        assert!(decide(None, &idle, Mode::Auto).unwrap().warnings[0].contains("not be reachable"));
    }
}
