//! Decides which platforms there are.

use std::sync::Arc;

use async_trait::async_trait;
use cloud::firmware::{self, Cloud};
use cloud::seed::{self, Seed};
use state::Store;

use super::ec2::Ec2;
use super::machine::Machine;
use super::nocloud::{NoCloudServer, NoCloudVolume};
use super::openstack::{ConfigDrive, OpenStack, SERVICE};
use super::url::Url;
use super::volume::Volumes;
use super::{Answer, Platform};

/// The kernel argument with the address of a config, or `none`.
const CONFIG: &str = "bedplate.config=";
/// The kernel argument with the names of platforms, separated by commas.
const PLATFORM: &str = "bedplate.platform=";

/// What is around the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surroundings {
    /// A machine: its firmware and its disks speak for it.
    Machine,
    /// A container: firmware and disks are the host's, and speak for the host. Only what is named counts.
    Container,
}

/// A platform by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    NoCloud,
    OpenStack,
    Ec2,
}

/// The names of platforms.
const NAMES: &[(&str, Named)] = &[
    ("nocloud", Named::NoCloud),
    ("openstack", Named::OpenStack),
    ("ec2", Named::Ec2),
];
/// The name of having none.
const NONE: &str = "none";

/// What to ask, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    Url(String),
    NoCloudVolume,
    NoCloudServer(Seed),
    ConfigDrive,
    OpenStack,
    Ec2,
    Unknown(String),
}

/// Returns the platforms of a node, by the kernel's command line and what is around it.
pub fn find(cmdline: &str, surroundings: Surroundings) -> Vec<Arc<dyn Platform>> {
    let machine = Machine::here();
    let volumes = Volumes::here();
    let make = |choice: Choice| -> Arc<dyn Platform> {
        match choice {
            Choice::Url(address) => Arc::new(Url::new(&address, machine.clone())),
            Choice::NoCloudVolume => Arc::new(NoCloudVolume(volumes.clone())),
            Choice::NoCloudServer(seed) => Arc::new(NoCloudServer(seed)),
            Choice::ConfigDrive => Arc::new(ConfigDrive(volumes.clone())),
            Choice::OpenStack => Arc::new(OpenStack {
                service: SERVICE.to_owned(),
            }),
            Choice::Ec2 => Arc::new(Ec2 {
                service: SERVICE.to_owned(),
            }),
            Choice::Unknown(name) => Arc::new(Unknown(name)),
        }
    };
    choose(cmdline, surroundings, &machine)
        .into_iter()
        .map(make)
        .collect()
}

/// Decides what to ask: whoever names a platform means that one alone.
fn choose(cmdline: &str, surroundings: Surroundings, machine: &Machine) -> Vec<Choice> {
    let words = || cmdline.split_ascii_whitespace();
    let addresses: Vec<&str> = words().filter_map(|word| word.strip_prefix(CONFIG)).collect();
    let names: Vec<&str> = words()
        .filter_map(|word| word.strip_prefix(PLATFORM))
        .flat_map(|names| names.split(','))
        .collect();
    if addresses.contains(&NONE) || names.contains(&NONE) {
        return Vec::new();
    }
    let is_machine = surroundings == Surroundings::Machine;
    let serial = || machine.serial_as_it_is().filter(|_| is_machine);
    let seed = || words().find_map(seed::read).or_else(|| seed::read(&serial()?));
    let nocloud = || {
        let server = seed().map(Choice::NoCloudServer);
        std::iter::once(Choice::NoCloudVolume).chain(server)
    };

    let mut choices: Vec<Choice> = addresses
        .iter()
        .map(|address| Choice::Url((*address).to_owned()))
        .collect();
    for name in &names {
        match NAMES.iter().find(|(known, _)| known == name) {
            Some((_, Named::NoCloud)) => choices.extend(nocloud()),
            Some((_, Named::OpenStack)) => choices.extend([Choice::ConfigDrive, Choice::OpenStack]),
            Some((_, Named::Ec2)) => choices.push(Choice::Ec2),
            None => choices.push(Choice::Unknown((*name).to_owned())),
        }
    }
    if !choices.is_empty() || !is_machine {
        return choices;
    }
    choices.extend(nocloud());
    choices.push(Choice::ConfigDrive);
    match firmware::cloud(|field| machine.field(field)) {
        Some(Cloud::OpenStack) => choices.push(Choice::OpenStack),
        Some(Cloud::Ec2) => choices.push(Choice::Ec2),
        None => {}
    }
    choices
}

