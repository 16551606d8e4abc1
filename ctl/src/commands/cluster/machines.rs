//! How large virtual machines are.

use clap::Args;

use crate::local::qemu::Size;

/// The machines of nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(super) struct Machines {
    /// Memory of each machine. [default: 2560MiB]
    #[arg(long, value_name = "SIZE", value_parser = quantity::bytes, help_heading = "With qemu")]
    memory: Option<u64>,
    /// Processors of each machine. [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256), help_heading = "With qemu")]
    processors: Option<u32>,
    /// Disk of each machine: it takes no more space than what is written to it. [default: 10GiB]
    #[arg(long, value_name = "SIZE", value_parser = quantity::bytes, help_heading = "With qemu")]
    disk: Option<u64>,
    /// Emulate the processors even where KVM works.
    #[arg(long, help_heading = "With qemu")]
    pub(super) no_kvm: bool,
}

impl Machines {
    /// Returns how large they are.
    pub(super) fn size(&self) -> Size {
        Size {
            memory: self.memory.unwrap_or(2560 << 20),
            processors: self.processors.unwrap_or(2),
            disk: self.disk.unwrap_or(10 << 30),
        }
    }

    /// Checks that nothing is said of machines.
    ///
    /// # Errors
    /// Fails when anything is.
    pub(super) fn refuse(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            *self == Self::default(),
            "--memory, --processors, --disk and --no-kvm are for virtual machines: add --provisioner qemu"
        );
        Ok(())
    }
}
