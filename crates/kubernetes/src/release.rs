//! The table of what each version needs.

mod range;
mod table;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::{Error, Kind, Minor, Version};
use table::table;

/// What one series of Kubernetes needs.
#[derive(Debug)]
pub struct Release {
    series: Minor,
    needs: Needs,
}

/// What one series of etcd needs.
#[derive(Debug)]
pub struct EtcdRelease {
    series: Minor,
    arguments: BTreeMap<String, String>,
}

/// An entry of the table, as it stands there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Needs {
    etcd_minimum: String,
    cri: CriVersion,
    endpoint_slices: String,
    kubelet_config: String,
    proxy_config: String,
    #[serde(default)]
    scheduler_config: Option<String>,
    encryption_config: String,
    audit_policy: String,
    proxy_modes: Vec<ProxyMode>,
    #[serde(default)]
    dual_stack_gate: Option<String>,
    kubelet_reads_serving_certificate: Reads,
    control_plane_taint: String,
    eviction: String,
    #[serde(default)]
    kubelet_by_flags: Vec<String>,
    #[serde(default)]
    arguments: BTreeMap<Kind, BTreeMap<String, String>>,
    #[serde(default)]
    settings: BTreeMap<Kind, BTreeMap<String, Value>>,
    #[serde(default, rename = "settingsOnCgroupV1")]
    settings_on_cgroup_v1: BTreeMap<Kind, BTreeMap<String, Value>>,
}

/// A version of the container runtime's interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CriVersion {
    /// containerd 1.7 and older have it.
    V1Alpha2,
    /// containerd 1.6 and newer have it.
    V1,
}

/// The version of the kernel's control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cgroups {
    /// A tree per controller.
    V1,
    /// One tree.
    V2,
}

impl Cgroups {
    /// Returns the version of what is mounted on a folder (`/sys/fs/cgroup`).
    pub fn mounted_on(folder: &Path) -> Self {
        match folder.join("cgroup.controllers").exists() {
            true => Self::V2,
            false => Self::V1,
        }
    }
}

/// How kube-proxy forwards what goes to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyMode {
    /// By rules of nftables.
    Nftables,
    /// By rules of iptables.
    Iptables,
}

/// When a program reads a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reads {
    /// Once: it must be started again to see a new one.
    AtStart,
    /// Whenever it changes.
    WhenChanged,
}

impl ProxyMode {
    /// Returns the word for it in kube-proxy's config.
    pub fn word(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        }
    }
}

