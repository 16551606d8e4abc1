//! OpenStack: the config drive, a volume with the label `config-2`, and the metadata service at its well-known address. Both have
//! the same files. See [OpenStack's page](https://docs.openstack.org/nova/latest/user/metadata.html).

use std::time::Duration;

use async_trait::async_trait;
use cloud::{meta_data, network_data};
use state::Store;

use super::volume::Volumes;
use super::web::{self, Get};
use super::{Answer, Offer, Platform};

/// Where clouds have their metadata service.
pub(super) const SERVICE: &str = "http://169.254.169.254";
const LABEL: &str = "config-2";
const USER_DATA: &str = "openstack/latest/user_data";
const META_DATA: &str = "openstack/latest/meta_data.json";
const NETWORK_DATA: &str = "openstack/latest/network_data.json";
/// How long each request may take.
const WITHIN: Duration = Duration::from_secs(20);

/// The volume.
pub(super) struct ConfigDrive(pub Volumes);

#[async_trait]
impl Platform for ConfigDrive {
    fn name(&self) -> String {
        format!("volume {LABEL}")
    }

    fn by_network(&self) -> bool {
        false
    }

    async fn config(&self, _: &Store) -> Result<Answer, String> {
        let wanted = [
            (USER_DATA, machine_config::LIMIT),
            (META_DATA, meta_data::LIMIT),
            (NETWORK_DATA, meta_data::LIMIT),
        ];
        match self.0.files(LABEL, wanted).await? {
            None => Ok(Answer::Absent),
            Some([None, ..]) => Ok(Answer::Nothing),
            Some([Some(user_data), meta_data, network_data]) => answer(&user_data, meta_data, network_data),
        }
    }
}

/// The service.
pub(super) struct OpenStack {
    /// Its address, without a path.
    pub service: String,
}

impl OpenStack {
    async fn file(&self, name: &str, most: usize) -> Result<Option<Vec<u8>>, String> {
        let get = Get {
            url: format!("{}/{name}", self.service),
            headers: Vec::new(),
            most,
            within: WITHIN,
            redirects: false,
        };
        web::get(get).await
    }
}

#[async_trait]
impl Platform for OpenStack {
    fn name(&self) -> String {
        "OpenStack's metadata service".to_owned()
    }

    async fn config(&self, _: &Store) -> Result<Answer, String> {
        let Some(user_data) = self.file(USER_DATA, machine_config::LIMIT).await? else {
            return Ok(Answer::Nothing);
        };
        let meta_data = self.file(META_DATA, meta_data::LIMIT).await?;
        let network_data = self.file(NETWORK_DATA, meta_data::LIMIT).await?;
        answer(&user_data, meta_data, network_data)
    }
}

fn answer(
    user_data: &[u8],
    meta_data: Option<Vec<u8>>,
    network_data: Option<Vec<u8>>,
) -> Result<Answer, String> {
    let meta_data = meta_data.map(|bytes| meta_data::openstack(&bytes));
    let network_data = network_data.map(|bytes| network_data::read(&bytes));
    let answer = Offer::of_user_data(user_data)?;
    Ok(answer.with(meta_data).with_network(network_data))
}

#[cfg(test)]
mod tests {
    use super::super::volume::tests::attached;
    use super::*;

    #[tokio::test]
    async fn a_config_drive_gives_a_config_and_a_name_and_keys_are_ignored() {
        let meta = br#"{"hostname": "cp1.novalocal", "public_keys": {"me": "ssh-ed25519 AAAA"}}"#;
        let (_dir, volumes) = attached("config-2", &[(USER_DATA, b"text"), (META_DATA, meta)]);
        let answer = ConfigDrive(volumes).config(&Store::new()).await.unwrap();
        let Answer::Offer(offer) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(
            (offer.yaml.as_str(), offer.host_name.as_deref()),
            ("text", Some("cp1"))
        );
        assert!(offer.notes[0].contains("SSH keys"), "{:?}", offer.notes);
        let (_dir, volumes) = attached("config-2", &[(META_DATA, meta)]);
        assert_eq!(
            ConfigDrive(volumes).config(&Store::new()).await,
            Ok(Answer::Nothing)
        );
    }
}
