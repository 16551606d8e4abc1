//! The images of workloads for the API: lists, pulls, removes and imports them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use api::v1alpha1::ImageInfo;
use async_trait::async_trait;
use backend::{BackendError, Images, Pull, PullCount, PushError, PushedBundle};
use containerd::{Archive, Containerd, Image, StoredImage, WORKLOADS, import};
use machine_config::MachineConfig;
use machine_config::value::ImageReference;
use node::events::Events;
use state::kinds::{NODE, WorkloadStatus};
use state::{ControllerError, Store};

use crate::image::parts;
use crate::pull::pull;
use crate::room;

const NAME: &str = "images";
/// The largest archive that a client may send, in bytes: more fits on no board's disk.
const ARCHIVE_MAX: u64 = 8 << 30;
/// Gives each pull and import a lease of its own.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A handle on the images of workloads. Clones are the same.
#[derive(Clone)]
pub struct ImagesHandle {
    store: Store,
    events: Events,
    socket: PathBuf,
    /// Where an archive is until it is imported, on DATA.
    incoming: PathBuf,
}

impl ImagesHandle {
    /// Makes a handle. `socket` is containerd's, `incoming` a folder on DATA for archives that clients send.
    pub fn new(store: Store, events: Events, socket: PathBuf, incoming: PathBuf) -> Self {
        ImagesHandle {
            store,
            events,
            socket,
            incoming,
        }
    }

    /// Refuses what needs room while there is none.
    fn room(&self) -> Result<(), BackendError> {
        room::full(&self.store).map_or(Ok(()), |full| Err(BackendError::Refused(full)))
    }

    async fn containerd(&self) -> Result<Containerd, BackendError> {
        let connected = Containerd::connect(&self.socket, WORKLOADS).await;
        connected.map_err(|error| {
            BackendError::Unavailable(format!(
                "containerd does not answer, which keeps the images ({error}); see `bedplate services`"
            ))
        })
    }

    async fn info(&self, containerd: &Containerd, image: StoredImage) -> ImageInfo {
        ImageInfo {
            size_bytes: size(containerd, &image.digest).await.unwrap_or(0),
            used_by: users(&self.store.list(), &image.name),
            name: image.name,
            digest: image.digest,
        }
    }

    /// Imports every image of an archive, each under its full name.
    async fn import_file(
        &self,
        path: PathBuf,
        name: Option<ImageReference>,
    ) -> Result<Vec<ImageInfo>, BackendError> {
        let opened = tokio::task::spawn_blocking(move || Archive::open(&path)).await;
        let archive = opened
            .map_err(|error| BackendError::Internal(error.to_string()))?
            .map_err(|error| fault(&error))?;
        let images = named(&archive, name)?;
        let containerd = self.containerd().await?.with_lease(&lease());
        let mut done = Vec::new();
        for image in images {
            import(&containerd, &archive, &image)
                .await
                .map_err(|error| failed(&error))?;
            self.events.info(NAME, format!("{} was imported", image.name));
            let stored = StoredImage {
                name: image.name,
                digest: image.manifest.digest,
            };
            done.push(self.info(&containerd, stored).await);
        }
        Ok(done)
    }
}

#[async_trait]
impl Images for ImagesHandle {
    async fn list(&self) -> Result<Vec<ImageInfo>, BackendError> {
        let containerd = self.containerd().await?;
        let mut all = containerd.images().await.map_err(|error| failed(&error))?;
        all.sort_by(|one, other| one.name.cmp(&other.name));
        let mut list = Vec::new();
        for image in all {
            list.push(self.info(&containerd, image).await);
        }
        Ok(list)
    }

    async fn pull(&self, reference: &str) -> Result<Pull, BackendError> {
        let reference = self::reference(reference)?;
        self.room()?;
        let containerd = self.containerd().await?.with_lease(&lease());
        let config: Option<MachineConfig> = self.store.get(NODE);
        let registries = config.map(|config| config.machine.registries).unwrap_or_default();
        let (handle, count) = (self.clone(), PullCount::default());
        let counted = count.clone();
        let done = tokio::spawn(async move {
            let name = reference.full();
            let digest = pull(&containerd, &reference, &name, &registries, &counted)
                .await
                .map_err(|error| failed(&error))?;
            handle.events.info(NAME, format!("{name} was pulled"));
            Ok(handle.info(&containerd, StoredImage { name, digest }).await)
        });
        Ok(Pull { count, done })
    }

