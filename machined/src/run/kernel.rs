//! What the machine config asks of the kernel: parameters and modules.

use std::path::PathBuf;

use async_trait::async_trait;
use machine_config::MachineConfig;
use serde::{Deserialize, Serialize};
use sys::modules::ModuleLoader;

use crate::boot::status::ID;
use crate::boot::sysctls;
use crate::config::CONFIG_ID;
use crate::controller::{Action, Controller, ControllerError, chain};
use crate::modules::{self, Index};
use crate::resource::{Resource, Store};

/// Tells what of the machine config the kernel took. Owned by `kernel`; one, named `node`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KernelStatus {
    /// Parameters that are set.
    pub sysctls: Vec<String>,
    /// Modules that are loaded.
    pub modules: Vec<String>,
    /// What was refused, one sentence each.
    pub problems: Vec<String>,
}

impl Resource for KernelStatus {
    const KIND: &'static str = "KernelStatus";
}

/// Sets parameters and loads modules. Sole owner of [`KernelStatus`].
///
/// What a config no longer names stays as it is until the next start: the kernel's value before it is not known.
pub struct KernelSettings {
    /// `/proc/sys`.
    pub sysctls: PathBuf,
    /// The running kernel's module folder.
    pub modules: PathBuf,
    /// Loads.
    pub loader: Box<dyn ModuleLoader>,
}

#[async_trait]
impl Controller for KernelSettings {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[MachineConfig::KIND]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[KernelStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let config: Option<MachineConfig> = store.get(CONFIG_ID);
        let mut status = KernelStatus::default();
        if let Some(machine) = config.map(|config| config.machine) {
            // First the modules: they bring parameters of their own.
            if !machine.modules.is_empty() {
                let index = Index::load(&self.modules)?;
                for name in machine.modules.iter().map(ToString::to_string) {
                    match modules::load(&index, &self.modules, self.loader.as_ref(), &name) {
                        Ok(()) => status.modules.push(name),
                        Err(error) => status.problems.push(chain(&error)),
                    }
                }
            }
            for (name, value) in &machine.sysctls {
                let name = name.to_string();
                match sysctls::set(&self.sysctls, &name, &value.0) {
                    Ok(()) => status.sysctls.push(name),
                    Err(error) => status.problems.push(chain(&error)),
                }
            }
        }
        store.put(self.name(), ID, status)?;
        Ok(Action::WaitForChange)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use machine_config::v1alpha1::SysctlValue;
    use sys::modules::RecordingModules;

    use super::*;
    use crate::testkit::settle_one;

    #[tokio::test]
    async fn takes_what_it_can_and_names_the_rest() {
        let root = tempfile::tempdir().unwrap();
        let (sysctls, modules) = (root.path().join("sys"), root.path().join("modules"));
        fs::create_dir_all(sysctls.join("vm")).unwrap();
        fs::create_dir_all(&modules).unwrap();
        fs::write(modules.join("modules.dep"), "wireguard.ko:\n").unwrap();
        let mut config = crate::config::tests::config();
        config.machine.modules = ["wireguard", "zfs"].map(|name| name.parse().unwrap()).to_vec();
        let sysctl = |name: &str| (name.parse().unwrap(), SysctlValue("10".to_owned()));
        config.machine.sysctls = [sysctl("vm.swappiness"), sysctl("no.such")].into();
        let store = Store::new();
        store.put("config", CONFIG_ID, config).unwrap();
        let mut settings = KernelSettings {
            sysctls,
            modules,
            loader: Box::<RecordingModules>::default(),
        };
        settle_one(&store, &mut settings).await.unwrap();
        let status: KernelStatus = store.get(ID).unwrap();
        assert_eq!(
            (status.modules, status.sysctls),
            (vec!["wireguard".into()], vec!["vm.swappiness".to_owned()])
        );
        assert_eq!(status.problems.len(), 2, "{:?}", status.problems);
        assert_eq!(
            fs::read_to_string(root.path().join("sys/vm/swappiness")).unwrap(),
            "10\n"
        );
    }
}
