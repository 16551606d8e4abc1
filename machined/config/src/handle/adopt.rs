//! Takes configs from platforms, and reports on platforms that have none.

use cloud::network_data::NetworkData;
use machine_config::MachineConfig;
use machine_config::v1alpha1::Network;
use state::chain;
use state::kinds::config::Source;

use super::{ApplyError, ConfigHandle, OWNER, TRY_TIMEOUT};
use crate::plan::{Effect, Mode};
use crate::platform::{Offer, network};

/// Gives a config the network that a platform names, if it is sound with it.
fn with_network(config: &MachineConfig, data: &NetworkData) -> Result<MachineConfig, String> {
    let mut completed = config.clone();
    completed.machine.network = network(data)?;
    machine_config::parse(&completed.to_yaml_with_secrets()).map_err(|faults| chain(&faults))
}

impl ConfigHandle {
    /// Makes a config the node's that a platform gave, if the node still waits for one. An error has changed nothing.
    pub(crate) async fn adopt(&self, offer: Offer, from: &str) -> Result<(), String> {
        let handle = self.clone();
        let notes = offer.notes.clone();
        // A task of its own: whoever asks may be dropped between the file and the store.
        let task = tokio::spawn(async move { handle.adopt_now(&offer).await });
        let ended = task.await.map_err(|error| chain(&error))?;
        let when = match ended.map_err(|error| chain(&error))? {
            Effect::Reboot => "takes effect with the reboot that follows",
            Effect::Live | Effect::Stage | Effect::Try => "is in effect",
        };
        let told = format!("the machine config of {from} {when}");
        self.shared.events.info(OWNER, told);
        for note in notes {
            self.shared.events.info(OWNER, format!("{from}: {note}"));
        }
        Ok(())
    }

    async fn adopt_now(&self, offer: &Offer) -> Result<Effect, ApplyError> {
        let mut state = self.shared.state.lock().await;
        if !state.status.awaits_config() {
            return Err(ApplyError::NotAwaited);
        }
        let (mut new, plan) = self.examine(&offer.yaml, None, Mode::Auto)?;
        if new.machine.hostname.is_none() {
            // In the config that is filed: nobody is asked again.
            new.machine.hostname = offer.host_name.as_deref().and_then(|name| name.parse().ok());
        }
        if let Some(data) = offer
            .network
            .as_ref()
            .filter(|_| new.machine.network == Network::default())
        {
            let completed = with_network(&new, data);
            match completed {
                Ok(completed) => new = completed,
                Err(problem) => self.shared.events.warning(
                    OWNER,
                    format!("the network data is ignored, and DHCP is used: {problem}"),
                ),
            }
        }
        self.carry_out(&mut state, plan.effect, new, Source::Platform, TRY_TIMEOUT)
            .await?;
        Ok(plan.effect)
    }

    /// Reports what is wrong with the platforms, in the place of what was. Returns false, and reports nothing, if the node has a
    /// config by now.
    pub(crate) async fn report(&self, problems: Vec<String>) -> bool {
        let mut state = self.shared.state.lock().await;
        let waits = state.status.awaits_config();
        if waits {
            state.status.problems = [state.at_start.clone(), problems].concat();
            if let Err(error) = self.publish(&state) {
                tracing::error!("{error}");
            }
        }
        waits
    }
}