    async fn remove(&self, name: &str) -> Result<(), BackendError> {
        let containerd = self.containerd().await?;
        let known = containerd.images().await.map_err(|error| failed(&error))?;
        let name = found(name, &known)?;
        let users = users(&self.store.list(), &name);
        if !users.is_empty() {
            return Err(BackendError::Refused(format!(
                "{name} is needed by {}; change its image in the machine config first",
                users.join(", ")
            )));
        }
        let removed = containerd.remove_image(&name).await;
        removed.map_err(|error| failed(&error))?;
        self.events.info(NAME, format!("{name} was removed"));
        Ok(())
    }

    async fn import(
        &self,
        archive: Box<dyn PushedBundle>,
        name: Option<String>,
    ) -> Result<Vec<ImageInfo>, BackendError> {
        let name = name.as_deref().map(reference).transpose()?;
        if archive.length() == 0 || archive.length() > ARCHIVE_MAX {
            return Err(BackendError::Invalid(vec![(
                "length".to_owned(),
                format!(
                    "{} bytes are no archive; expected 1 to {ARCHIVE_MAX}",
                    archive.length()
                ),
            )]));
        }
        self.room()?;
        let path = self.incoming.join(format!("{}.tar", lease()));
        let written = path.clone();
        let received = tokio::task::spawn_blocking(move || receive(archive, &written)).await;
        let received = received.map_err(|error| BackendError::Internal(error.to_string()));
        let imported = match received.and_then(|received| received) {
            Ok(()) => self.import_file(path.clone(), name).await,
            Err(error) => Err(error),
        };
        // One that stays is removed with the next start of the node.
        let _ = fs::remove_file(&path);
        imported
    }
}

/// Empties the folder of archives that were being received when the node stopped.
pub fn sweep_incoming(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let _ = fs::remove_file(entry.path());
    }
}

