//! What PID 1 does before and after everything else, and what is known about this boot.

pub mod cmdline;
pub mod consoles;
pub mod container;
pub mod etc;
mod handover;
pub mod lockdown;
pub mod mounts;
mod stamps;
pub mod sysctls;

pub use cmdline::Cmdline;
pub use handover::Handover;
pub use stamps::Stamps;
