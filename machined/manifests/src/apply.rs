//! Makes a cluster hold what a list says, and nothing that no list has any more.

use std::collections::BTreeMap;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::discovery::{self, Scope};
use kube::{Api, Client, ResourceExt as _};
use kubernetes_client::limited;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::object::{Id, Object};

/// Who applies, for the API.
const MANAGER: &str = "bedplate";
/// The object that stands for all of them: an ApplySet, as kubectl knows it too.
const PARENT: (&str, &str) = ("kube-system", "bedplate-manifests");
const PARENT_KIND: (&str, &str) = ("ConfigMap", "");
/// The label of the parent and of its members, and the annotations of the parent.
const ID_LABEL: &str = "applyset.kubernetes.io/id";
const MEMBER_LABEL: &str = "applyset.kubernetes.io/part-of";
const TOOLING: (&str, &str) = ("applyset.kubernetes.io/tooling", "bedplate/v1");
const KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
const DIGEST: &str = "bedplate.dev/digest";
/// Kinds that take others with them: they are deleted last.
const LAST: [&str; 2] = ["CustomResourceDefinition", "Namespace"];

/// Why an object is not applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The API server cannot be asked: it makes no sense to go on.
    #[error("the API server cannot be asked: {}", kubernetes_client::reason(.0))]
    Unavailable(Box<kube::Error>),
    /// The API server has no such kind.
    #[error("the API server has no kind {kind} in {group}/{version}", group = if group.is_empty() { "the core" } else { group })]
    NoKind {
        group: String,
        version: String,
        kind: String,
    },
    /// The API server refused it.
    #[error("{0}")]
    Refused(String),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match error {
            // An API server that is busy or about to end is one that cannot be asked.
            kube::Error::Api(status) if status.code != 429 && status.code < 500 => {
                Self::Refused(status.message.clone())
            }
            other => Self::Unavailable(Box::new(other)),
        }
    }
}

/// A kind of objects: its name and its group.
pub(crate) type GroupKind = (String, String);

/// What the cluster knows of the list that was applied last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// What tells that list apart.
    pub digest: String,
    /// Every kind that it may have objects of.
    pub kinds: Vec<GroupKind>,
}

/// A cluster in which manifests are applied.
pub(crate) struct Cluster {
    client: Client,
    /// What the API server has said of kinds.
    resources: BTreeMap<(String, String, String), (ApiResource, Scope)>,
    member_of: String,
}

impl Cluster {
    pub(crate) fn new(client: Client) -> Self {
        let of = format!("{}.{}.{}.{}", PARENT.1, PARENT.0, PARENT_KIND.0, PARENT_KIND.1);
        let hash = Base64UrlUnpadded::encode_string(&Sha256::digest(of));
        Self {
            client,
            resources: BTreeMap::new(),
            member_of: format!("applyset-{hash}-v1"),
        }
    }

    fn parents(&self) -> Api<DynamicObject> {
        let parent = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", PARENT_KIND.0));
        Api::namespaced_with(self.client.clone(), PARENT.0, &parent)
    }

    /// Returns which list was applied last; none if there was none.
    pub(crate) async fn applied(&self) -> Result<Option<Applied>, Failure> {
        let Some(parent) = limited(self.parents().get_opt(PARENT.1)).await? else {
            return Ok(None);
        };
        let annotation = |name| {
            parent
                .annotations()
                .get(name)
                .map(String::as_str)
                .unwrap_or_default()
        };
        let kind = |text: &str| {
            let (kind, group) = text.split_once('.').unwrap_or((text, ""));
            (kind.to_owned(), group.to_owned())
        };
        Ok(Some(Applied {
            digest: annotation(DIGEST).to_owned(),
            kinds: annotation(KINDS)
                .split(',')
                .filter(|kind| !kind.is_empty())
                .map(kind)
                .collect(),
        }))
    }

    /// Writes down which list is applied, before anything of a new kind is created: nothing that was is ever forgotten.
    pub(crate) async fn note(&self, applied: &Applied) -> Result<(), Failure> {
        let kind = |(kind, group): &GroupKind| match group.as_str() {
            "" => kind.clone(),
            group => format!("{kind}.{group}"),
        };
        let mut kinds: Vec<String> = applied.kinds.iter().map(kind).collect();
        kinds.sort();
        kinds.dedup();
        let parent = json!({
            "apiVersion": "v1",
            "kind": PARENT_KIND.0,
            "metadata": {
                "name": PARENT.1,
                "namespace": PARENT.0,
                "labels": { (ID_LABEL): self.member_of },
                "annotations": { (TOOLING.0): TOOLING.1, (KINDS): kinds.join(","), (DIGEST): applied.digest },
            },
        });
        let parents = self.parents();
        limited(parents.patch(PARENT.1, &forced(), &Patch::Apply(parent))).await?;
        Ok(())
    }

