//! The table: how slot B comes to be faulty, or its machine; and what must come of it.

use slots::Slot;

use super::damage;
use super::damage::Damage;
use crate::scenarios::releases::Release;

/// One fault.
pub struct Row {
    /// Its name; also that of the folder with its consoles.
    pub name: &'static str,
    /// What is in slot B.
    pub slot: Content,
    /// What is wrong with the machine.
    pub machine: Trouble,
    /// Tries that slot B has.
    pub tries: u8,
    /// How often it is started.
    pub starts: usize,
    /// Which slot runs afterwards.
    pub runs: Slot,
    /// What the node must report of it afterwards: texts that must all be there.
    pub reports: &'static [&'static str],
}

/// What is in slot B.
#[derive(Clone, Copy)]
pub enum Content {
    /// A release with a fault of its own.
    Faulty(&'static Release),
    /// The release of slot A, damaged.
    Damaged(Damage),
    /// The release of slot A.
    Good,
}

/// What is wrong with the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// The network's cable is out for as long as slot B runs.
    NoCable,
    /// Its clock starts at this moment, as QEMU writes it.
    Clock(&'static str),
    /// The power is cut each time that slot B has been started, so often.
    PowerCuts(usize),
    /// The same, and slot B is not on trial but kept.
    PowerCutsWhenKept(usize),
    /// Its disk stops answering as soon as slot B's kernel has been started.
    StuckDisk,
    /// The DATA partition is full.
    FullData,
    /// Nothing on the DATA partition can be used.
    LostData,
    /// The head of the database in which containerd keeps what it has is zeros.
    DamagedStore,
    /// Nothing, but slot B is not on trial: it was kept, and went bad later.
    WasKept,
}

/// Every fault; those first that take longest.
pub const ROWS: &[Row] = &[
    Row {
        name: "kernel-hang",
        slot: Content::Faulty(&Release::overlay("fault-hang")),
        reports: &["never became healthy", "the watchdog restarted it"],
        ..FALLS_BACK
    },
    Row {
        name: "agent-hang",
        slot: Content::Faulty(&Release::overlay("fault-stall")),
        reports: &["never became healthy", "the watchdog restarted it"],
        ..FALLS_BACK
    },
    Row {
        name: "stuck-disk",
        slot: Content::Good,
        machine: Trouble::StuckDisk,
        reports: &["no tries left"],
        ..FALLS_BACK
    },
    Row {
        name: "never-ready-node",
        slot: Content::Faulty(&Release::overlay("fault-unready")),
        reports: &["not healthy in time", "services: unhealthy:", "node-ready ("],
        ..FALLS_BACK
    },
    Row {
        name: "crash-looping-service",
        slot: Content::Faulty(&Release::overlay("fault-crash-loop")),
        reports: &["not healthy in time", "services: unhealthy:", "fault ("],
        ..FALLS_BACK
    },
    Row {
        name: "no-network",
        slot: Content::Good,
        machine: Trouble::NoCable,
        reports: &["not healthy in time", "network: no interface has an address"],
        ..FALLS_BACK
    },
    Row {
        name: "kernel-panic",
        slot: Content::Faulty(&Release::overlay("fault-panic")),
        reports: &["never became healthy"],
        ..FALLS_BACK
    },
    Row {
        name: "init-crash",
        slot: Content::Faulty(&Release::NO_AGENT),
        tries: 2,
        starts: 2,
        reports: &["no tries left"],
        ..FALLS_BACK
    },
    Row {
        name: "wrong-root-hash",
        slot: Content::Damaged(damage::other_root_hash),
        tries: 2,
        reports: ROOT_DAMAGED,
        ..FALLS_BACK
    },
    Row {
        name: "corrupted-hash-tree",
        slot: Content::Damaged(damage::flip_in_tree),
        tries: 2,
        reports: ROOT_DAMAGED,
        ..FALLS_BACK
    },
    Row {
        name: "half-written-slot",
        slot: Content::Damaged(damage::forget_second_half),
        tries: 2,
        reports: ROOT_DAMAGED,
        ..FALLS_BACK
    },
    Row {
        name: "root-damaged-when-kept",
        slot: Content::Damaged(damage::flip_in_tree),
        machine: Trouble::WasKept,
        reports: &["root file system does not match the manifest"],
        ..FALLS_BACK
    },
    Row {
        name: "corrupted-kernel",
        slot: Content::Damaged(damage::flip_in_kernel),
        starts: 0,
        reports: &["kernel hash does not match the manifest"],
        ..FALLS_BACK
    },
    Row {
        name: "clock-in-1970",
        slot: Content::Good,
        machine: Trouble::Clock("1970-01-01T00:00:00"),
        ..IS_KEPT
    },
    Row {
        name: "clock-in-2099",
        slot: Content::Good,
        machine: Trouble::Clock("2099-01-01T00:00:00"),
        ..IS_KEPT
    },
    Row {
        name: "full-data",
        slot: Content::Good,
        machine: Trouble::FullData,
        ..IS_KEPT
    },
    Row {
        name: "lost-data",
        slot: Content::Good,
        machine: Trouble::LostData,
        reports: &["not healthy in time", "storage: DATA is only in memory"],
        ..FALLS_BACK
    },
    Row {
        name: "damaged-container-store",
        slot: Content::Good,
        machine: Trouble::DamagedStore,
        ..IS_KEPT
    },
    Row {
        name: "power-cuts-on-trial",
        slot: Content::Good,
        machine: Trouble::PowerCuts(2),
        tries: 2,
        starts: 2,
        reports: &["no tries left"],
        ..FALLS_BACK
    },
    Row {
        name: "power-cuts-when-kept",
        slot: Content::Good,
        machine: Trouble::PowerCutsWhenKept(4),
        tries: 0,
        starts: 5,
        ..IS_KEPT
    },
];

/// What the initramfs finds, and the record and the diary keep.
const ROOT_DAMAGED: &[&str] = &[
    "root file system does not match the manifest",
    "Input/output error",
    "it reached initramfs",
    // In the kernel's log.
    "device-mapper: verity",
];

/// One try, and back to slot A.
const FALLS_BACK: Row = Row {
    name: "",
    slot: Content::Good,
    machine: Trouble::None,
    tries: 1,
    starts: 1,
    runs: Slot::A,
    reports: &[],
};

/// One try, which serves.
const IS_KEPT: Row = Row {
    runs: Slot::B,
    ..FALLS_BACK
};