fn lease() -> String {
    format!("api-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Writes what a client sends into a new file.
fn receive(mut archive: Box<dyn PushedBundle>, path: &Path) -> Result<(), BackendError> {
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::StorageFull => BackendError::Refused(
            "DATA has no room for the archive; remove images with `bedplate images remove`".to_owned(),
        ),
        _ => BackendError::Internal(format!("cannot write {}: {error}", path.display())),
    };
    if let Some(folder) = path.parent() {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(cannot)?;
    }
    let mut options = fs::OpenOptions::new();
    let opened = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    let mut file = opened.map_err(cannot)?;
    let (length, mut offset) = (archive.length(), 0);
    while offset < length {
        let want = u32::try_from((length - offset).min(api::MAX_DATA as u64)).unwrap_or(u32::MAX);
        let piece = archive.read(offset, want).map_err(broken)?;
        file.write_all(&piece).map_err(cannot)?;
        offset += u64::from(want);
    }
    Ok(())
}

/// Says why the rest of an archive did not arrive.
fn broken(error: PushError) -> BackendError {
    let why = match error {
        PushError::Gone => "the client has disconnected".to_owned(),
        PushError::Silent => "the client did not send the requested data in time".to_owned(),
        PushError::Wrong(_) | PushError::OutOfRange { .. } => error.to_string(),
    };
    BackendError::Unavailable(format!("{why}; nothing was imported, so run the command again"))
}

/// Reads the reference of an image.
fn reference(text: &str) -> Result<ImageReference, BackendError> {
    text.parse().map_err(|error| {
        let fault = format!("{text:?} is not {error}");
        BackendError::Invalid(vec![("reference".to_owned(), fault)])
    })
}

/// Returns the images of an archive under the names by which workloads ask for them.
fn named(archive: &Archive, name: Option<ImageReference>) -> Result<Vec<Image>, BackendError> {
    let refused = |text: String| BackendError::Invalid(vec![("archive".to_owned(), text)]);
    let under = |image: &Image, name: &ImageReference| match name.digest() {
        // A name with a digest stands for that image alone.
        Some(digest) if digest != image.manifest.digest => Err(refused(format!(
            "its image is {}, and not {name}",
            image.manifest.digest
        ))),
        _ => Ok(Image {
            name: name.full(),
            ..image.clone()
        }),
    };
    match (archive.images.as_slice(), name) {
        ([image], Some(name)) => Ok(vec![under(image, &name)?]),
        (images, Some(_)) => Err(refused(format!(
            "it has {} images, and a name is for one",
            images.len()
        ))),
        ([], None) => Err(refused("it has no image".to_owned())),
        (images, None) => images
            .iter()
            .map(|image| match image.name.parse::<ImageReference>() {
                Ok(name) if image.name.contains(['/', ':']) => under(image, &name),
                // Some tools write the tag alone.
                _ => Err(refused(format!(
                    "it does not say what its image is called ({:?}); give a name with --name",
                    image.name
                ))),
            })
            .collect(),
    }
}

/// Finds the image that a person means: by its name in the list, or as it is written in a config.
fn found(name: &str, known: &[StoredImage]) -> Result<String, BackendError> {
    let full = name.parse::<ImageReference>().map(|name| name.full()).ok();
    let is = |wanted: &str| known.iter().any(|image| image.name == wanted);
    match full.filter(|full| is(full)) {
        _ if is(name) => Ok(name.to_owned()),
        Some(full) => Ok(full),
        None => Err(BackendError::NotFound(format!(
            "image {name:?} not found; `bedplate images` lists those of the node"
        ))),
    }
}

/// Lists the workloads that run an image, or will.
fn users(workloads: &[(String, WorkloadStatus)], image: &str) -> Vec<String> {
    let uses = |status: &WorkloadStatus| status.image == image || status.runs.as_deref() == Some(image);
    let all = workloads.iter().filter(|(_, status)| uses(status));
    all.map(|(name, _)| name.clone()).collect()
}

/// Returns the size of an image's parts.
async fn size(containerd: &Containerd, digest: &str) -> Option<u64> {
    let manifest = containerd.read(digest).await.ok()?;
    let parts: BTreeSet<(String, u64)> = parts(&manifest).ok()?.into_iter().collect();
    Some(parts.iter().map(|(_, size)| size).sum::<u64>() + manifest.len() as u64)
}

fn fault(error: &containerd::ArchiveError) -> BackendError {
    BackendError::Invalid(vec![("archive".to_owned(), state::chain(error))])
}

fn failed(error: &ControllerError) -> BackendError {
    BackendError::Unavailable(error.chain())
}

#[cfg(test)]
mod tests {
    use state::kinds::WorkloadStage;

    use super::*;

    /// A client that sends zeros, or goes away.
    struct Zeros {
        length: u64,
        left: u64,
    }

    impl PushedBundle for Zeros {
        fn length(&self) -> u64 {
            self.length
        }
        fn read(&mut self, _: u64, length: u32) -> Result<Vec<u8>, PushError> {
            self.left = self.left.checked_sub(length.into()).ok_or(PushError::Gone)?;
            Ok(vec![0; length as usize])
        }
    }

    fn handle(folder: &Path) -> ImagesHandle {
        ImagesHandle::new(
            Store::new(),
            Events::default(),
            folder.join("no.sock"),
            folder.join("incoming"),
        )
    }

    #[tokio::test]
    async fn an_archive_that_is_none_or_breaks_off_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let handle = handle(folder.path());
        let garbage = Zeros {
            length: 3 << 20,
            left: 3 << 20,
        };
        let error = handle.import(Box::new(garbage), None).await.unwrap_err();
        assert!(matches!(error, BackendError::Invalid(_)), "{error}");
        let gone = Zeros {
            length: 3 << 20,
            left: 1 << 20,
        };
        let error = handle.import(Box::new(gone), None).await.unwrap_err().to_string();
        assert_eq!(
            error,
            "the client has disconnected; nothing was imported, so run the command again"
        );
        let left = fs::read_dir(folder.path().join("incoming")).unwrap().count();
        assert_eq!(left, 0);
        for length in [0, ARCHIVE_MAX + 1] {
            let error = handle.import(Box::new(Zeros { length, left: 0 }), None).await;
            assert!(matches!(error, Err(BackendError::Invalid(_))));
        }
    }

    #[tokio::test]
    async fn without_containerd_each_call_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let handle = handle(folder.path());
        for error in [
            handle.list().await.unwrap_err(),
            handle.remove("a/b:1").await.unwrap_err(),
            handle.pull("a/b:1").await.err().unwrap(),
        ] {
            assert!(
                error.to_string().starts_with("containerd does not answer"),
                "{error}"
            );
        }
        let wrong = handle.pull("A B").await.err().unwrap();
        assert!(matches!(wrong, BackendError::Invalid(_)), "{wrong}");
    }

    #[test]
    fn an_archive_says_what_its_images_are_called_or_is_told() {
        let blob = |digest: &str| containerd::Blob {
            digest: digest.into(),
            size: 1,
            offset: 0,
        };
        let own = format!("sha256:{}", "a".repeat(64));
        let archive = |names: &[&str]| Archive {
            path: "x.tar".into(),
            images: names
                .iter()
                .map(|name| Image {
                    name: (*name).into(),
                    media_type: String::new(),
                    manifest: blob(&own),
                    config: blob("c"),
                    layers: Vec::new(),
                })
                .collect(),
        };
        let call = |names: &[&str], name: Option<&str>| {
            let name = name.map(|name| name.parse().unwrap());
            let named = named(&archive(names), name)?;
            Ok::<_, BackendError>(named.into_iter().map(|image| image.name).collect::<Vec<_>>())
        };
        assert_eq!(call(&["nginx:1"], None).unwrap(), ["docker.io/library/nginx:1"]);
        assert_eq!(
            call(&["r.org/a", "r.org/b:2"], None).unwrap(),
            ["r.org/a:latest", "r.org/b:2"]
        );
        assert_eq!(call(&["latest"], Some("r.org/a:1")).unwrap(), ["r.org/a:1"]);
        for wrong in [&[] as &[&str], &["latest"], &[""], &["r.org/a:1", "A B"]] {
            assert!(call(wrong, None).is_err(), "{wrong:?}");
        }
        assert!(
            call(&["a:1", "b:1"], Some("r.org/a:1")).is_err(),
            "one name for two"
        );
        let pinned = |digest: &str| format!("r.org/a:1@{digest}");
        assert!(call(&["a:1"], Some(&pinned(&own))).is_ok());
        let other = format!("sha256:{}", "b".repeat(64));
        let error = call(&["a:1"], Some(&pinned(&other))).unwrap_err().to_string();
        assert!(error.contains("its image is sha256:aaaa"), "{error}");
    }

    #[test]
    fn images_are_found_as_people_write_them_and_known_to_be_needed() {
        let known = [StoredImage {
            name: "docker.io/library/nginx:latest".into(),
            digest: String::new(),
        }];
        assert_eq!(found("nginx", &known).unwrap(), "docker.io/library/nginx:latest");
        assert_eq!(
            found("docker.io/library/nginx:latest", &known).unwrap(),
            known[0].name
        );
        assert!(found("nginx:2", &known).is_err());
        let status = |image: &str, runs: &str| WorkloadStatus {
            service: String::new(),
            stage: WorkloadStage::Committed,
            image: image.into(),
            runs: Some(runs.into()),
            digest: None,
            problem: None,
        };
        let all = [
            ("a".to_owned(), status("one", "one")),
            ("b".to_owned(), status("two", "one")),
        ];
        assert_eq!(users(&all, "one"), ["a", "b"]);
        assert_eq!(users(&all, "two"), ["b"]);
        assert_eq!(users(&all, "three"), [""; 0]);
    }
}
