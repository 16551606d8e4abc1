//! What a workload may use and do at most. The doc comments here are the reference page: write them for users.

use serde::Serialize;

use crate::value::{ByteSize, Processors};

/// What a workload may use at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
pub struct WorkloadResources {
    /// Memory, at least 4 MiB. A workload that needs more is killed, and started again by its restart policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// Processors, such as `500m` or `1.5`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Processors>,
    /// Processes and threads. 1024 if not given.
    #[serde(skip_serializing_if = "is_pids")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default = "pids"))]
    pub pids: u32,
}

impl Default for WorkloadResources {
    fn default() -> Self {
        Self {
            memory: None,
            cpu: None,
            pids: pids(),
        }
    }
}

/// Which system calls a workload may make.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Seccomp {
    /// Those that ordinary programs make, as with Docker: none for kernel modules, mounts, namespaces, keys of the kernel or its tracing, but those that go with its capabilities.
    #[default]
    Default,
    /// All of them.
    Unconfined,
}

impl Seccomp {
    /// Every choice with its name.
    pub const ALL: [(&'static str, Self); 2] = [("default", Self::Default), ("unconfined", Self::Unconfined)];
}

/// How much of the log of a workload is kept on DATA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadLogs {
    /// The size at which a file is put aside, from 256 KiB to 1 GiB. 2 MiB if not given.
    #[serde(skip_serializing_if = "is_max_size")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default = "max_size"))]
    pub max_size: ByteSize,
    /// The number of files, with the one that is written to, from 1 to 20. 2 if not given.
    #[serde(skip_serializing_if = "is_max_files")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default = "max_files"))]
    pub max_files: u32,
}

impl Default for WorkloadLogs {
    fn default() -> Self {
        Self {
            max_size: max_size(),
            max_files: max_files(),
        }
    }
}

fn max_size() -> ByteSize {
    ByteSize::of(2 << 20)
}

fn is_max_size(value: &ByteSize) -> bool {
    *value == max_size()
}

fn max_files() -> u32 {
    2
}

fn is_max_files(value: &u32) -> bool {
    *value == max_files()
}

fn pids() -> u32 {
    1024
}

fn is_pids(value: &u32) -> bool {
    *value == pids()
}
