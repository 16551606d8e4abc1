//! Evicting a pod.

use http::{Method, Request, header};
use kube::Client;
use kubernetes_client::limited;
use serde_json::json;

use super::choose::PodId;

/// What became of an eviction.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Evicted {
    /// The pod is ending, or gone.
    Yes,
    /// It cannot go yet: a PodDisruptionBudget forbids it.
    NotYet(String),
}

/// Asks for the eviction of a pod, by this version of the policy API.
pub(super) async fn evict(client: &Client, api: &str, pod: &PodId) -> kube::Result<Evicted> {
    let body = json!({
        "apiVersion": api,
        "kind": "Eviction",
        "metadata": { "name": pod.name, "namespace": pod.namespace },
        // A pod that has taken its name meanwhile is another one.
        "deleteOptions": { "preconditions": { "uid": pod.uid } },
    });
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!(
            "/api/v1/namespaces/{}/pods/{}/eviction",
            pod.namespace, pod.name
        ))
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    match limited(client.request_text(request)).await {
        Ok(_) => Ok(Evicted::Yes),
        Err(kube::Error::Api(status)) => match status.code {
            404 | 409 => Ok(Evicted::Yes),
            // With several budgets for one pod, too, nothing can be evicted: the API server says so by an error of its own.
            _ => Ok(Evicted::NotYet(status.message.clone())),
        },
        // An API server that goes away meanwhile is asked again.
        Err(error @ (kube::Error::HyperError(_) | kube::Error::Service(_))) => {
            Ok(Evicted::NotYet(kubernetes_client::reason(&error)))
        }
        Err(error) => Err(error),
    }
}
