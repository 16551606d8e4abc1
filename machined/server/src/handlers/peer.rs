//! Calls to other nodes of the cluster, through this one.

use api::v1alpha1::TunnelRequest;
use api::v1alpha1::peer_service_server::PeerService;
use api::v1alpha1::tunnel_request::Request as RequestKind;
use tonic::{Request, Response, Status, Streaming};

use super::{Handlers, caller};
use crate::tunnel::{Carried, carry};

/// Longest name or address of a node, in bytes.
const MAX_NAME: usize = 253;

#[tonic::async_trait]
impl PeerService for Handlers {
    type TunnelStream = Carried;

    async fn tunnel(&self, request: Request<Streaming<TunnelRequest>>) -> Result<Response<Carried>, Status> {
        let caller = caller(&request)?;
        let peers = &self.backend.peers;
        if let Some(from) = caller.address.map(|address| address.ip().to_canonical())
            && peers.is_node(from)
        {
            return Err(Status::failed_precondition(format!(
                "this call comes from {from}, a node of the cluster, and a call goes through one node at most; call the \
                 node directly"
            )));
        }
        let mut requests = request.into_inner();
        let Some(TunnelRequest {
            request: Some(RequestKind::Node(node)),
        }) = requests.message().await?
        else {
            return Err(Status::invalid_argument("the first request must be `node`"));
        };
        if node.is_empty() || node.len() > MAX_NAME || node.contains(|c: char| c.is_control() || c == ' ') {
            return Err(Status::invalid_argument(
                "the node must be named by its name or one of its addresses",
            ));
        }
        let addresses = peers.find(&node)?;
        let place = self.tunnels.enter(&caller);
        tracing::info!("{} calls {node:?} through this node", caller.who);
        let stream = self.tunnels.open(&node, &addresses).await?;
        Ok(Response::new(carry(stream, requests, place)))
    }
}
