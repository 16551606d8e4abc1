//! Builds the programs that run on a node, and lays them out as `bedplate-image --binaries` reads them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::arch::Arch;
use crate::process::Program;
use crate::setup::{Toolchain, Uefi};
use crate::{bill, paths};

/// A first build compiles some two hundred crates.
const LIMIT: Duration = Duration::from_secs(40 * 60);
/// The crates of the agent.
#[rustfmt::skip]
const AGENT: &[&str] = &[
    "backend",
    "balancer",
    "clock",
    "cluster",
    "config",
    "containerd",
    "discovery",
    "dns",
    "etcd",
    "etcd-client",
    "firmware",
    "health",
    "kubernetes-client",
    "kubernetes-node",
    "machined",
    "manifests",
    "network",
    "node",
    "pod-network",
    "server",
    "services",
    "state",
    "storage",
    "trust",
    "upgrades",
    "virtual-ip",
    "workloads",
];
/// Programs for the running node. Statically linked: the initramfs holds no libraries. `faulty` is in no image but those
/// that tests build.
const LINUX_PROGRAMS: [&str; 3] = ["machined", "pause", "faulty"];
/// The package, and its program's name, that becomes `bootloader.efi`.
const LOADER: &str = "bootloader-efi";

/// Builds every node program for one architecture into `target/node/<arch>`.
pub fn build(toolchain: &Toolchain, arch: Arch) -> Result<()> {
    linux(toolchain, arch)
        .args(LINUX_PROGRAMS.iter().flat_map(|program| ["--package", program]))
        .run()?;

    let target = arch.uefi_target();
    // The time of the build does not belong into the file.
    // curve25519-dalek would use vector registers on x86_64, which UEFI programs are compiled without.
    let flags = ["-Clink-arg=/Brepro", "--cfg=curve25519_dalek_backend=\"serial\""];
    let mut loader = cargo(toolchain, target, &flags);
    if toolchain.uefi == Uefi::FromSource {
        loader = loader.env("RUSTC_BOOTSTRAP", "1");
        loader = loader.env(&format!("CARGO_TARGET_{}_LINKER", shouted(target)), "lld-link");
        loader = loader.args(["-Zbuild-std=core,alloc,compiler_builtins"]);
        loader = loader.args(["-Zbuild-std-features=compiler-builtins-mem"]);
    }
    loader.args(["--package", LOADER]).run()?;

    for program in LINUX_PROGRAMS {
        place(arch, &built(arch.linux_target(), program), program)?;
    }
    place(
        arch,
        &built(arch.uefi_target(), &format!("{LOADER}.efi")),
        "bootloader.efi",
    )?;
    bill::write(toolchain, arch)
}

/// Builds the agent with its code divided otherwise, into `target/node-other/<arch>`: the same source, and nearly every
/// function elsewhere, as after a small change.
pub fn build_other_agent(toolchain: &Toolchain, arch: Arch) -> Result<()> {
    let target = arch.linux_target();
    let mut agent = linux(toolchain, arch);
    for part in AGENT {
        agent = agent.args([
            "--config",
            &format!("profile.release.package.{part}.codegen-units=3"),
        ]);
    }
    agent.args(["--package", "machined"]).run()?;
    let (from, to) = (
        paths::node_programs().join(arch.name()),
        paths::other_node_programs().join(arch.name()),
    );
    fs::create_dir_all(&to).with_context(|| format!("cannot create {}", to.display()))?;
    for entry in fs::read_dir(&from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    copy(&built(target, "machined"), &to.join("machined"))
}

/// A build of what runs on Linux.
fn linux(toolchain: &Toolchain, arch: Arch) -> Program {
    let target = arch.linux_target();
    let linux = cargo(toolchain, target, &["-Ctarget-feature=+crt-static"]);
    if Arch::host() == Some(arch) {
        return linux;
    }
    linux.env(&format!("CARGO_TARGET_{}_LINKER", shouted(target)), arch.gcc())
}

/// A release build whose result does not tell in which folder it was made.
fn cargo(toolchain: &Toolchain, target: &str, flags: &[&str]) -> Program {
    let mut encoded = vec![format!(
        "--remap-path-prefix={}=bedplate",
        paths::root().display()
    )];
    if let Some(home) = cargo_home() {
        encoded.push(format!("--remap-path-prefix={}=cargo", home.display()));
    }
    encoded.extend(flags.iter().map(|flag| (*flag).to_owned()));
    Program::new(&toolchain.cargo)
        .args([
            "build",
            "--release",
            "--locked",
            "--target",
            target,
            "--target-dir",
        ])
        .arg(cross_dir(target))
        .env("RUSTC", &toolchain.rustc)
        .env("CARGO_ENCODED_RUSTFLAGS", encoded.join("\u{1f}"))
        .within(LIMIT)
}

fn cargo_home() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))
}

/// UEFI programs have a folder of their own: what macros and build scripts were built with `RUSTC_BOOTSTRAP` is built
/// again without it, and once more with it, when they share one.
fn cross_dir(target: &str) -> PathBuf {
    let name = if target.ends_with("-uefi") {
        "cross-uefi"
    } else {
        "cross"
    };
    paths::target().join(name)
}

fn built(target: &str, file: &str) -> PathBuf {
    cross_dir(target).join(target).join("release").join(file)
}

fn place(arch: Arch, from: &Path, name: &str) -> Result<()> {
    let folder = paths::node_programs().join(arch.name());
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    copy(from, &folder.join(name))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn shouted(target: &str) -> String {
    target.to_uppercase().replace('-', "_")
}