impl Release {
    /// Finds what a version needs.
    ///
    /// # Errors
    ///
    /// A version that is not in the table, with those that are.
    pub fn of(version: Version) -> Result<&'static Self, Error> {
        find(&table().releases, version, "Kubernetes", |release| release.series)
    }

    /// Returns every known series, oldest first.
    pub fn known() -> impl Iterator<Item = &'static Self> {
        table().releases.iter()
    }

    /// Returns the series.
    pub fn series(&self) -> Minor {
        self.series
    }

    /// Returns the version of the container runtime's interface that its kubelet speaks.
    pub fn cri(&self) -> CriVersion {
        self.needs.cri
    }

    /// Returns the group and version of its slices of endpoints.
    pub fn endpoint_slices(&self) -> &str {
        &self.needs.endpoint_slices
    }

    /// Checks that its API server can keep its state in this etcd.
    ///
    /// # Errors
    ///
    /// [`Error::OldEtcd`] where it cannot.
    pub fn check_etcd(&self, found: Version) -> Result<(), Error> {
        let minimum: Version = self.needs.etcd_minimum.parse()?;
        // Where only the series is known, the newest patch of it is meant.
        let patch = found.patch.unwrap_or(u16::MAX);
        match (found.series, patch) >= (minimum.series, minimum.patch.unwrap_or(0)) {
            true => Ok(()),
            false => Err(Error::OldEtcd {
                kubernetes: self.series,
                minimum: minimum.to_string(),
                found: found.to_string(),
            }),
        }
    }

    /// Returns whether kubelet must be started again to show a new certificate.
    pub fn kubelet_reads_serving_certificate(&self) -> Reads {
        self.needs.kubelet_reads_serving_certificate
    }

    /// Returns the taint that keeps pods off control planes.
    pub fn control_plane_taint(&self) -> &str {
        &self.needs.control_plane_taint
    }

    /// Returns the version of the API in which pods are evicted.
    pub fn eviction(&self) -> &str {
        &self.needs.eviction
    }

    /// Chooses how services are forwarded: as asked, else the best that there is.
    ///
    /// # Errors
    ///
    /// [`Error::ProxyMode`] where the version has no such mode.
    pub fn proxy_mode(&self, asked: Option<ProxyMode>) -> Result<ProxyMode, Error> {
        let known = &self.needs.proxy_modes;
        match asked {
            None => Ok(known[0]),
            Some(mode) if known.contains(&mode) => Ok(mode),
            Some(mode) => {
                let known: Vec<&str> = known.iter().map(|mode| mode.word()).collect();
                let known = known.join(", ");
                Err(Error::ProxyMode {
                    version: self.series,
                    mode: mode.word(),
                    known,
                })
            }
        }
    }

    /// Returns whether a component of this version has a flag.
    pub fn has_flag(&self, component: Kind, flag: &str) -> bool {
        table()
            .kubernetes_flags(component)
            .is_some_and(|flags| flags.has(flag, self.series))
    }

    /// Returns in which other versions a component has a flag, to be put behind a message.
    pub(crate) fn hint(&self, component: Kind, flag: &str) -> String {
        let flags = table().kubernetes_flags(component);
        let has = |release: &&Self| flags.is_some_and(|flags| flags.has(flag, release.series));
        let versions: Vec<String> = Self::known()
            .filter(has)
            .map(|release| release.series.to_string())
            .collect();
        match versions.is_empty() {
            true => String::new(),
            false => format!("; it is one of {}", versions.join(", ")),
        }
    }

    pub(crate) fn kubelet_config(&self) -> &str {
        &self.needs.kubelet_config
    }

    pub(crate) fn proxy_config(&self) -> &str {
        &self.needs.proxy_config
    }

    /// Returns the API version of the scheduler's config; none where it is told everything by flags.
    pub(crate) fn scheduler_config(&self) -> Option<&str> {
        self.needs.scheduler_config.as_deref()
    }

    pub(crate) fn encryption_config(&self) -> &str {
        &self.needs.encryption_config
    }

    pub(crate) fn audit_policy(&self) -> &str {
        &self.needs.audit_policy
    }

    /// Returns the gate without which a version has one family of addresses only.
    pub(crate) fn dual_stack_gate(&self) -> Option<&str> {
        self.needs.dual_stack_gate.as_deref()
    }

    /// Tells whether kubelet is told this by a flag; else it is a field of its config.
    pub(crate) fn kubelet_by_flag(&self, flag: &str) -> bool {
        self.needs.kubelet_by_flags.iter().any(|known| known == flag)
    }

    /// Returns what a component must be told in this version only.
    pub(crate) fn arguments(&self, component: Kind) -> impl Iterator<Item = (&str, &str)> {
        let arguments = self.needs.arguments.get(&component).into_iter().flatten();
        arguments.map(|(flag, value)| (flag.as_str(), value.as_str()))
    }

    /// Returns what stands in a component's config in this version only, on a kernel with these control groups.
    pub(crate) fn settings(&self, component: Kind, on: Cgroups) -> impl Iterator<Item = (&str, &Value)> {
        let on_v1 = (on == Cgroups::V1).then_some(&self.needs.settings_on_cgroup_v1);
        let tables = std::iter::once(&self.needs.settings).chain(on_v1);
        let settings = tables.filter_map(move |table| table.get(&component)).flatten();
        settings.map(|(field, value)| (field.as_str(), value))
    }
}

impl EtcdRelease {
    /// Finds what a version needs.
    ///
    /// # Errors
    ///
    /// A version that is not in the table, with those that are.
    pub fn of(version: Version) -> Result<&'static Self, Error> {
        find(&table().etcd_releases, version, "etcd", |release| release.series)
    }

    /// Returns every known series, oldest first.
    pub fn known() -> impl Iterator<Item = &'static Self> {
        table().etcd_releases.iter()
    }

    /// Returns the series.
    pub fn series(&self) -> Minor {
        self.series
    }

    /// Returns whether etcd of this version has a flag.
    pub fn has_flag(&self, flag: &str) -> bool {
        table().etcd_flags().has(flag, self.series)
    }

    /// Returns what etcd must be told in this version only.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = (&str, &str)> {
        self.arguments
            .iter()
            .map(|(flag, value)| (flag.as_str(), value.as_str()))
    }
}

fn find<T>(
    known: &'static [T],
    version: Version,
    product: &'static str,
    series: impl Fn(&T) -> Minor,
) -> Result<&'static T, Error> {
    known
        .iter()
        .find(|entry| series(entry) == version.series)
        .ok_or_else(|| {
            let known: Vec<String> = known.iter().map(|entry| series(entry).to_string()).collect();
            Error::UnknownVersion {
                product,
                found: version.to_string(),
                known: known.join(", "),
            }
        })
}

