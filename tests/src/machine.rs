//! The machines that images are booted on: what QEMU calls them, and which firmware starts them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::disk::Disk;
use crate::tools::Tool;

/// The port of a machine that a workload may publish.
pub const PUBLISHED: u16 = 8088;
/// The port of Kubernetes' API server.
const KUBERNETES: u16 = 6443;

/// An emulated machine with its firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// arm64, started by U-Boot.
    ArmUBoot,
    /// arm64, started by edk2.
    ArmEdk2,
    /// x86_64, started by edk2 (OVMF).
    Amd64Ovmf,
    /// x86_64, started by U-Boot.
    Amd64UBoot,
    /// A Raspberry Pi 3, started by the U-Boot on its own disk.
    Pi3,
}

/// The address at which a machine's API can be reached, and the disk it boots from.
pub struct Wiring<'a> {
    /// The disk it boots from and writes to.
    pub disk: &'a Disk,
    /// The port on this machine's loopback that leads to the API.
    pub api_port: u16,
    /// The port on this machine's loopback that leads to the API of Kubernetes.
    pub kubernetes_port: u16,
    /// The port on this machine's loopback that leads to the port [`PUBLISHED`].
    pub published_port: u16,
    /// A folder for consoles and firmware variables.
    pub folder: &'a Path,
    /// Further options of the emulator, separated by spaces; where there are lines, each of them is one.
    pub further: &'a [&'a str],
}

impl Machine {
    /// Returns the machine that a board's image can be shown on.
    pub fn for_board(board: &str, arch: &str) -> Machine {
        match (board, arch) {
            ("rpi3", _) => Machine::Pi3,
            ("generic-arm64", _) => Machine::ArmEdk2,
            (_, "amd64") => Machine::Amd64Ovmf,
            _ => Machine::ArmUBoot,
        }
    }

    /// Names the file of the console on which firmware and loader speak.
    pub fn loader_console(self, folder: &Path) -> PathBuf {
        match self {
            Machine::Pi3 => folder.join("console-firmware.log"),
            _ => self.kernel_console(folder),
        }
    }

    /// Names the file of the console on which kernel and machined speak.
    pub fn kernel_console(self, folder: &Path) -> PathBuf {
        folder.join("console.log")
    }

    /// Makes the command that starts it, without the process around it.
    pub fn command(self, wiring: &Wiring) -> Result<Vec<OsString>> {
        let mut words = Words::default();
        match self {
            Machine::ArmUBoot => {
                words.add("qemu-system-aarch64 -M virt -cpu cortex-a72 -smp 2 -m 1024");
                words.add("-bios /usr/lib/u-boot/qemu_arm64/u-boot.bin");
            }
            Machine::ArmEdk2 => {
                words.add("qemu-system-aarch64 -M virt -cpu cortex-a72 -smp 2 -m 1024");
                words.firmware(
                    "/usr/share/AAVMF/AAVMF_CODE.fd",
                    "/usr/share/AAVMF/AAVMF_VARS.fd",
                    wiring.folder,
                )?;
            }
            Machine::Amd64Ovmf => {
                words.add("qemu-system-x86_64 -M q35 -cpu qemu64 -smp 2 -m 1024");
                words.firmware(
                    "/usr/share/OVMF/OVMF_CODE_4M.fd",
                    "/usr/share/OVMF/OVMF_VARS_4M.fd",
                    wiring.folder,
                )?;
            }
            Machine::Amd64UBoot => {
                words.add("qemu-system-x86_64 -M q35 -cpu qemu64 -smp 2 -m 1024");
                words.add("-bios /usr/lib/u-boot/qemu-x86_64/u-boot.rom");
            }
            Machine::Pi3 => {
                words.add("qemu-system-aarch64 -M raspi3b -m 1024");
                // QEMU does not run the vendor's firmware, which would load these two from the same place.
                for (option, file) in [("-kernel", "u-boot.bin"), ("-dtb", "bcm2837-rpi-3-b.dtb")] {
                    let path = wiring.folder.join(file);
                    wiring.disk.copy_from_esp(file, &path)?;
                    words.pair(option, path);
                }
                without_watchdog(&wiring.folder.join("bcm2837-rpi-3-b.dtb"))?;
            }
        }
        // A machine may have /dev/kvm and still not be able to run guests with it.
        words.add("-accel tcg,thread=multi -display none -monitor none -no-user-config");
        words.disk(self, wiring.disk.path());
        words.network(self, wiring);
        let socket = talk(wiring.folder);
        words.pair("-qmp", format!("unix:{},server=on,wait=off", socket.display()));
        let loader = self.loader_console(wiring.folder);
        let kernel = self.kernel_console(wiring.folder);
        words.pair("-serial", format!("file:{}", kernel.display()));
        if loader != kernel {
            words.pair("-serial", format!("file:{}", loader.display()));
        }
        // Where two options disagree, the emulator keeps to the last.
        wiring.further.iter().for_each(|line| words.add(line));
        Ok(words.0)
    }
}

