//! Gives an image store what it lacks of an archive.

use std::path::Path;

use async_trait::async_trait;
use state::ControllerError;

use super::{Archive, Blob, Image};

/// The place where images go: containerd, or a recording in tests.
#[async_trait]
pub trait ImageStore: Send + Sync {
    /// Returns the digest of the manifest that a name stands for, if the store has it with all its content.
    async fn digest(&self, name: &str) -> Result<Option<String>, ControllerError>;

    /// Keeps what is stored from here on until [`ImageStore::end`], though nothing refers to it yet.
    async fn begin(&self) -> Result<(), ControllerError>;

    /// Stores a blob under its digest, which the store checks. `refers_to` are the digests that must stay with it.
    async fn put_blob(
        &self,
        archive: &Path,
        blob: &Blob,
        refers_to: &[(String, String)],
    ) -> Result<(), ControllerError>;

    /// Makes a name stand for a manifest that was stored.
    async fn put_image(&self, image: &Image) -> Result<(), ControllerError>;

    /// Lets go of what nothing refers to.
    async fn end(&self) -> Result<(), ControllerError>;
}

/// What an import did with one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// The store had it.
    Present,
    /// The store has it now.
    New,
}

/// Makes the store hold an image of an archive. A second call changes nothing.
pub async fn import(
    store: &dyn ImageStore,
    archive: &Archive,
    image: &Image,
) -> Result<Imported, ControllerError> {
    if image.name.is_empty() {
        let path = archive.path.display();
        return Err(ControllerError::msg(format!("{path} does not name its image")));
    }
    if store.digest(&image.name).await?.as_deref() == Some(&image.manifest.digest) {
        return Ok(Imported::Present);
    }
    store.begin().await?;
    let outcome = hand_over(store, archive, image).await;
    // The lease ends either way: a failed import is tried again from the start.
    let ended = store.end().await;
    outcome.and(ended)?;
    Ok(Imported::New)
}

async fn hand_over(store: &dyn ImageStore, archive: &Archive, image: &Image) -> Result<(), ControllerError> {
    for blob in image.blobs() {
        let refers_to = if blob == &image.manifest {
            references(image)
        } else {
            Vec::new()
        };
        store.put_blob(&archive.path, blob, &refers_to).await?;
    }
    store.put_image(image).await
}

/// Lists what a manifest keeps from being collected, under the labels that containerd's collector follows.
pub fn references(image: &Image) -> Vec<(String, String)> {
    let layers = image.layers.iter().enumerate();
    let layers = layers.map(|(at, layer)| {
        (
            format!("containerd.io/gc.ref.content.l.{at}"),
            layer.digest.clone(),
        )
    });
    let config = (
        "containerd.io/gc.ref.content.config".to_owned(),
        image.config.digest.clone(),
    );
    std::iter::once(config).chain(layers).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Records what it is asked to do, and fails at one step on request.
    #[derive(Default)]
    struct Recording {
        has: Option<String>,
        fails_at: Option<&'static str>,
        calls: Mutex<Vec<String>>,
    }

    impl Recording {
        fn call(&self, call: String) -> Result<(), ControllerError> {
            let failed = self.fails_at.is_some_and(|step| call.starts_with(step));
            self.calls.lock().unwrap().push(call);
            if failed {
                Err(ControllerError::msg("the store is full"))
            } else {
                Ok(())
            }
        }
    }

    #[async_trait]
    impl ImageStore for Recording {
        async fn digest(&self, _: &str) -> Result<Option<String>, ControllerError> {
            Ok(self.has.clone())
        }
        async fn begin(&self) -> Result<(), ControllerError> {
            self.call("begin".into())
        }
        async fn put_blob(
            &self,
            _: &Path,
            blob: &Blob,
            refers_to: &[(String, String)],
        ) -> Result<(), ControllerError> {
            self.call(format!("blob {} {}", blob.digest, refers_to.len()))
        }
        async fn put_image(&self, image: &Image) -> Result<(), ControllerError> {
            self.call(format!("image {}", image.name))
        }
        async fn end(&self) -> Result<(), ControllerError> {
            self.call("end".into())
        }
    }

    fn archive() -> Archive {
        let blob = |digest: &str| Blob {
            digest: digest.into(),
            size: 1,
            offset: 0,
        };
        let image = Image {
            name: "pause".into(),
            media_type: "manifest".into(),
            manifest: blob("m"),
            config: blob("c"),
            layers: vec![blob("l0"), blob("l1")],
        };
        Archive {
            path: "pause.tar".into(),
            images: vec![image],
        }
    }

    #[tokio::test]
    async fn stores_the_manifest_after_what_it_refers_to_and_names_it_last() {
        let store = Recording::default();
        let archive = archive();
        let outcome = import(&store, &archive, &archive.images[0]).await.unwrap();
        assert_eq!(outcome, Imported::New);
        let calls = store.calls.into_inner().unwrap();
        assert_eq!(
            calls,
            [
                "begin",
                "blob l0 0",
                "blob l1 0",
                "blob c 0",
                "blob m 3",
                "image pause",
                "end"
            ]
        );
    }

    #[tokio::test]
    async fn leaves_a_present_image_alone() {
        let store = Recording {
            has: Some("m".into()),
            ..Recording::default()
        };
        let archive = archive();
        assert_eq!(
            import(&store, &archive, &archive.images[0]).await.unwrap(),
            Imported::Present
        );
        assert!(store.calls.into_inner().unwrap().is_empty());
    }

    #[tokio::test]
    async fn replaces_an_image_of_the_same_name() {
        let store = Recording {
            has: Some("older".into()),
            ..Recording::default()
        };
        let archive = archive();
        assert_eq!(
            import(&store, &archive, &archive.images[0]).await.unwrap(),
            Imported::New
        );
    }

    #[tokio::test]
    async fn ends_the_lease_after_a_failure() {
        for step in ["blob", "image"] {
            let store = Recording {
                fails_at: Some(step),
                ..Recording::default()
            };
            let archive = archive();
            let error = import(&store, &archive, &archive.images[0]).await.unwrap_err();
            assert!(error.chain().contains("full"));
            assert_eq!(store.calls.into_inner().unwrap().last().unwrap(), "end");
        }
    }
}
