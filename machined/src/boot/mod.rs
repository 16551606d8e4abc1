//! What PID 1 does around everything else, and what is known about this boot.

pub mod cmdline;
pub mod consoles;
pub mod etc;
pub mod lockdown;
pub mod mounts;
pub mod release;
pub mod status;
pub mod sysctls;

pub use cmdline::Cmdline;
pub use release::Release;
pub use status::{BootStatus, LoaderTimes, SlotStatus, Stamps};