/// Returns the socket on which an emulator takes commands.
pub fn talk(folder: &Path) -> PathBuf {
    folder.join("qmp.sock")
}

/// Takes the watchdog out of a Raspberry Pi's device tree: QEMU's resets the machine as soon as it is armed.
fn without_watchdog(device_tree: &Path) -> Result<()> {
    let tool = Tool::new("fdtput").args(["-t", "s"]).arg(device_tree);
    tool.args(["/soc/watchdog@7e100000", "status", "disabled"])
        .run()?;
    Ok(())
}

#[derive(Default)]
struct Words(Vec<OsString>);

impl Words {
    fn add(&mut self, line: &str) {
        match line.contains('\n') {
            true => self.0.extend(line.lines().map(OsString::from)),
            false => self.0.extend(line.split_whitespace().map(OsString::from)),
        }
    }

    fn pair(&mut self, option: &str, value: impl Into<OsString>) {
        self.0.extend([option.into(), value.into()]);
    }

    /// Returns the machine flash memory: the firmware, and variables of its own to write to.
    fn firmware(&mut self, code: &str, variables: &str, folder: &Path) -> Result<()> {
        let own = folder.join("firmware-variables.fd");
        fs::copy(variables, &own).with_context(|| format!("cannot copy {variables}"))?;
        self.pair("-drive", format!("if=pflash,format=raw,readonly=on,file={code}"));
        self.pair("-drive", format!("if=pflash,format=raw,file={}", own.display()));
        Ok(())
    }

    fn disk(&mut self, machine: Machine, path: &Path) {
        // An emulator that is killed leaves this machine's cache as it is, so flushing it to this machine's disk would show nothing,
        // and keep all scenarios waiting for one another.
        let file = format!("format=raw,cache=unsafe,file={}", path.display());
        if machine == Machine::Pi3 {
            self.pair("-drive", format!("if=sd,{file}"));
        } else {
            self.pair("-drive", format!("if=none,id=disk,{file}"));
            self.add("-device virtio-blk-pci,drive=disk -device virtio-rng-pci");
        }
    }

    fn network(&mut self, machine: Machine, wiring: &Wiring) {
        let forward = |here: u16, there: u16| format!(",hostfwd=tcp:127.0.0.1:{here}-:{there}");
        let api = forward(wiring.api_port, api::PORT);
        let kubernetes = forward(wiring.kubernetes_port, KUBERNETES);
        let published = forward(wiring.published_port, PUBLISHED);
        self.pair("-netdev", format!("user,id=net{api}{kubernetes}{published}"));
        // The Pi's card is plugged in later: see `Emulator::plug_card`.
        if machine != Machine::Pi3 {
            self.add("-device virtio-net-pci,netdev=net");
        }
    }
}
