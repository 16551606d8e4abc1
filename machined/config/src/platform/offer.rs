//! What a platform offers, made of user data and metadata.

use cloud::meta_data::{MetaData, MetaDataError};
use cloud::user_data;
use state::chain;

use super::{Answer, Offer};

impl Offer {
    /// Makes an offer of user data, without metadata; nothing of empty user data.
    ///
    /// # Errors
    ///
    /// When it cannot be a config.
    pub(super) fn of_user_data(bytes: &[u8]) -> Result<Answer, String> {
        let document = user_data::decode(bytes, machine_config::LIMIT).map_err(|error| chain(&error))?;
        let Some(document) = document else {
            return Ok(Answer::Nothing);
        };
        let text = machine_config::decode(&document).map_err(|error| chain(&error))?;
        Ok(Answer::Offer(Offer {
            yaml: text.to_owned().into(),
            ..Offer::default()
        }))
    }
}

impl Answer {
    /// Adds what metadata says, if there is any.
    pub(super) fn with(mut self, read: Option<Result<MetaData, MetaDataError>>) -> Self {
        if let (Answer::Offer(offer), Some(read)) = (&mut self, read) {
            match read {
                Ok(meta) => {
                    offer.host_name = meta.host_name;
                    if meta.ssh_keys {
                        let ignored = "the SSH keys are ignored: a node has no SSH; its API is open to certificates of machine.ca";
                        offer.notes.push(ignored.to_owned());
                    }
                }
                Err(error) => offer
                    .notes
                    .push(format!("the metadata is ignored: {}", chain(&error))),
            }
        }
        self
    }
}
