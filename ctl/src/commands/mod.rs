//! The commands, a module for each. [`Remote`] lists those that only call nodes; `cli` adds the others.

pub mod apply;
pub mod bootstrap;
pub mod cluster;
pub mod completions;
pub mod config;
pub mod containers;
pub mod context;
pub mod copy;
pub mod cpu;
pub mod dashboard;
pub mod discover;
pub mod disks;
mod done;
pub mod edit;
pub mod etcd;
pub mod files;
pub mod firmware;
pub mod flash;
pub mod generate;
pub mod get;
pub mod get_config;
pub mod health;
pub mod images;
pub mod kubeconfig;
pub mod logs;
pub mod manifests;
pub mod memory;
pub mod mounts;
pub mod net;
pub mod netstat;
pub mod pcap;
pub mod power;
pub mod processes;
mod resources;
pub mod rollout;
pub mod rotate_ca;
pub mod services;
pub mod status;
pub mod support;
pub mod time;
pub mod upgrade;
pub mod usage;
pub mod version;
pub mod workload;
pub mod workloads;

use std::process::ExitCode;

use clap::Subcommand;

use crate::session::Session;

/// Defines the commands that only call nodes: their files are the modules above.
macro_rules! remote_commands {
    ($($(#[$attribute:meta])* $name:ident($command:ty),)*) => {
        /// The commands that only call nodes.
        #[derive(Debug, Subcommand)]
        pub enum Remote {
            $($(#[$attribute])* $name($command),)*
        }

        impl Remote {
            /// Runs the command on the session's nodes.
            pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
                match self {
                    $(Self::$name(command) => command.run(session).await,)*
                }
            }
        }
    };
}

remote_commands! {
    /// Show the status of nodes: phase, boot, slots, health.
    Status(status::Status),
    /// Show whether nodes are healthy and, if not, why.
    ///
    /// A control plane also shows each node of its cluster: Ready, or why not in kubelet's words. With --wait the command waits
    /// until all is well.
    ///
    /// Exits with 0 when all nodes are healthy, with 3 when one is degraded (everything that its config requires holds, but
    /// something else is wrong), with 4 when one is unhealthy, and with 1 when one cannot be reached.
    Health(health::Health),
    /// Show nodes, their load and memory, services and logs on a page that redraws.
    ///
    /// Arrow keys select a node and the service whose log is shown, q leaves. A node that is away is connected to again.
    Dashboard(dashboard::DashboardArgs),
    /// Show the clocks of nodes.
    Time(time::Time),
    /// Show or watch resources: the state that controllers work on.
    Get(get::Get),
    /// List services.
    Services(services::Services),
    /// Start, stop and restart services.
    #[command(subcommand)]
    Service(services::Service),
    /// List workloads: the containers that nodes run by themselves.
    Workloads(workloads::Workloads),
    /// List, pull, import and remove the images of workloads.
    #[command(subcommand)]
    Images(images::Images),
    /// Show the log of machined or of a service.
    Logs(logs::Logs),
    /// Show the kernel log.
    Dmesg(logs::Dmesg),
    /// Show the events of nodes.
    Events(logs::Events),
    /// List processes.
    Processes(processes::Processes),
    /// List containers: those of pods, and others that containerd has.
    Containers(containers::Containers),
    /// Show memory usage.
    Memory(memory::Memory),
    /// Show CPUs, load and temperature.
    Cpu(cpu::Cpu),
    /// List disks and partitions.
    Disks(disks::Disks),
    /// List mounted file systems.
    Mounts(mounts::Mounts),
    /// List network interfaces.
    Net(net::Net),
    /// List sockets with their processes and services: those on which a node can be reached, or all.
    ///
    /// Pods with a network of their own have sockets that are not listed here.
    Netstat(netstat::Netstat),
    /// Capture packets on an interface of a node, as a file in the format pcap.
    ///
    /// Those of this command's own connection are left out. Read it with tcpdump or Wireshark, also while it runs:
    /// `bedplate pcap -i eth0 --port 53 | tcpdump -nr -`.
    Pcap(pcap::Pcap),
    /// List files.
    Ls(files::Ls),
    /// Print the content of a file.
    Read(files::Read),
    /// Copy a file or directory of a node to this computer.
    ///
    /// What `bedplate read` shows can be copied: files below /etc, /usr and /var/log, without keys. They are unpacked into a
    /// directory, over nothing that is there and without links, or written as a tar file to standard output.
    Copy(copy::Copy),
    /// Show what takes up space on DATA and STATE.
    ///
    /// Lists directories with the space that they take on the disk, the sum of the lengths of their files, and the number of
    /// those. Other file systems that are mounted below are left out.
    Usage(usage::Usage),
    /// Apply a machine config to nodes.
    ///
    /// The config is validated here, and once more by each node. Use --fingerprint (shown on the node's console) or --insecure
    /// for a node in maintenance mode.
    Apply(apply::Apply),
    /// Print a node's machine config.
    ///
    /// Only admins see the secrets in it. Redacted or not, the config can be edited and applied again: the node fills in its
    /// own secrets where they are redacted.
    GetConfig(get_config::GetConfig),
    /// Edit the machine config of a node.
    ///
    /// Opens it in the editor that VISUAL or EDITOR names, with secrets redacted, and applies it afterwards. If it is not valid,
    /// the editor opens again with the errors at the top. What could not be applied is kept in a file. The node refuses it if
    /// its config was changed meanwhile.
    Edit(edit::Edit),
    /// Show the manifests that control planes apply to the cluster.
    ///
    /// Bedplate's own come first, then those of the machine config in its order. A manifest whose objects the API server
    /// refuses is shown with the reason, and tried again.
    Manifests(manifests::Manifests),
    /// Begin a new cluster on one control plane.
    ///
    /// Run it once, on one control plane, when its machine config is applied: its etcd starts as the first of the cluster.
    /// The other control planes and the workers join by themselves, in any order, and it does not matter if they were started
    /// before. It is refused where a cluster exists already. A node that loses its power meanwhile goes on by itself.
    Bootstrap(bootstrap::Bootstrap),
    /// Show and change the etcd of control planes.
    #[command(subcommand)]
    Etcd(etcd::Etcd),
    /// Get access to the cluster's Kubernetes: a kubeconfig for kubectl.
    ///
    /// A control plane signs a certificate for a key that is generated here, in the name of the client certificate of the
    /// context. It is valid for a day and can do everything in the cluster; run the command again for the next one. What else
    /// is in the file stays as it is.
    Kubeconfig(kubeconfig::Kubeconfig),
    /// Collect what helps to find a fault into an archive: logs, resources, figures, and the machine configs without their secrets.
    ///
    /// Nodes that do not answer are recorded in it. The archive is not encrypted: names, addresses and what programs log are in it.
    Support(support::Support),
    /// Reboot nodes.
    Reboot(power::Reboot),
    /// Shut nodes down.
    Shutdown(power::Shutdown),
    /// Wipe the state or the data of nodes.
    Reset(power::Reset),
    /// Show and repair the files that the firmware of nodes reads: the boot loader and the board's firmware.
    #[command(subcommand)]
    Firmware(firmware::Firmware),
    /// Upgrade nodes to another release.
    ///
    /// A node writes the release into the slot that is not running, verifies it, and reboots into it on trial. It keeps the
    /// release if it becomes healthy, and falls back to the old one if it does not. Several nodes are upgraded one after
    /// another, and none starts after one has failed. An interrupted upgrade is resumed by running the same command again.
    Upgrade(Box<upgrade::Upgrade>),
}
