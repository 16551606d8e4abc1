//! The system's disk: finding it, growing DATA, preparing and mounting STATE and DATA.
//!
//! [`disk`] looks; [`content`] decides what is to be done to a partition; [`grow`] and [`prepare`] do it; the
//! controller [`Storage`] keeps at it until both are mounted, and publishes [`VolumeStatus`]; in a container,
//! [`MountedVolumes`] takes what the engine mounted. [`own_disk`] keeps the disk's
//! GUIDs its own, as [`disk_identity`] decides. [`identity`] and [`seed`] keep what makes this machine itself, [`owner`] whose
//! it is; [`wipe`] forgets all of it. [`room`] tells when a volume is full.

mod container;
pub mod content;
pub mod controller;
pub mod disk_identity;
pub mod grow;
pub mod identity;
pub mod own_disk;
pub mod owner;
pub mod prepare;
pub mod room;
pub mod seed;
pub mod wipe;

pub use container::MountedVolumes;
pub use controller::Storage;
pub use own_disk::OwnDisk;
pub use owner::OwnerFile;
pub use room::WatchRoom;
