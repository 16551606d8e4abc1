//! What the machine config asks of the kernel, parameters and modules, and what the kernel lets in.

use std::path::PathBuf;

use async_trait::async_trait;
use machine_config::MachineConfig;
use node::boot::{lockdown, sysctls};
use node::modules;
use node::modules::Index;
use state::kinds::{KernelStatus, NODE};
use state::{Action, Controller, ControllerError, Resource, Store, chain};
use sys::modules::ModuleLoader;

/// Sets parameters and loads modules. Sole owner of [`KernelStatus`].
///
/// What a config no longer names stays as it is until the next start: the kernel's value before it is not known.
pub struct KernelSettings {
    /// `/`.
    pub root: PathBuf,
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
        let config: Option<MachineConfig> = store.get(NODE);
        let mut status = KernelStatus {
            lockdown: lockdown::read(&self.root),
            ..KernelStatus::default()
        };
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
            let named = machine
                .sysctls
                .iter()
                .map(|(name, value)| (name.as_str(), value.0.as_str()));
            let (first, rest): (Vec<_>, Vec<_>) = named.partition(|(name, _)| sysctls::changes_others(name));
            let mut set = |name: &str, value: &str| {
                let done = sysctls::set_wanted(&self.sysctls, name, value);
                done.inspect_err(|error| status.problems.push(chain(error)))
                    .is_ok()
            };
            let mut done = Vec::new();
            done.extend(first.iter().filter(|(name, value)| set(name, value)));
            if !first.is_empty() {
                // The kernel has changed some of these along with them.
                let ours = sysctls::DEFAULTS
                    .iter()
                    .filter(|(name, _)| !sysctls::changes_others(name));
                for (name, value) in ours.filter(|(name, _)| name.starts_with("net.ipv")) {
                    set(name, value);
                }
            }
            done.extend(rest.iter().filter(|(name, value)| set(name, value)));
            status
                .sysctls
                .extend(done.into_iter().map(|(name, _)| (*name).to_owned()));
        }
        store.put(self.name(), NODE, status)?;
        Ok(Action::WaitForChange)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use machine_config::v1alpha1::SysctlValue;
    use nix::sched::{CloneFlags, unshare};
    use state::testkit::settle_one;
    use sys::modules::RecordingModules;

    use super::*;

    /// Switching forwarding off makes the kernel believe redirects again.
    #[test]
    fn what_the_kernel_changes_along_with_a_parameter_is_set_after_it() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: only root can make a network namespace");
            return;
        }
        let run = || {
            unshare(CloneFlags::CLONE_NEWNET).expect("root can make a namespace");
            let folder = std::path::PathBuf::from("/proc/sys");
            for (name, value) in sysctls::DEFAULTS
                .iter()
                .filter(|(name, _)| name.starts_with("net.ipv"))
            {
                sysctls::set(&folder, name, value).unwrap();
            }
            let mut config = state::testkit::config();
            config.machine.modules.clear();
            let zero = |name: &str| (name.parse().unwrap(), SysctlValue("0".to_owned()));
            config.machine.sysctls = [
                zero("net.ipv4.conf.default.accept_redirects"),
                zero("net.ipv4.ip_forward"),
            ]
            .into();
            let store = Store::new();
            store.put("config", NODE, config).unwrap();
            let mut settings = KernelSettings {
                root: "/".into(),
                sysctls: folder.clone(),
                modules: "/nowhere".into(),
                loader: Box::<RecordingModules>::default(),
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(settle_one(&store, &mut settings)).unwrap();
            assert_eq!(store.get::<KernelStatus>(NODE).unwrap().problems, [""; 0]);
            for name in [
                "ip_forward",
                "conf/all/accept_redirects",
                "conf/default/accept_redirects",
            ] {
                let path = folder.join("net/ipv4").join(name);
                let value =
                    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                assert_eq!(value, "0\n", "{name}");
            }
        };
        std::thread::spawn(run).join().unwrap();
    }

    #[tokio::test]
    async fn takes_what_it_can_and_names_the_rest() {
        let root = tempfile::tempdir().unwrap();
        let (sysctls, modules) = (root.path().join("proc/sys"), root.path().join("modules"));
        fs::create_dir_all(sysctls.join("vm")).unwrap();
        fs::create_dir_all(sysctls.join("kernel")).unwrap();
        fs::write(sysctls.join("kernel/kexec_load_disabled"), "1\n").unwrap();
        fs::create_dir_all(&modules).unwrap();
        fs::write(modules.join("modules.dep"), "wireguard.ko:\n").unwrap();
        let mut config = state::testkit::config();
        config.machine.modules = ["wireguard", "zfs"].map(|name| name.parse().unwrap()).to_vec();
        let sysctl = |name: &str| (name.parse().unwrap(), SysctlValue("10".to_owned()));
        config.machine.sysctls = [
            sysctl("vm.swappiness"),
            sysctl("no.such"),
            sysctl("kernel.kexec_load_disabled"),
        ]
        .into();
        let store = Store::new();
        store.put("config", NODE, config).unwrap();
        let mut settings = KernelSettings {
            root: root.path().to_owned(),
            sysctls,
            modules,
            loader: Box::<RecordingModules>::default(),
        };
        settle_one(&store, &mut settings).await.unwrap();
        let status: KernelStatus = store.get(NODE).unwrap();
        assert_eq!(
            (status.modules, status.sysctls),
            (vec!["wireguard".into()], vec!["vm.swappiness".to_owned()])
        );
        assert_eq!(status.problems.len(), 3, "{:?}", status.problems);
        let kernel = |name: &str| fs::read_to_string(root.path().join("proc/sys").join(name)).unwrap();
        assert_eq!(kernel("vm/swappiness"), "10\n");
        assert_eq!(kernel("kernel/kexec_load_disabled"), "1\n", "it is fixed");
        assert!(status.lockdown.kexec_disabled && status.lockdown.mode.is_none());
    }
}
