//! The fake node's images.

use api::v1alpha1::ImageInfo;
use async_trait::async_trait;
use backend::{BackendError, Images, Pull, PullCount, PushedBundle};

use super::FakeNode;

fn image(name: &str) -> ImageInfo {
    ImageInfo {
        name: name.to_owned(),
        digest: format!("sha256:{}", "ab".repeat(32)),
        size_bytes: 12 << 20,
        used_by: vec!["camera".into()],
    }
}

#[async_trait]
impl Images for FakeNode {
    async fn list(&self) -> Result<Vec<ImageInfo>, BackendError> {
        Ok(vec![image("registry.example.org/camera:1.4")])
    }

    async fn pull(&self, reference: &str) -> Result<Pull, BackendError> {
        if reference.ends_with(":gone") {
            let text = format!("cannot pull {reference}: it is not there");
            return Err(BackendError::Unavailable(text));
        }
        self.note(format!("pull {reference}"));
        let count = PullCount::default();
        count.expect(100);
        count.arrived(40);
        let reference = reference.to_owned();
        // Long enough for one report of its progress.
        let done = tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(700)).await;
            Ok(image(&reference))
        });
        Ok(Pull { count, done })
    }

    async fn remove(&self, name: &str) -> Result<(), BackendError> {
        if name == "registry.example.org/camera:1.4" {
            let text = format!("{name} is needed by camera; change its image first");
            return Err(BackendError::Refused(text));
        }
        self.note(format!("remove image {name}"));
        Ok(())
    }

    async fn import(
        &self,
        mut archive: Box<dyn PushedBundle>,
        name: Option<String>,
    ) -> Result<Vec<ImageInfo>, BackendError> {
        let read = tokio::task::spawn_blocking(move || {
            let (length, mut offset, mut last) = (archive.length(), 0, 0);
            while offset < length {
                let want = (length - offset).min(api::MAX_DATA as u64) as u32;
                last = archive.read(offset, want)?.last().copied().unwrap_or(0);
                offset += u64::from(want);
            }
            Ok::<_, backend::PushError>((length, last))
        });
        let (length, last) = read
            .await
            .map_err(|error| BackendError::Internal(error.to_string()))?
            .map_err(|error| BackendError::Unavailable(error.to_string()))?;
        self.note(format!("import {length} bytes, the last is {last}"));
        Ok(vec![image(name.as_deref().unwrap_or("localhost/shell:1"))])
    }
}
