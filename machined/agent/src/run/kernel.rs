//! What the machine config and the parts of the node ask of the kernel, parameters and modules, and what the kernel lets in.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use async_trait::async_trait;
use machine_config::MachineConfig;
use node::boot::{lockdown, sysctls};
use node::modules;
use node::modules::Index;
use state::kinds::{ContainerMode, KernelContribution, KernelStatus, NODE};
use state::{Action, Controller, ControllerError, Resource, Store, chain};
use sys::modules::ModuleLoader;

/// Sets parameters and loads modules. Sole owner of [`KernelStatus`].
///
/// What nobody asks for any longer stays as it is until the next start: the kernel's value before it is not known.
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

/// What is asked of the kernel, by everybody.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    /// Each once, in the order in which they are to be loaded.
    modules: Vec<String>,
    sysctls: BTreeMap<String, String>,
}

/// Merges what the config and the parts of the node ask for; contributions are in the order of their names. Pure.
fn asked(config: Option<&MachineConfig>, contributions: Vec<(String, KernelContribution)>) -> Asked {
    let mut asked = Asked::default();
    if let Some(machine) = config.map(|config| &config.machine) {
        asked
            .modules
            .extend(machine.modules.iter().map(ToString::to_string));
        let named = machine.sysctls.iter();
        let named = named.map(|(name, value)| (name.as_str().to_owned(), value.0.clone()));
        asked.sysctls.extend(named);
    }
    for (_, contribution) in contributions {
        for module in contribution.modules {
            if !asked.modules.contains(&module) {
                asked.modules.push(module);
            }
        }
        for (name, value) in contribution.sysctls {
            asked.sysctls.entry(name).or_insert(value);
        }
    }
    asked
}

impl KernelSettings {
    fn load(&self, modules: &[String], status: &mut KernelStatus) -> io::Result<()> {
        // In a container they are not ours to load, and may be there.
        let there = self.root.join("sys/module");
        let (loaded, missing): (Vec<_>, Vec<_>) = modules
            .iter()
            .cloned()
            .partition(|name| there.join(name.replace('-', "_")).exists());
        status.modules.extend(loaded);
        if missing.is_empty() {
            return Ok(());
        }
        let index = Index::load(&self.modules)?;
        for name in missing {
            match modules::load(&index, &self.modules, self.loader.as_ref(), &name) {
                Ok(()) => status.modules.push(name),
                Err(error) => status.problems.push(chain(&error)),
            }
        }
        Ok(())
    }

    /// Takes out of what a container is asked what only its host can do. Problems are what the config named, and the host
    /// has not.
    fn leave_to_host(&self, config: Option<&MachineConfig>, asked: &mut Asked, status: &mut KernelStatus) {
        let (modules, sysctls) = config
            .map(|config| (&config.machine.modules, &config.machine.sysctls))
            .unzip();
        let there = self.root.join("sys/module");
        let is_there = |name: &String| there.join(name.replace('-', "_")).exists();
        asked.modules.retain(is_there);
        let missing = modules.into_iter().flatten().map(ToString::to_string);
        status
            .problems
            .extend(missing.filter(|name| !is_there(name)).map(|name| {
                format!(
                    "kernel modules are the host's: load {name} there, and take it out of machine.modules"
                )
            }));
        asked.sysctls.retain(|name, _| sysctls::is_containers(name));
        let named = sysctls.into_iter().flatten().map(|(name, _)| name.as_str());
        let hosts = named
            .filter(|name| !sysctls::is_containers(name))
            .map(str::to_owned);
        let hosts = hosts.map(|name| chain(&sysctls::Error::Hosts { name }));
        status.problems.extend(hosts);
    }

    fn set(&self, sysctls: &BTreeMap<String, String>, status: &mut KernelStatus) {
        let (first, rest): (Vec<_>, Vec<_>) = sysctls
            .iter()
            .partition(|(name, _)| sysctls::changes_others(name));
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
        let done = done.into_iter().map(|(name, _)| (*name).clone());
        status.sysctls.extend(done);
    }
}

#[async_trait]
impl Controller for KernelSettings {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[MachineConfig::KIND, ContainerMode::KIND, KernelContribution::KIND]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[KernelStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let mut status = KernelStatus {
            lockdown: lockdown::read(&self.root),
            ..KernelStatus::default()
        };
        let config: Option<MachineConfig> = store.get(NODE);
        let mut asked = asked(config.as_ref(), store.list());
        if store.get::<ContainerMode>(NODE).is_some() {
            self.leave_to_host(config.as_ref(), &mut asked, &mut status);
        }
        // First the modules: they bring parameters of their own.
        self.load(&asked.modules, &mut status)?;
        self.set(&asked.sysctls, &mut status);
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

    #[test]
    fn parts_add_to_the_config_and_never_override_it() {
        let mut config = state::testkit::config();
        config.machine.modules = vec!["overlay".parse().unwrap()];
        let key = "net.ipv4.ip_forward";
        config.machine.sysctls = [(key.parse().unwrap(), SysctlValue("0".to_owned()))].into();
        let part = |name: &str, value: &str| {
            let sysctls = [(key, value), ("net.core.somaxconn", value)];
            let contribution = KernelContribution {
                modules: vec!["overlay".to_owned(), name.to_owned()],
                sysctls: sysctls
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into(),
            };
            (name.to_owned(), contribution)
        };
        let asked = asked(Some(&config), vec![part("bridge", "1"), part("veth", "2")]);
        assert_eq!(asked.modules, ["overlay", "bridge", "veth"]);
        assert_eq!(asked.sysctls[key], "0");
        assert_eq!(asked.sysctls["net.core.somaxconn"], "1");
    }

    #[tokio::test]
    async fn a_container_leaves_the_hosts_kernel_alone() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["vm", "net/ipv4"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let mut config = state::testkit::config();
        config.machine.modules = vec!["wireguard".parse().unwrap()];
        let sysctl = |name: &str| (name.parse().unwrap(), SysctlValue("1".to_owned()));
        config.machine.sysctls = [sysctl("vm.swappiness"), sysctl("net.ipv4.tcp_syncookies")].into();
        let store = Store::new();
        store.put("config", NODE, config).unwrap();
        store.put("boot", NODE, ContainerMode::default()).unwrap();
        let mut settings = KernelSettings {
            root: root.path().to_owned(),
            sysctls: root.path().to_owned(),
            modules: "/nowhere".into(),
            loader: Box::<RecordingModules>::default(),
        };
        settle_one(&store, &mut settings).await.unwrap();
        let status: KernelStatus = store.get(NODE).unwrap();
        assert_eq!(status.sysctls, ["net.ipv4.tcp_syncookies"]);
        assert_eq!(status.problems.len(), 2, "{:?}", status.problems);
        assert!(!root.path().join("vm/swappiness").exists());
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
