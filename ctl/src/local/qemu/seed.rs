//! The machine config of a node, and the volumes that bring it there as clouds do.

use std::fs::OpenOptions;
use std::io::{self, Cursor, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use machine_config::MachineConfig;
use machine_config::v1alpha1::Interface;
use pki::Moment;
use zeroize::Zeroizing;

use super::machine::{Card, NETWORK};
use crate::local::plan::Node;
use crate::user_file;

/// Bytes of a volume: more than a machine config can have, and enough for FAT16.
const SIZE: usize = 8 << 20;

/// The label of a volume, and where user data are on it: NoCloud's for most images, and the config drive for those of OpenStack.
const VOLUMES: [(&str, [u8; 11], &str); 2] = [
    ("cidata.img", *b"CIDATA     ", "user-data"),
    ("config-2.img", *b"CONFIG-2   ", "openstack/latest/user_data"),
];

/// Reads a machine config for nodes of one role, and makes it that of one node.
///
/// # Errors
/// Fails when it cannot be read, or does not fit the node.
pub(super) fn config(path: &Path, node: &Node) -> anyhow::Result<Zeroizing<String>> {
    let text = user_file::load(path)?;
    let config = pki::parse_config(&text, Moment::of_host(SystemTime::now()));
    let config = config.with_context(|| format!("cannot use {}", path.display()))?;
    let config = of_node(config, node)?;
    Ok(Zeroizing::new(config.to_yaml_with_secrets()))
}

/// Gives a config the node's name and its networks. Pure.
fn of_node(mut config: MachineConfig, node: &Node) -> anyhow::Result<MachineConfig> {
    let invariant = "what is planned has the form of an address";
    let (network, length) = NETWORK.split_once('/').expect(invariant);
    let name = node.name.parse();
    config.machine.hostname = Some(name.map_err(|error| anyhow::anyhow!("{:?} is not {error}", node.name))?);
    let card = |card: Card| Interface {
        mac_address: Some(card.hardware_address(node)),
        ..Interface::default()
    };
    config.machine.network.interfaces = vec![
        Interface {
            dhcp: true,
            ..card(Card::Host)
        },
        Interface {
            addresses: vec![format!("{}/{length}", node.address).parse().expect(invariant)],
            ..card(Card::Cluster)
        },
    ];
    // Every node has another network, which leads to nowhere else.
    config.cluster.subnets = vec![format!("{network}/{length}").parse().expect(invariant)];
    config
        .check()
        .context("the machine config does not fit the node")?;
    Ok(config)
}

/// Writes the volumes with a machine config into a folder, for their owner alone, and returns them.
///
/// # Errors
/// Fails when one cannot be written.
pub(super) fn write(folder: &Path, config: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for (name, label, file) in VOLUMES {
        let path = folder.join(name);
        let made = volume(label, file, config.as_bytes()).and_then(|bytes| {
            let mut private = OpenOptions::new();
            private.write(true).create(true).truncate(true).mode(0o600);
            private.open(&path)?.write_all(&bytes)
        });
        made.with_context(|| format!("cannot write {}", path.display()))?;
        written.push(path);
    }
    Ok(written)
}

/// Makes a FAT volume with one file.
fn volume(label: [u8; 11], path: &str, content: &[u8]) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; SIZE]);
    let mut disk = Cursor::new(bytes.as_mut_slice());
    fatfs::format_volume(&mut disk, FormatVolumeOptions::new().volume_label(label))?;
    let volume = FileSystem::new(&mut disk, FsOptions::new())?;
    for (end, _) in path.match_indices('/') {
        volume.root_dir().create_dir(&path[..end])?;
    }
    let mut file = volume.root_dir().create_file(path)?;
    file.write_all(content)?;
    file.flush()?;
    drop(file);
    volume.unmount()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;

    use cloud::volume;

    use super::*;
    use crate::commands::generate::GenConfig;
    use crate::local::plan;

    #[test]
    fn a_node_gets_its_name_and_networks() {
        let folder = tempfile::tempdir().unwrap();
        let generate = GenConfig::of_cluster(
            "lab".parse().unwrap(),
            "https://198.19.0.10:6443".to_owned(),
            folder.path().to_owned(),
        );
        generate.write().unwrap();
        let node = plan::nodes(NETWORK, 1, 1).unwrap().remove(1);
        let text = config(&folder.path().join("worker.yaml"), &node).unwrap();
        for part in [
            "hostname: worker-1",
            "52:54:00:00:01:0b",
            "198.19.0.11/24",
            "dhcp: true",
        ] {
            assert!(text.contains(part), "{part} is not in the config");
        }
        let parsed = pki::parse_config(&text, Moment::of_host(SystemTime::now())).unwrap();
        assert_eq!(parsed.cluster.subnets.len(), 1);
    }

    #[test]
    fn nodes_recognise_the_volumes() {
        let folder = tempfile::tempdir().unwrap();
        let paths = write(folder.path(), "kind: MachineConfig\n").unwrap();
        let expected = [
            ("cidata", "user-data"),
            ("config-2", "openstack/latest/user_data"),
        ];
        for (path, (label, file)) in paths.iter().zip(expected) {
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let bytes = fs::read(path).unwrap();
            let found = volume::identify(&bytes[..volume::LENGTH], &[]).unwrap();
            assert!(found.is(label), "{found:?}");
            let volume = FileSystem::new(Cursor::new(bytes), FsOptions::new()).unwrap();
            let mut text = String::new();
            let mut file = volume.root_dir().open_file(file).unwrap();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, "kind: MachineConfig\n");
        }
    }
}
