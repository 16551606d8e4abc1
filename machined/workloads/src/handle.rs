//! Workloads for the API: their status, and requests to start, stop and restart them.

use std::path::PathBuf;
use std::sync::Arc;

use api::v1alpha1::{ServiceInfo, WorkloadInfo, WorkloadStage as ApiStage};
use async_trait::async_trait;
use backend::{BackendError, Services};
use state::Store;
use state::kinds::{WorkloadStage, WorkloadStatus};

use crate::{plan, usage};

/// A handle that lists, starts and stops the workloads of a node. Clones are the same.
#[derive(Clone)]
pub struct WorkloadsHandle {
    store: Store,
    services: Arc<dyn Services>,
    cgroups: PathBuf,
}

impl WorkloadsHandle {
    /// Makes a handle. `services` starts and stops their services, `cgroups` is where the node's cgroups are.
    pub fn new(store: Store, services: Arc<dyn Services>, cgroups: PathBuf) -> Self {
        WorkloadsHandle {
            store,
            services,
            cgroups,
        }
    }

    /// Returns the service of a workload that has one. People copy either name out of a list.
    fn service(&self, name: &str) -> Result<String, BackendError> {
        let all = self.store.list::<WorkloadStatus>();
        let plain = name.strip_prefix(plan::PREFIX).unwrap_or(name);
        let Some((name, status)) = all
            .iter()
            .find(|(known, _)| *known == name)
            .or_else(|| all.iter().find(|(known, _)| *known == plain))
        else {
            let known: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
            let known = match known.is_empty() {
                true => "none; list them under workloads in the machine config".to_owned(),
                false => known.join(", "),
            };
            return Err(BackendError::NotFound(format!(
                "workload {name:?} not found; known: {known}"
            )));
        };
        if status.runs.is_none() {
            let why = status.problem.as_deref().unwrap_or("it is being fetched");
            return Err(BackendError::Refused(format!(
                "workload {name:?} has no image yet: {why}"
            )));
        }
        Ok(status.service.clone())
    }
}

#[async_trait]
impl backend::Workloads for WorkloadsHandle {
    fn list(&self) -> Vec<WorkloadInfo> {
        let services = self.services.list();
        let all = self.store.list::<WorkloadStatus>().into_iter();
        all.map(|(name, status)| {
            let service = services.iter().find(|service| service.name == status.service);
            let usage = usage::read(&self.cgroups, &name);
            info(name, status, service.cloned(), usage)
        })
        .collect()
    }

    async fn start(&self, name: &str) -> Result<(), BackendError> {
        self.services.start(&self.service(name)?).await
    }

    async fn stop(&self, name: &str) -> Result<(), BackendError> {
        self.services.stop(&self.service(name)?).await
    }

    async fn restart(&self, name: &str) -> Result<(), BackendError> {
        self.services.restart(&self.service(name)?).await
    }
}

fn info(
    name: String,
    status: WorkloadStatus,
    service: Option<ServiceInfo>,
    usage: Option<api::v1alpha1::WorkloadUsage>,
) -> WorkloadInfo {
    let stage = match status.stage {
        WorkloadStage::Fetching => ApiStage::Fetching,
        WorkloadStage::Trial => ApiStage::Trial,
        WorkloadStage::Committed => ApiStage::Committed,
        WorkloadStage::RolledBack => ApiStage::RolledBack,
    };
    let service = service.map(|service| ServiceInfo {
        name: name.clone(),
        ..service
    });
    WorkloadInfo {
        name,
        stage: stage.into(),
        image: status.image,
        running_image: status.runs.unwrap_or_default(),
        running_digest: status.digest.unwrap_or_default(),
        problem: status.problem.unwrap_or_default(),
        service,
        usage,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use api::v1alpha1::ServiceState;
    use backend::Workloads as _;

    use super::*;

    /// Remembers what it was asked.
    #[derive(Default)]
    struct Recording(Mutex<Vec<String>>);

    impl Recording {
        fn note(&self, verb: &str, name: &str) -> Result<(), BackendError> {
            self.0.lock().unwrap().push(format!("{verb} {name}"));
            Ok(())
        }
    }

    #[async_trait]
    impl Services for Recording {
        fn list(&self) -> Vec<ServiceInfo> {
            let service = |name: &str| ServiceInfo {
                name: name.into(),
                state: ServiceState::Running.into(),
                ..ServiceInfo::default()
            };
            vec![service("containerd"), service("workload-camera")]
        }
        async fn start(&self, name: &str) -> Result<(), BackendError> {
            self.note("start", name)
        }
        async fn stop(&self, name: &str) -> Result<(), BackendError> {
            self.note("stop", name)
        }
        async fn restart(&self, name: &str) -> Result<(), BackendError> {
            self.note("restart", name)
        }
    }

    fn status(name: &str, runs: Option<&str>) -> WorkloadStatus {
        WorkloadStatus {
            service: plan::service(name),
            stage: WorkloadStage::Trial,
            image: "r/camera:2".into(),
            runs: runs.map(Into::into),
            digest: None,
            problem: runs.is_none().then(|| "the registry is gone".into()),
        }
    }

    #[tokio::test]
    async fn requests_reach_the_service_by_either_name_and_others_are_refused() {
        let (store, services) = (Store::new(), Arc::new(Recording::default()));
        let handle = WorkloadsHandle::new(store.clone(), services.clone(), "/nowhere".into());
        let none = handle.stop("camera").await.unwrap_err().to_string();
        assert_eq!(
            none,
            "workload \"camera\" not found; known: none; list them under workloads in the machine config"
        );
        store
            .put("workloads", "camera", status("camera", Some("r/camera:2")))
            .unwrap();
        store.put("workloads", "shop", status("shop", None)).unwrap();
        handle.start("camera").await.unwrap();
        handle.stop("workload-camera").await.unwrap();
        handle.restart("camera").await.unwrap();
        let asked = services.0.lock().unwrap().clone();
        assert_eq!(
            asked,
            [
                "start workload-camera",
                "stop workload-camera",
                "restart workload-camera"
            ]
        );
        let unknown = handle.stop("radio").await.unwrap_err().to_string();
        assert_eq!(unknown, "workload \"radio\" not found; known: camera, shop");
        let early = handle.start("shop").await.unwrap_err();
        let text = "workload \"shop\" has no image yet: the registry is gone";
        assert_eq!(early, BackendError::Refused(text.into()));
    }

    #[tokio::test]
    async fn each_is_listed_with_its_service_under_its_own_name() {
        let store = Store::new();
        let handle = WorkloadsHandle::new(store.clone(), Arc::new(Recording::default()), "/nowhere".into());
        store
            .put("workloads", "camera", status("camera", Some("r/camera:1")))
            .unwrap();
        store.put("workloads", "shop", status("shop", None)).unwrap();
        let list = handle.list();
        let service = list[0].service.as_ref().unwrap();
        assert_eq!(
            (service.name.as_str(), service.state()),
            ("camera", ServiceState::Running)
        );
        assert_eq!(
            (list[0].running_image.as_str(), list[0].stage()),
            ("r/camera:1", ApiStage::Trial)
        );
        assert_eq!((list[1].service.as_ref(), list[1].usage), (None, None));
        assert_eq!(list[1].problem, "the registry is gone");
    }
}
