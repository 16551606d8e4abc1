//! Containerd's store: checked before each start, and replaced when it is damaged.
//!
//! [`bolt`] reads its databases, [`check`] decides whether the store is whole, [`aside`] moves a damaged one away, bounded
//! in number, size and time. [`StoreRepair`] brings them together. All that is in the store can be had again: images are
//! imported or pulled, pods are made again by whoever wanted them.

mod aside;
mod bolt;
mod check;
mod repair;

pub use repair::StoreRepair;
