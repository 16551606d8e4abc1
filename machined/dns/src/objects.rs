//! The API's objects, as far as names need them: the rest is never kept.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;

use cluster_zone::Zone;
use cluster_zone::objects::{Endpoint, Port, Protocol, Service, Slice, Target};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::ApiResource;
use kube::core::ClusterResourceScope;
use kubernetes_client::kube;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The label that says to which service a slice belongs.
const SERVICE: &str = "kubernetes.io/service-name";

/// A namespace and a name.
pub(crate) type Id = (String, String);

/// An object that the zone knows.
pub(crate) trait Known:
    Resource<DynamicType = ApiResource> + DeserializeOwned + Clone + std::fmt::Debug + Send + 'static
{
    /// How many of them are asked for at once: what comes is held as it comes for a moment.
    const PAGE: u32;

    /// Adds it to the zone, or removes it where it says nothing that a name could stand for.
    fn put(&self, zone: &mut Zone);

    /// Removes it from the zone.
    fn remove(&self, zone: &mut Zone);

    /// Keeps only these in the zone.
    fn retain(zone: &mut Zone, kept: &BTreeSet<Id>);

    /// Returns its namespace, empty where it has none, and its name.
    fn id(&self) -> Id {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        (text(&self.meta().namespace), text(&self.meta().name))
    }
}

/// A namespace: only its metadata is asked for.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Namespace {
    #[serde(default)]
    metadata: ObjectMeta,
}

/// A service.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct ApiService {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: ApiServiceSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiServiceSpec {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(rename = "clusterIP", default)]
    cluster_ip: String,
    /// Missing in servers that know one family only.
    #[serde(rename = "clusterIPs", default)]
    cluster_ips: Vec<String>,
    #[serde(default)]
    external_name: String,
    #[serde(default)]
    publish_not_ready_addresses: bool,
    #[serde(default)]
    ports: Vec<ApiPort>,
}

