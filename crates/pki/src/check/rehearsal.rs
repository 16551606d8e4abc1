//! Issues the API's certificate as a rehearsal, and verifies it at both ends.

use machine_config::MachineConfig;

use crate::trust::vouches;
use crate::{Authority, Certificate, Error, Flaw, Moment, NodeClock, Serving, authority};

/// The name of a config's authority in errors.
const CA: &str = "machine.ca";

/// Does what a node with this config does before it serves: issues its certificate, and makes its TLS settings. Then it
/// verifies a certificate of each end by the rules of the other.
pub(super) fn rehearse(config: &MachineConfig, moment: Moment) -> Result<(), Error> {
    let machine = &config.machine;
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    names.extend(machine.hostname.iter().map(ToString::to_string));
    names.extend(machine.cert_sans.iter().map(ToString::to_string));
    let authorities = machine.ca.cert.as_str();
    let clock = NodeClock::new();
    clock.raise_floor(moment.at);
    clock.set_synchronised(moment.certain);
    let Some(key) = &machine.ca.key else {
        return Serving::mutual(authorities, &authority::unjoined(&names)?, clock.into()).map(drop);
    };
    let authority = Authority::from_pem(authorities, key.expose(), CA)?;
    let validity = clock.plan(moment.at).within(authority.validity());
    let node = authority.issue_server("Bedplate node", &names, validity)?;
    let user = authority.issue_client("rehearsal", "none", validity)?;
    Serving::mutual(authorities, &node, clock.into())?;
    let trusted = Certificate::all_from_pem(authorities, CA)?;
    for made in [node, user] {
        if !vouches(&trusted, &[made.certificate]) {
            let flaw = Flaw::Unbelieved;
            return Err(Error::Flaw {
                what: "the authority",
                flaw,
            });
        }
    }
    Ok(())
}
