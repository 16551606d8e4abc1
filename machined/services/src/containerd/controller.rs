//! Keeps the images that came with the system in containerd.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use node::events::Events;
use state::kinds::{ImageStatus, ServiceHealth, ServiceStatus};
use state::{Action, Controller, ControllerError, Resource, Store};

use ::containerd::{Archive, Containerd, Imported, KUBERNETES, SERVICE, import};

/// How often the images are looked at again, in case somebody removed one.
const AGAIN: Duration = Duration::from_secs(600);

/// The controller that imports every archive of a folder once containerd is healthy. Sole owner of `ImageStatus`.
pub struct OfflineImages {
    folder: PathBuf,
    socket: PathBuf,
    events: Events,
}

impl OfflineImages {
    /// Makes a controller that imports the archives (`*.tar`) of a folder through containerd's socket.
    pub fn new(folder: &Path, socket: &Path, events: Events) -> Self {
        OfflineImages {
            folder: folder.to_owned(),
            socket: socket.to_owned(),
            events,
        }
    }

    async fn import_archive(
        &self,
        store: &Store,
        containerd: &Containerd,
        path: PathBuf,
    ) -> Result<(), ControllerError> {
        let archive = tokio::task::spawn_blocking(move || Archive::open(&path)).await??;
        for image in &archive.images {
            if import(containerd, &archive, image).await? == Imported::New {
                self.events.info(
                    self.name(),
                    format!("imported {} from {}", image.name, archive.path.display()),
                );
            }
            let status = ImageStatus {
                digest: image.manifest.digest.clone(),
                size: image.blobs().map(|blob| blob.size).sum(),
                archive: archive.path.display().to_string(),
            };
            store.put(self.name(), &image.name, status)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Controller for OfflineImages {
    fn name(&self) -> &'static str {
        "offline-images"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[ServiceStatus::KIND]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[ImageStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let health = store.get::<ServiceStatus>(SERVICE).map(|service| service.health);
        if health != Some(ServiceHealth::Healthy) {
            return Ok(Action::WaitForChange);
        }
        let archives = archives(&self.folder)?;
        if archives.is_empty() {
            return Ok(Action::WaitForChange);
        }
        let containerd = Containerd::connect(&self.socket, KUBERNETES).await?;
        // One broken archive must not keep the others out: the first failure is reported after all were tried.
        let mut failure = None;
        for path in archives {
            if let Err(error) = self.import_archive(store, &containerd, path).await {
                failure.get_or_insert(error);
            }
        }
        failure.map_or(Ok(Action::After(AGAIN)), Err)
    }
}

/// Lists the image archives of a folder in order; a folder that is not there has none.
fn archives(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "tar"));
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_tar_files_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.tar", "a.tar", "readme.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let names: Vec<_> = archives(folder.path()).unwrap();
        assert_eq!(names, [folder.path().join("a.tar"), folder.path().join("b.tar")]);
        assert!(archives(&folder.path().join("absent")).unwrap().is_empty());
    }

    #[tokio::test]
    async fn waits_for_containerd() {
        let store = Store::new();
        let mut controller = OfflineImages::new(Path::new("/absent"), Path::new("/absent"), Events::new());
        assert_eq!(controller.reconcile(&store).await.unwrap(), Action::WaitForChange);
    }
}