/// A slice of endpoints, of any version of its group.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiSlice {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    address_type: String,
    #[serde(default)]
    endpoints: Option<Vec<ApiEndpoint>>,
    #[serde(default)]
    ports: Option<Vec<ApiPort>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct ApiEndpoint {
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default)]
    hostname: Option<String>,
    #[serde(default)]
    conditions: Option<Conditions>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Conditions {
    #[serde(default)]
    ready: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct ApiPort {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    protocol: Option<String>,
    #[serde(default)]
    port: Option<i32>,
}

macro_rules! resource {
    ($name:ident, $metadata_only:literal) => {
        impl Resource for $name {
            type DynamicType = ApiResource;
            // All of them are asked for at once, whatever namespace they are in.
            type Scope = ClusterResourceScope;

            fn kind(resource: &ApiResource) -> Cow<'_, str> {
                resource.kind.as_str().into()
            }

            fn group(resource: &ApiResource) -> Cow<'_, str> {
                resource.group.as_str().into()
            }

            fn version(resource: &ApiResource) -> Cow<'_, str> {
                resource.version.as_str().into()
            }

            fn plural(resource: &ApiResource) -> Cow<'_, str> {
                resource.plural.as_str().into()
            }

            fn metadata_api() -> bool {
                $metadata_only
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

resource!(Namespace, true);
resource!(ApiService, false);
resource!(ApiSlice, false);

impl Known for Namespace {
    const PAGE: u32 = 200;

    fn put(&self, zone: &mut Zone) {
        zone.set_namespace(&self.id().1);
    }

    fn remove(&self, zone: &mut Zone) {
        zone.remove_namespace(&self.id().1);
    }

    fn retain(zone: &mut Zone, kept: &BTreeSet<Id>) {
        zone.retain_namespaces(&kept.iter().map(|(_, name)| name.clone()).collect());
    }
}

impl Known for ApiService {
    const PAGE: u32 = 100;

    fn put(&self, zone: &mut Zone) {
        let (namespace, name) = self.id();
        match self.spec.service() {
            Some(service) => zone.set_service(&namespace, &name, service),
            None => zone.remove_service(&namespace, &name),
        }
    }

    fn remove(&self, zone: &mut Zone) {
        let (namespace, name) = self.id();
        zone.remove_service(&namespace, &name);
    }

    fn retain(zone: &mut Zone, kept: &BTreeSet<Id>) {
        zone.retain_services(kept);
    }
}

impl Known for ApiSlice {
    const PAGE: u32 = 40;

    fn put(&self, zone: &mut Zone) {
        let (namespace, name) = self.id();
        match self.slice() {
            Some(slice) => zone.set_slice(&namespace, &name, slice),
            None => zone.remove_slice(&namespace, &name),
        }
    }

    fn remove(&self, zone: &mut Zone) {
        let (namespace, name) = self.id();
        zone.remove_slice(&namespace, &name);
    }

    fn retain(zone: &mut Zone, kept: &BTreeSet<Id>) {
        zone.retain_slices(kept);
    }
}

impl ApiServiceSpec {
    /// Returns what its name stands for; none while it has no address yet.
    fn service(&self) -> Option<Service> {
        let own: Vec<&str> = match self.cluster_ips.is_empty() {
            true => vec![&*self.cluster_ip],
            false => self.cluster_ips.iter().map(String::as_str).collect(),
        };
        let target = match self.kind.as_str() {
            "ExternalName" => Target::Name(self.external_name.as_str().into()),
            _ if own == ["None"] => Target::Endpoints,
            _ => {
                let own: Box<[IpAddr]> = own.iter().filter_map(|text| text.parse().ok()).collect();
                if own.is_empty() {
                    return None;
                }
                Target::Addresses(own)
            }
        };
        Some(Service {
            target,
            ports: self.ports.iter().filter_map(ApiPort::port).collect(),
            publishes_not_ready: self.publish_not_ready_addresses,
        })
    }
}

impl ApiSlice {
    /// Returns what counts of it; none of one that belongs to no service, or whose addresses are names.
    fn slice(&self) -> Option<Slice> {
        let service = self.metadata.labels.as_ref()?.get(SERVICE)?;
        if !matches!(self.address_type.as_str(), "IPv4" | "IPv6") {
            return None;
        }
        let endpoints = self.endpoints.iter().flatten().flat_map(ApiEndpoint::endpoints);
        Some(Slice {
            service: service.as_str().into(),
            ports: self.ports.iter().flatten().filter_map(ApiPort::port).collect(),
            endpoints: endpoints.collect(),
        })
    }
}

impl ApiEndpoint {
    fn endpoints(&self) -> impl Iterator<Item = Endpoint> {
        let hostname = self.hostname.as_deref().filter(|name| !name.is_empty());
        // Not said is ready, by the API's own word.
        let ready = self.conditions.as_ref().and_then(|conditions| conditions.ready);
        let addresses = self.addresses.iter().filter_map(|text| text.parse().ok());
        addresses.map(move |address| Endpoint {
            address,
            hostname: hostname.map(Into::into),
            ready: ready.unwrap_or(true),
        })
    }
}

impl ApiPort {
    fn port(&self) -> Option<Port> {
        let protocol = match self.protocol.as_deref() {
            None | Some("" | "TCP") => Protocol::Tcp,
            Some("UDP") => Protocol::Udp,
            Some("SCTP") => Protocol::Sctp,
            Some(_) => return None,
        };
        Some(Port {
            name: self.name.as_deref().unwrap_or_default().into(),
            protocol,
            number: u16::try_from(self.port?).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(spec: serde_json::Value) -> Option<Service> {
        let object: ApiService =
            serde_json::from_value(json!({"metadata": {"name": "a", "namespace": "b"}, "spec": spec}))
                .unwrap();
        object.spec.service()
    }

    #[test]
    fn services_of_old_and_new_servers_are_read() {
        let port =
            json!([{"name": "dns", "protocol": "UDP", "port": 53, "targetPort": "dns", "nodePort": 30_053}]);
        let old = service(json!({"clusterIP": "10.96.0.7", "type": "NodePort", "ports": port})).unwrap();
        assert_eq!(
            old.target,
            Target::Addresses(Box::from(["10.96.0.7".parse().unwrap()]))
        );
        let expected = Port {
            name: "dns".into(),
            protocol: Protocol::Udp,
            number: 53,
        };
        assert_eq!(*old.ports, [expected]);
        let both = service(
            json!({"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00::7"], "ipFamilies": ["IPv4", "IPv6"]}),
        );
        assert!(matches!(both.unwrap().target, Target::Addresses(own) if own.len() == 2));
        let headless =
            service(json!({"clusterIP": "None", "clusterIPs": ["None"], "publishNotReadyAddresses": true}))
                .unwrap();
        assert!(headless.publishes_not_ready && headless.target == Target::Endpoints);
        let named = service(json!({"type": "ExternalName", "externalName": "www.example.com"})).unwrap();
        assert_eq!(named.target, Target::Name("www.example.com".into()));
        assert_eq!(service(json!({"clusterIP": ""})), None);
        assert_eq!(service(json!({})), None);
    }

    #[test]
    fn slices_of_old_and_new_servers_are_read() {
        let read = |slice: serde_json::Value| serde_json::from_value::<ApiSlice>(slice).unwrap().slice();
        let slice = |kind: &str| {
            json!({
                "metadata": {"name": "a-1", "namespace": "b", "labels": {SERVICE: "a"}},
                "addressType": kind,
                "endpoints": [
                    {"addresses": ["10.0.0.1"], "conditions": {"ready": true}, "hostname": "pet", "topology": {"kubernetes.io/hostname": "n"}},
                    {"addresses": ["10.0.0.2"], "conditions": {"ready": false, "serving": true, "terminating": true}, "nodeName": "n"},
                    {"addresses": ["10.0.0.3", "10.0.0.4"], "conditions": {}},
                ],
                "ports": [{"name": "http", "port": 80, "protocol": "TCP", "appProtocol": "http"}, {"name": "", "port": null}],
            })
        };
        let found = read(slice("IPv4")).unwrap();
        let shown: Vec<_> = found
            .endpoints
            .iter()
            .map(|endpoint| {
                (
                    endpoint.address.to_string(),
                    endpoint.hostname.as_deref(),
                    endpoint.ready,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("10.0.0.1".to_owned(), Some("pet"), true),
                ("10.0.0.2".to_owned(), None, false),
                ("10.0.0.3".to_owned(), None, true),
                ("10.0.0.4".to_owned(), None, true),
            ]
        );
        assert_eq!((found.ports.len(), &*found.service), (1, "a"));
        assert_eq!(read(slice("FQDN")), None);
        assert_eq!(
            read(json!({"metadata": {"name": "x"}, "addressType": "IPv4", "endpoints": null, "ports": null})),
            None
        );
    }
}
