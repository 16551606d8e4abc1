//! NoCloud: files named `user-data` and `meta-data`, on a volume with the label `cidata`, or on a server that the kernel's command line
//! or the firmware's serial number names. See [cloud-init's page](https://docs.cloud-init.io/en/latest/reference/datasources/nocloud.html).

use std::time::Duration;

use async_trait::async_trait;
use cloud::meta_data;
use cloud::seed::Seed;
use state::Store;

use super::volume::Volumes;
use super::web::{self, Get};
use super::{Answer, Offer, Platform};

const LABEL: &str = "cidata";
const USER_DATA: &str = "user-data";
const META_DATA: &str = "meta-data";
/// How long each request may take.
const WITHIN: Duration = Duration::from_secs(25);

/// The volume.
pub(super) struct NoCloudVolume(pub Volumes);

#[async_trait]
impl Platform for NoCloudVolume {
    fn name(&self) -> String {
        format!("volume {LABEL}")
    }

    fn by_network(&self) -> bool {
        false
    }

    async fn config(&self, _: &Store) -> Result<Answer, String> {
        let wanted = [(USER_DATA, machine_config::LIMIT), (META_DATA, meta_data::LIMIT)];
        match self.0.files(LABEL, wanted).await? {
            None => Ok(Answer::Absent),
            Some([None, _]) => Ok(Answer::Nothing),
            Some([Some(user_data), meta_data]) => {
                let read = meta_data.map(|bytes| meta_data::nocloud(&bytes));
                Ok(Offer::of_user_data(&user_data)?.with(read))
            }
        }
    }
}

/// The server.
pub(super) struct NoCloudServer(pub Seed);

impl NoCloudServer {
    async fn file(&self, name: &str, most: usize) -> Result<Option<Vec<u8>>, String> {
        let get = Get {
            url: self.0.file(name),
            headers: Vec::new(),
            most,
            within: WITHIN,
            redirects: true,
        };
        web::get(get).await
    }
}

#[async_trait]
impl Platform for NoCloudServer {
    fn name(&self) -> String {
        remote::shown(&self.0.address)
    }

    async fn config(&self, _: &Store) -> Result<Answer, String> {
        let Some(user_data) = self.file(USER_DATA, machine_config::LIMIT).await? else {
            return Ok(Answer::Nothing);
        };
        let meta_data = self.file(META_DATA, meta_data::LIMIT).await?;
        let read = meta_data.map(|bytes| meta_data::nocloud(&bytes));
        let mut answer = Offer::of_user_data(&user_data)?.with(read);
        if let (Answer::Offer(offer), Some(name)) = (&mut answer, &self.0.host_name) {
            offer.host_name = Some(name.clone());
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::volume::tests::attached;
    use super::*;

    #[tokio::test]
    async fn a_volume_gives_a_config_and_a_name() {
        let files: &[(&str, &[u8])] = &[
            ("user-data", b"text"),
            ("meta-data", b"instance-id: a\nlocal-hostname: node7\n"),
        ];
        let (_dir, volumes) = attached("cidata", files);
        let answer = NoCloudVolume(volumes).config(&Store::new()).await.unwrap();
        let expected = Offer {
            yaml: "text".to_owned().into(),
            host_name: Some("node7".into()),
            ..Offer::default()
        };
        assert_eq!(answer, Answer::Offer(expected));

        let (_dir, volumes) = attached("cidata", &[("user-data", b"text"), ("meta-data", b"- a\n")]);
        let answer = NoCloudVolume(volumes).config(&Store::new()).await.unwrap();
        assert!(
            matches!(&answer, Answer::Offer(offer) if offer.notes.len() == 1),
            "{answer:?}"
        );
    }

    #[tokio::test]
    async fn a_volume_without_a_config_is_told_and_no_volume_is_not() {
        let ask = |label, files: &'static [(&str, &[u8])]| async move {
            let (_dir, volumes) = attached(label, files);
            NoCloudVolume(volumes).config(&Store::new()).await
        };
        assert_eq!(ask("other", &[("user-data", b"text")]).await, Ok(Answer::Absent));
        assert_eq!(ask("cidata", &[("meta-data", b"")]).await, Ok(Answer::Nothing));
        assert_eq!(ask("cidata", &[("user-data", b"\n")]).await, Ok(Answer::Nothing));
        let script = ask("cidata", &[("user-data", b"#!/bin/sh\n")]).await.unwrap_err();
        assert!(script.contains("a script"), "{script}");
    }
}
