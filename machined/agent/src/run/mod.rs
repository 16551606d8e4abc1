//! Puts the node together: what `main` calls, what PID 1 does first, in which order the parts start, and how they
//! stop.

mod answers;
mod console;
mod container;
mod controllers;
mod draining;
mod guard;
mod hotplug;
mod kernel;
mod moments;
mod parts;
mod prepare;
mod quorum;
mod stop;
pub mod watchdog;
mod wiring;

pub use guard::main;
