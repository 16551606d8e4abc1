//! The service of a workload: what the supervisor keeps running. Pure.

use std::net::Ipv4Addr;

use machine_config::Secret;
use machine_config::v1alpha1::{RestartPolicy, Workload};
use node::logs::FileLimits;
use service_definition::{HealthCheck, Restart, Service};
use state::kinds::ServiceSpec;
use state::kinds::service_spec::file_path;

use crate::runner::Places;
use crate::settings::{Network, Settings};

/// The agent's own program.
const PROGRAM: &str = "/usr/bin/machined";
/// The file with what the workload is started with.
const SETTINGS: &str = "workload.json";
/// What the program needs besides the container's own time to end it, in seconds.
const SPARE: u32 = 15;
/// An hour, in seconds: the longest that a service may take to end.
const HOUR: u32 = 3600;

/// What stands before a workload's name in that of its service.
pub const PREFIX: &str = "workload-";

/// Returns the name of a workload's service, and of its log.
pub fn service(workload: &str) -> String {
    format!("{PREFIX}{workload}")
}

/// Makes the service of a workload that runs this image of containerd, in this network.
///
/// # Errors
///
/// Its settings cannot be written; they always can.
pub fn spec(
    workload: &Workload,
    image: &str,
    network: Network,
    places: &Places,
) -> Result<ServiceSpec, serde_json::Error> {
    let name = service(workload.name.as_str());
    let file = file_path(&name, SETTINGS);
    let mut service = Service::new(&name, [PROGRAM, "workload", "run", &file]);
    service.depends_on = vec![containerd::SERVICE.to_owned()];
    let others = workload
        .depends_on
        .iter()
        .map(|other| self::service(other.as_str()));
    service.depends_on.extend(others);
    service.restart = match workload.restart_policy {
        RestartPolicy::Always => Restart::Always,
        RestartPolicy::OnFailure => Restart::OnFailure,
        RestartPolicy::Never => Restart::Never,
    };
    let grace = u32::try_from(workload.stop_grace_period.duration().as_secs()).unwrap_or(HOUR);
    service.stop_seconds = grace.saturating_add(SPARE).min(HOUR);
    // It hands over mounts and devices to containerd, and gives secrets and volumes to the container's user.
    service.capabilities = ["CHOWN", "DAC_OVERRIDE", "FOWNER"].map(str::to_owned).to_vec();
    if let Network::Bridge(_) = network {
        // It makes a network namespace, and an interface in it.
        service
            .capabilities
            .extend(["NET_ADMIN", "SYS_ADMIN"].map(str::to_owned));
    }
    service.health = Some(health(workload, &network, places, &file));
    let settings = serde_json::to_string(&Settings::of(workload, image, network))?;
    Ok(ServiceSpec::new(service).with_secret(SETTINGS, Secret::new(settings)))
}

/// Returns the source of a workload's log, and the limits of its files.
pub fn log_files(workload: &Workload) -> (String, FileLimits) {
    let limits = FileLimits {
        size: workload.logs.max_size.bytes(),
        count: workload.logs.max_files,
    };
    (service(workload.name.as_str()), limits)
}

/// Makes the health check. Without one in the config, the workload is healthy while its container runs.
fn health(workload: &Workload, network: &Network, places: &Places, settings: &str) -> HealthCheck {
    let Some(check) = &workload.health_check else {
        return HealthCheck {
            socket: Some(places.up(workload.name.as_str()).display().to_string()),
            every_seconds: 5,
            ..HealthCheck::default()
        };
    };
    let seconds =
        |period: machine_config::value::Period| u32::try_from(period.duration().as_secs()).unwrap_or(HOUR);
    let address = match network {
        Network::Bridge(place) => place.address,
        Network::Host | Network::None => Ipv4Addr::LOCALHOST,
    };
    let http = check.http.as_ref().map(|http| {
        let path = http.path.as_deref().unwrap_or("/");
        format!("http://{address}:{}{path}", http.port)
    });
    let exec = (!check.command.is_empty()).then(|| {
        [PROGRAM, "workload", "check", settings]
            .map(str::to_owned)
            .to_vec()
    });
    HealthCheck {
        http,
        tcp: check.tcp.map(|port| format!("{address}:{port}")),
        exec,
        every_seconds: seconds(check.interval),
        timeout_seconds: seconds(check.timeout),
        failures: check.retries,
        unhealthy: service_definition::Unhealthy::Restart,
        ..HealthCheck::default()
    }
}
