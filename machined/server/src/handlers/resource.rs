//! Resources.

use std::collections::{HashMap, VecDeque};

use api::v1alpha1::resource_service_server::ResourceService;
use api::v1alpha1::{
    GetResourceRequest, GetResourceResponse, ListResourcesRequest, ListResourcesResponse, Resource,
    ResourceKind, WatchEvent, WatchResourcesRequest, WatchResourcesResponse,
};
use state::{DynWatch, Entry, Event, Store};
use tonic::{Request, Response, Status};

use super::{Answers, Handlers};

#[tonic::async_trait]
impl ResourceService for Handlers {
    async fn get(
        &self,
        request: Request<GetResourceRequest>,
    ) -> Result<Response<GetResourceResponse>, Status> {
        let GetResourceRequest { kind, id } = request.into_inner();
        let kind = known_kind(&self.store, &kind)?;
        let entry = self.store.get_dyn(&kind, &id).ok_or_else(|| {
            let ids: Vec<String> = self
                .store
                .list_dyn(&kind)
                .into_iter()
                .map(|entry| entry.id)
                .collect();
            Status::not_found(format!(
                "there is no {kind} {id:?}; there are: {}",
                ids.join(", ")
            ))
        })?;
        Ok(Response::new(GetResourceResponse {
            resource: Some(message(entry)),
        }))
    }

    async fn list(
        &self,
        request: Request<ListResourcesRequest>,
    ) -> Result<Response<ListResourcesResponse>, Status> {
        let kind = request.into_inner().kind;
        let mut response = ListResourcesResponse::default();
        if kind.is_empty() {
            let count = |kind: &str| u64::try_from(self.store.list_dyn(kind).len()).unwrap_or(u64::MAX);
            let kinds = self.store.kinds().into_iter();
            response.kinds = kinds
                .map(|kind| ResourceKind {
                    count: count(&kind),
                    kind,
                })
                .collect();
        } else {
            let kind = known_kind(&self.store, &kind)?;
            response.resources = self.store.list_dyn(&kind).into_iter().map(message).collect();
        }
        Ok(Response::new(response))
    }

    type WatchStream = Answers<WatchResourcesResponse>;

    async fn watch(
        &self,
        request: Request<WatchResourcesRequest>,
    ) -> Result<Response<Answers<WatchResourcesResponse>>, Status> {
        let WatchResourcesRequest { kind, id } = request.into_inner();
        if kind.is_empty() {
            let kinds = self.store.kinds().join(", ");
            return Err(Status::invalid_argument(format!(
                "a kind is required; there are: {kinds}"
            )));
        }
        // A kind that nobody has written yet may be waited for: only its exact name is known then.
        let kind = known_kind(&self.store, &kind).unwrap_or(kind);
        let watcher = Watcher {
            watch: self.store.watch_dyn(&kind),
            id,
            known: HashMap::new(),
            ready: VecDeque::new(),
            synced: false,
        };
        Ok(Response::new(Box::pin(futures::stream::unfold(
            watcher,
            |mut watcher| async {
                let answer = watcher.next().await;
                Some((Ok(answer), watcher))
            },
        ))))
    }
}

/// Finds a kind by its name, in whatever case it is written.
fn known_kind(store: &Store, asked: &str) -> Result<String, Status> {
    let kinds = store.kinds();
    let found = kinds
        .iter()
        .find(|kind| kind.eq_ignore_ascii_case(asked))
        .cloned();
    found.ok_or_else(|| {
        Status::not_found(format!(
            "there is no kind {asked:?}; there are: {}",
            kinds.join(", ")
        ))
    })
}

fn message(entry: Entry) -> Resource {
    Resource {
        kind: entry.kind,
        id: entry.id,
        version: entry.version,
        owner: entry.owner,
        value_json: entry.value.to_string(),
    }
}

/// Turns the store's differences into what a client sees.
struct Watcher {
    watch: DynWatch,
    id: String,
    /// What the client was told last, by name: a removal shows the last value.
    known: HashMap<String, Resource>,
    ready: VecDeque<WatchResourcesResponse>,
    synced: bool,
}

impl Watcher {
    async fn next(&mut self) -> WatchResourcesResponse {
        loop {
            if let Some(answer) = self.ready.pop_front() {
                return answer;
            }
            for event in self.watch.next().await {
                self.take(event);
            }
            if !self.synced {
                self.synced = true;
                self.push(WatchEvent::Synced, None);
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Put(entry) if self.wants(&entry.id) => {
                let resource = message(entry);
                let old = self.known.insert(resource.id.clone(), resource.clone());
                let event = if old.is_some() {
                    WatchEvent::Updated
                } else {
                    WatchEvent::Created
                };
                self.push(event, Some(resource));
            }
            Event::Removed { id, .. } => {
                if let Some(last) = self.known.remove(&id) {
                    self.push(WatchEvent::Removed, Some(last));
                }
            }
            Event::Put(_) => {}
        }
    }

    fn wants(&self, id: &str) -> bool {
        self.id.is_empty() || self.id == id
    }

    fn push(&mut self, event: WatchEvent, resource: Option<Resource>) {
        self.ready.push_back(WatchResourcesResponse {
            event: event.into(),
            resource,
        });
    }
}
