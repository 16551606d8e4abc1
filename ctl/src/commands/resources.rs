//! Resources of a kind that a command shows in its own words.

use api::v1alpha1::ListResourcesRequest;
use api::v1alpha1::resource_service_client::ResourceServiceClient;
use serde::de::DeserializeOwned;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::connect::MAX_RESPONSE;

/// Lists the resources of a kind, each by its ID; none where a node has no such kind.
pub(super) async fn list<T: DeserializeOwned>(
    channel: Channel,
    kind: &str,
) -> Result<Vec<(String, T)>, Status> {
    let mut client = ResourceServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE);
    let request = ListResourcesRequest {
        kind: kind.to_owned(),
    };
    let found = match client.list(request).await {
        Ok(found) => found.into_inner().resources,
        Err(status) if status.code() == Code::NotFound => Vec::new(),
        Err(status) => return Err(status),
    };
    let read = |resource: api::v1alpha1::Resource| {
        let value = serde_json::from_str(&resource.value_json).map_err(|error| {
            Status::internal(format!(
                "the node's {kind} {} cannot be read: {error}",
                resource.id
            ))
        })?;
        Ok((resource.id, value))
    };
    found.into_iter().map(read).collect()
}