/// A name that is no platform's.
struct Unknown(String);

#[async_trait]
impl Platform for Unknown {
    fn name(&self) -> String {
        format!("{PLATFORM}{}", self.0)
    }

    fn by_network(&self) -> bool {
        false
    }

    async fn config(&self, _: &Store) -> Result<Answer, String> {
        let mut known: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        known.push(NONE);
        Err(format!(
            "there is no such platform; known are {}",
            known.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn says(root: &Path, file: &str, text: &str) {
        let folder = root.join("sys/class/dmi/id");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(file), text).unwrap();
    }

    fn chosen(cmdline: &str, machine: &Machine) -> String {
        let choices = choose(cmdline, Surroundings::Machine, machine);
        let name = |choice: &Choice| match choice {
            Choice::NoCloudServer(seed) => seed.address.clone(),
            other => format!("{other:?}"),
        };
        choices.iter().map(name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_named_counts_alone() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::below(root.path());
        says(root.path(), "product_name", "OpenStack Nova\n");
        for (cmdline, expected) in [
            ("quiet", "NoCloudVolume ConfigDrive OpenStack"),
            ("bedplate.config=http://a/b quiet", "Url(\"http://a/b\")"),
            ("bedplate.platform=ec2", "Ec2"),
            (
                "bedplate.platform=openstack,nocloud",
                "ConfigDrive OpenStack NoCloudVolume",
            ),
            (
                "bedplate.platform=nocloud ds=nocloud;s=http://a/",
                "NoCloudVolume http://a/",
            ),
            ("bedplate.platform=ec3", "Unknown(\"ec3\")"),
            ("bedplate.platform=none", ""),
            ("bedplate.config=http://a/b bedplate.config=none", ""),
            ("bedplate.config=http://a/b bedplate.platform=none", ""),
        ] {
            assert_eq!(chosen(cmdline, &machine), expected, "{cmdline}");
        }
    }

    #[test]
    fn firmware_tells_the_cloud_and_the_server() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::below(root.path());
        assert_eq!(chosen("", &machine), "NoCloudVolume ConfigDrive");
        says(
            root.path(),
            "product_serial",
            "ds=nocloud;s=http://10.0.2.2:8000/\n",
        );
        assert_eq!(
            chosen("", &machine),
            "NoCloudVolume http://10.0.2.2:8000/ ConfigDrive"
        );
        assert_eq!(
            chosen("ds=nocloud;s=http://a/", &machine),
            "NoCloudVolume http://a/ ConfigDrive"
        );
        says(root.path(), "sys_vendor", "Amazon EC2\n");
        says(root.path(), "product_serial", "ec2-1234\n");
        assert_eq!(chosen("", &machine), "NoCloudVolume ConfigDrive Ec2");
    }

    #[test]
    fn the_host_of_a_container_does_not_speak_for_it() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::below(root.path());
        says(root.path(), "product_name", "OpenStack Nova\n");
        says(root.path(), "product_serial", "ds=nocloud;s=http://a/\n");
        assert_eq!(choose("", Surroundings::Container, &machine), []);
        let named = choose("bedplate.config=http://a/b", Surroundings::Container, &machine);
        assert_eq!(named, [Choice::Url("http://a/b".into())]);
    }

    #[tokio::test]
    async fn a_wrong_name_is_told_with_the_right_ones() {
        let error = Unknown("ec3".into()).config(&Store::new()).await.unwrap_err();
        assert!(error.contains("nocloud, openstack, ec2, none"), "{error}");
    }
}