    /// Applies an object. Returns what it is called, with its namespace.
    pub(crate) async fn apply(&mut self, object: &Object) -> Result<Id, Failure> {
        let (resource, scope) = self
            .resource(&object.id.group, &object.version, &object.id.kind)
            .await?;
        let namespace = match scope {
            Scope::Cluster => None,
            Scope::Namespaced => Some(object.id.namespace.as_deref().unwrap_or("default")),
        };
        let api = self.api(&resource, namespace);
        let content = member(object, namespace, &self.member_of);
        limited(api.patch(&object.id.name, &forced(), &Patch::Apply(content))).await?;
        Ok(Id {
            namespace: namespace.map(str::to_owned),
            ..object.id.clone()
        })
    }

    fn api(&self, resource: &ApiResource, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        }
    }

    async fn resource(
        &mut self,
        group: &str,
        version: &str,
        kind: &str,
    ) -> Result<(ApiResource, Scope), Failure> {
        let key = (group.to_owned(), version.to_owned(), kind.to_owned());
        if let Some((resource, scope)) = self.resources.get(&key) {
            return Ok((resource.clone(), scope.clone()));
        }
        let wanted = GroupVersionKind::gvk(group, version, kind);
        let found = limited(discovery::pinned_kind(&self.client, &wanted)).await;
        let (resource, capabilities) = found.map_err(|error| missing(error, key.clone()))?;
        let found = (resource, capabilities.scope);
        self.resources.insert(key, found.clone());
        Ok(found)
    }

    /// Finds a kind in whatever version the API server prefers; none if it has it no more.
    async fn any_version(&self, (kind, group): &GroupKind) -> Result<Option<ApiResource>, Failure> {
        let found = match group.as_str() {
            "" => {
                let core = GroupVersionKind::gvk("", "v1", kind);
                let found = limited(discovery::pinned_kind(&self.client, &core)).await;
                found.map(|(resource, _)| Some(resource))
            }
            group => {
                let found = limited(discovery::group(&self.client, group)).await;
                found.map(|group| group.recommended_kind(kind).map(|(resource, _)| resource))
            }
        };
        let key = (group.clone(), String::new(), kind.clone());
        match found.map_err(|error| missing(error, key)) {
            Ok(found) => Ok(found),
            Err(Failure::NoKind { .. }) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Deletes members of these kinds that are not listed. Returns what was deleted.
    pub(crate) async fn prune(&self, kinds: &[GroupKind], keep: &[Id]) -> Result<Vec<Id>, Failure> {
        let mut kinds = kinds.to_vec();
        kinds.sort_by_key(|(kind, group)| (LAST.contains(&kind.as_str()), kind.clone(), group.clone()));
        kinds.dedup();
        let mut deleted = Vec::new();
        for kind in kinds {
            let Some(resource) = self.any_version(&kind).await? else {
                continue;
            };
            let selected = ListParams::default().labels(&format!("{MEMBER_LABEL}={}", self.member_of));
            let members = limited(self.api(&resource, None).list_metadata(&selected)).await?;
            for found in members {
                let id = Id {
                    group: kind.1.clone(),
                    kind: kind.0.clone(),
                    namespace: found.namespace(),
                    name: found.name_any(),
                };
                if keep.contains(&id) || found.metadata.deletion_timestamp.is_some() {
                    continue;
                }
                let how = DeleteParams {
                    propagation_policy: Some(PropagationPolicy::Background),
                    preconditions: Some(Preconditions {
                        uid: found.uid(),
                        ..Preconditions::default()
                    }),
                    ..DeleteParams::default()
                };
                let api = self.api(&resource, id.namespace.as_deref());
                match limited(api.delete(&id.name, &how)).await {
                    Ok(_) => deleted.push(id),
                    // Somebody was faster.
                    Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(deleted)
    }
}

/// Tells a kind that is not there from an API server that cannot be asked.
fn missing(error: kube::Error, (group, version, kind): (String, String, String)) -> Failure {
    match error {
        kube::Error::Discovery(_) => Failure::NoKind { group, version, kind },
        kube::Error::Api(status) if status.code == 404 => Failure::NoKind { group, version, kind },
        other => other.into(),
    }
}

fn forced() -> PatchParams {
    PatchParams::apply(MANAGER).force()
}

/// Marks an object as a member of the set.
fn member(object: &Object, namespace: Option<&str>, member_of: &str) -> Value {
    let mut content = Value::Object(object.content.clone());
    let metadata = &mut content["metadata"];
    if !metadata["labels"].is_object() {
        metadata["labels"] = json!({});
    }
    metadata["labels"][MEMBER_LABEL] = member_of.into();
    match (namespace, metadata.as_object_mut()) {
        (Some(namespace), Some(metadata)) => {
            metadata.insert("namespace".to_owned(), namespace.into());
        }
        (None, Some(metadata)) => {
            metadata.remove("namespace");
        }
        (_, None) => {}
    }
    content
}
