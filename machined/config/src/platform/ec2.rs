//! Metadata as EC2 has it, and others after it: with a token for each visit (IMDSv2).

use std::time::Duration;

use async_trait::async_trait;
use cloud::meta_data::{self, MetaData};
use state::Store;

use super::web::{self, Get};
use super::{Answer, Offer, Platform};

const TOKEN: &str = "latest/api/token";
const USER_DATA: &str = "latest/user-data";
const HOST_NAME: &str = "latest/meta-data/local-hostname";
const SSH_KEYS: &str = "latest/meta-data/public-keys/";
/// How long a token is needed.
const LIFE: (&str, &str) = ("x-aws-ec2-metadata-token-ttl-seconds", "120");
const TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";
/// The most bytes of a token, a name or a list of keys.
const SHORT: usize = 4096;
/// How long each request may take.
const WITHIN: Duration = Duration::from_secs(14);

/// The service.
pub(super) struct Ec2 {
    /// Its address, without a path.
    pub service: String,
}

impl Ec2 {
    fn get(&self, path: &str, header: Option<(&str, &str)>, most: usize) -> Get {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Get {
            url: format!("{}/{path}", self.service),
            headers: header.into_iter().map(owned).collect(),
            most,
            within: WITHIN,
            redirects: false,
        }
    }

    /// Requests a token; `None` from a service that knows none.
    async fn token(&self) -> Result<Option<String>, String> {
        let Some(token) = web::put(self.get(TOKEN, Some(LIFE), SHORT)).await? else {
            return Ok(None);
        };
        let token = String::from_utf8(token.trim_ascii().to_vec()).unwrap_or_default();
        let printable = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        printable
            .then_some(Some(token))
            .ok_or_else(|| "its token is not one".to_owned())
    }
}

#[async_trait]
impl Platform for Ec2 {
    fn name(&self) -> String {
        "EC2's metadata service".to_owned()
    }

    async fn config(&self, _: &Store) -> Result<Answer, String> {
        let token = self.token().await?;
        let header = token.as_deref().map(|token| (TOKEN_HEADER, token));
        let Some(user_data) = web::get(self.get(USER_DATA, header, machine_config::LIMIT)).await? else {
            return Ok(Answer::Nothing);
        };
        let name = web::get(self.get(HOST_NAME, header, SHORT)).await?;
        let name = name.map(|name| String::from_utf8_lossy(&name).into_owned());
        let keys = web::get(self.get(SSH_KEYS, header, SHORT)).await?;
        let read = MetaData {
            host_name: name.as_deref().and_then(meta_data::label),
            ssh_keys: keys.is_some_and(|keys| !keys.is_empty()),
        };
        Ok(Offer::of_user_data(&user_data)?.with(Some(Ok(read))))
    }
}