/// Checks what the types of the table cannot: called once, by a test.
#[cfg(test)]
fn flaws(table: &table::Table) -> Vec<String> {
    let mut flaws = Vec::new();
    for release in &table.releases {
        for (component, arguments) in &release.needs.arguments {
            for flag in arguments
                .keys()
                .filter(|flag| !release.has_flag(*component, flag))
            {
                flaws.push(format!(
                    "{component} {} is told --{flag}, which it lacks",
                    release.series
                ));
            }
        }
        for flag in release
            .needs
            .kubelet_by_flags
            .iter()
            .filter(|flag| !release.has_flag(Kind::Kubelet, flag))
        {
            flaws.push(format!("kubelet {} lacks --{flag}", release.series));
        }
        if release.needs.proxy_modes.is_empty() || release.needs.etcd_minimum.parse::<Version>().is_err() {
            flaws.push(format!("{} has no proxy mode, or no least etcd", release.series));
        }
    }
    for release in &table.etcd_releases {
        for flag in release.arguments.keys().filter(|flag| !release.has_flag(flag)) {
            flaws.push(format!(
                "etcd {} is told --{flag}, which it lacks",
                release.series
            ));
        }
    }
    flaws
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(text: &str) -> &'static Release {
        Release::of(text.parse().unwrap()).unwrap()
    }

    #[test]
    fn the_table_keeps_its_own_rules() {
        assert_eq!(flaws(table()), Vec::<String>::new());
    }

    #[test]
    fn an_unknown_version_is_refused_with_the_known_ones() {
        let error = Release::of("1.27.3".parse().unwrap()).unwrap_err().to_string();
        assert_eq!(
            error,
            "Kubernetes 1.27.3 is not supported; known versions: 1.20, 1.34, 1.35, 1.36"
        );
        let error = EtcdRelease::of("2.3".parse().unwrap()).unwrap_err().to_string();
        assert_eq!(error, "etcd 2.3 is not supported; known versions: 3.4, 3.5, 3.6");
    }

    #[test]
    fn flags_end_where_upstream_removed_them() {
        for (component, flag, versions) in [
            (Kind::Kubelet, "container-runtime", "1.20"),
            (Kind::Kubelet, "network-plugin", "1.20"),
            (Kind::Kubelet, "cni-bin-dir", "1.20"),
            (Kind::Kubelet, "pod-infra-container-image", "1.20 1.34"),
            (Kind::Kubelet, "config", "1.20 1.34 1.35 1.36"),
            (Kind::ApiServer, "log-dir", "1.20"),
            (Kind::ApiServer, "logtostderr", "1.20"),
            (Kind::ApiServer, "insecure-port", ""),
            (Kind::Scheduler, "port", "1.20"),
            (Kind::ControllerManager, "port", "1.20"),
            (Kind::ControllerManager, "pod-eviction-timeout", "1.20"),
            (Kind::ApiServer, "tls-curve-preferences", "1.36"),
            (Kind::ApiServer, "disabled-metrics", "1.34 1.35 1.36"),
            (Kind::ApiServer, "emulated-version", "1.34 1.35 1.36"),
            (Kind::Kubelet, "emulated-version", ""),
            (Kind::Proxy, "min-compatibility-version", ""),
        ] {
            let found: Vec<String> = Release::known()
                .filter(|release| release.has_flag(component, flag))
                .map(|release| release.series().to_string())
                .collect();
            assert_eq!(found.join(" "), versions, "{component} --{flag}");
        }
    }

    #[test]
    fn later_kubelets_are_told_to_run_on_the_old_control_groups() {
        let told = |version: &str, on: Cgroups| {
            let fields = release(version).settings(Kind::Kubelet, on);
            fields.filter(|(field, _)| *field == "failCgroupV1").count()
        };
        for (version, on_v1) in [("1.20", 0), ("1.34", 0), ("1.35", 1), ("1.36", 1)] {
            assert_eq!(
                (told(version, Cgroups::V1), told(version, Cgroups::V2)),
                (on_v1, 0),
                "{version}"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Cgroups::mounted_on(folder.path()), Cgroups::V1);
        std::fs::write(folder.path().join("cgroup.controllers"), "memory\n").unwrap();
        assert_eq!(Cgroups::mounted_on(folder.path()), Cgroups::V2);
    }

    #[test]
    fn what_a_version_runs_on_is_checked() {
        assert!(release("1.20").check_etcd("3.4.23".parse().unwrap()).is_ok());
        assert!(release("1.36").check_etcd("3.5.16".parse().unwrap()).is_ok());
        assert!(release("1.36").check_etcd("3.5".parse().unwrap()).is_ok());
        let error = release("1.36")
            .check_etcd("3.5.9".parse().unwrap())
            .unwrap_err()
            .to_string();
        assert_eq!(error, "Kubernetes 1.36 needs etcd 3.5.11 or newer, not 3.5.9");
        assert_eq!(release("1.20").cri(), CriVersion::V1Alpha2);
        assert_eq!(release("1.36").cri(), CriVersion::V1);
        assert_eq!(release("1.36").proxy_mode(None), Ok(ProxyMode::Nftables));
        let error = release("1.20")
            .proxy_mode(Some(ProxyMode::Nftables))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "kube-proxy of Kubernetes 1.20 has no mode \"nftables\"; known: iptables"
        );
    }
}
