//! Reads the table.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use super::range::Flags;
use super::{EtcdRelease, Needs, Release};
use crate::{Error, Kind};

/// The table, ready to be asked.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) releases: Vec<Release>,
    pub(super) etcd_releases: Vec<EtcdRelease>,
    flags: BTreeMap<Kind, Flags>,
    etcd_flags: Flags,
}

impl Table {
    /// Returns the flags of a component of Kubernetes; none for etcd.
    pub(super) fn kubernetes_flags(&self, component: Kind) -> Option<&Flags> {
        self.flags.get(&component)
    }

    pub(super) fn etcd_flags(&self) -> &Flags {
        &self.etcd_flags
    }
}

/// Returns the table.
pub(super) fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let raw =
            yaml::from_str(include_str!("../versions.yaml")).expect("the table has the form of its types");
        check(raw).expect("the versions in the table are versions")
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    kubernetes: RawKubernetes,
    etcd: RawEtcd,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKubernetes {
    versions: BTreeMap<String, Needs>,
    flags: BTreeMap<Kind, BTreeMap<String, Vec<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEtcd {
    versions: BTreeMap<String, RawEtcdRelease>,
    flags: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEtcdRelease {
    arguments: BTreeMap<String, String>,
}

fn check(raw: Raw) -> Result<Table, Error> {
    let release = |(series, needs): (String, Needs)| {
        Ok(Release {
            series: series.parse()?,
            needs,
        })
    };
    let etcd = |(series, raw): (String, RawEtcdRelease)| {
        Ok(EtcdRelease {
            series: series.parse()?,
            arguments: raw.arguments,
        })
    };
    let flags = |(kind, lists)| Ok((kind, Flags::parse(lists)?));
    let mut releases: Vec<Release> = raw
        .kubernetes
        .versions
        .into_iter()
        .map(release)
        .collect::<Result<_, Error>>()?;
    let mut etcd_releases: Vec<EtcdRelease> = raw
        .etcd
        .versions
        .into_iter()
        .map(etcd)
        .collect::<Result<_, Error>>()?;
    // As texts, 1.9 would come after 1.20.
    releases.sort_by_key(|release| release.series);
    etcd_releases.sort_by_key(|release| release.series);
    Ok(Table {
        releases,
        etcd_releases,
        flags: raw
            .kubernetes
            .flags
            .into_iter()
            .map(flags)
            .collect::<Result<_, Error>>()?,
        etcd_flags: Flags::parse(raw.etcd.flags)?,
    })
}
