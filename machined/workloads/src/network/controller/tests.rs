use std::net::Ipv4Addr;
use std::sync::Mutex;

use machine_config::parse;

use super::super::bridge::BridgeError;
use super::*;

/// What a controller asked for.
#[derive(Default)]
struct Recorded {
    bridge: Mutex<Vec<String>>,
    rules: Mutex<Vec<String>>,
    refuses: Mutex<bool>,
}

#[async_trait]
impl Bridge for &Recorded {
    async fn make(&self, address: Ipv4Addr, length: u8) -> Result<(), BridgeError> {
        self.bridge.lock().unwrap().push(format!("{address}/{length}"));
        Ok(())
    }
    async fn remove(&self) -> Result<(), BridgeError> {
        self.bridge.lock().unwrap().push("removed".into());
        Ok(())
    }
}

#[async_trait]
impl Rules for &Recorded {
    async fn apply(&self, rules: &str) -> Result<(), ControllerError> {
        if *self.refuses.lock().unwrap() {
            return Err(ControllerError::msg("no nft"));
        }
        self.rules.lock().unwrap().push(rules.to_owned());
        Ok(())
    }
}

fn config(workloads: &str) -> MachineConfig {
    let text = format!(
        "apiVersion: bedplate.dev/v1alpha1
kind: MachineConfig
machine:
  role: standalone
  ca:
    cert: \"-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\"
    key: \"-----BEGIN PRIVATE KEY-----\\nMC4C\\n-----END PRIVATE KEY-----\"
{workloads}"
    );
    parse(&text).unwrap()
}

const TWO: &str = "workloads:
  - {name: web, image: {bundled: a}, network: {mode: bridge, ports: [{container: 80, host: 8080}]}}
  - {name: db, image: {bundled: a}, network: {mode: bridge}}
  - {name: alone, image: {bundled: a}}
";

#[tokio::test]
async fn the_bridge_comes_with_the_first_workload_on_it_and_goes_with_the_last() {
    let kernel: &Recorded = Box::leak(Box::default());
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    let mut controller = WorkloadNetwork::new(kernel, kernel, hosts.clone());
    let store = Store::new();
    let status = || store.get::<WorkloadNetworkStatus>(NODE);

    store.put("config", NODE, config("")).unwrap();
    controller.reconcile(&store).await.unwrap();
    assert!(kernel.bridge.lock().unwrap().is_empty() && kernel.rules.lock().unwrap().is_empty());

    store.put("config", NODE, config(TWO)).unwrap();
    *kernel.refuses.lock().unwrap() = true;
    controller.reconcile(&store).await.unwrap();
    assert_eq!(status().unwrap().problem.as_deref(), Some("no nft"));
    *kernel.refuses.lock().unwrap() = false;
    for _ in 0..2 {
        controller.reconcile(&store).await.unwrap();
    }
    let now = status().unwrap();
    assert_eq!(now.problem, None);
    assert_eq!(now.addresses["web"], Ipv4Addr::new(10, 87, 0, 2));
    assert_eq!(now.addresses.len(), 2);
    assert_eq!(kernel.bridge.lock().unwrap()[0], "10.87.0.1/24");
    let rules = kernel.rules.lock().unwrap().clone();
    assert_eq!(
        rules.len(),
        1,
        "the same rules are not put in force again at once"
    );
    assert!(rules[0].contains("tcp dport 8080 dnat ip to 10.87.0.2:80"));
    let names = std::fs::read_to_string(&hosts).unwrap();
    assert!(names.contains("10.87.0.3\tdb\n"), "{names}");

    store.put("config", NODE, config("")).unwrap();
    controller.reconcile(&store).await.unwrap();
    assert_eq!(status(), None);
    assert_eq!(kernel.bridge.lock().unwrap().last().unwrap(), "removed");
    assert_eq!(*kernel.rules.lock().unwrap().last().unwrap(), rules::none());
}

#[tokio::test]
async fn a_network_that_is_taken_is_told_and_nothing_is_made() {
    let kernel: &Recorded = Box::leak(Box::default());
    let mut controller = WorkloadNetwork::new(kernel, kernel, "/nowhere/hosts".into());
    let store = Store::new();
    store.put("config", NODE, config(TWO)).unwrap();
    let address = AddressStatus {
        link: "eth0".into(),
        address: "10.87.0.77/16".parse().unwrap(),
        ours: true,
    };
    store.put("network", "eth0", address).unwrap();
    controller.reconcile(&store).await.unwrap();
    let status: WorkloadNetworkStatus = store.get(NODE).unwrap();
    let problem = status.problem.unwrap();
    assert!(
        problem.contains("collides with 10.87.0.77/16 of eth0"),
        "{problem}"
    );
    assert!(status.addresses.is_empty() && kernel.bridge.lock().unwrap().is_empty());
}
