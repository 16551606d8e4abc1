//! `bedplate images`.

mod import;
mod pull;

use std::path::PathBuf;
use std::process::ExitCode;

use api::v1alpha1::image_service_client::ImageServiceClient;
use api::v1alpha1::{ImageInfo, ListImagesRequest, ListImagesResponse, RemoveImageRequest};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::done::Done;
use crate::fan_out::call_and_show;
use crate::session::Session;
use crate::ui::{Show, Table, bytes};

/// Lists, pulls, imports and removes the images of workloads.
#[derive(Debug, Subcommand)]
pub enum Images {
    /// List the images of workloads.
    List,
    /// Pull an image from its registry, by the registries of the machine config.
    ///
    /// An image that the node has is pulled again: its tag may stand for another one now. A workload runs it once it is
    /// restarted.
    Pull(Reference),
    /// Remove an image that no workload needs.
    Remove(Reference),
    /// Bring images from an OCI archive on this computer to nodes, with no registry.
    ///
    /// `podman save --format oci-archive`, `skopeo copy … oci-archive:FILE` and `docker save` of Docker 25 or newer write such
    /// archives. A workload asks for the image by its name, under `image.reference`.
    Import(Import),
}

/// The name of an image.
#[derive(Debug, Args)]
pub struct Reference {
    /// Reference of the image, such as registry.example.org/camera:1.4.
    #[arg(value_name = "IMAGE")]
    reference: String,
}

/// An archive on this computer.
#[derive(Debug, Args)]
pub struct Import {
    /// The archive.
    file: PathBuf,
    /// Name for its image, in place of the one in the archive.
    #[arg(long, value_name = "IMAGE")]
    name: Option<String>,
}

impl Images {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        match self {
            Self::List => {
                call_and_show(&session, |node| async {
                    ImageServiceClient::new(node.channel)
                        .list(ListImagesRequest {})
                        .await
                })
                .await
            }
            Self::Pull(image) => pull::run(&session, image.reference).await,
            Self::Remove(image) => remove(session, image.reference).await,
            Self::Import(import) => {
                import::run(&session, &import.file, import.name.unwrap_or_default()).await
            }
        }
    }
}

async fn remove(session: Session, name: String) -> anyhow::Result<ExitCode> {
    call_and_show(&session, |node| {
        let name = name.clone();
        async move {
            let mut client = ImageServiceClient::new(node.channel);
            client.remove(RemoveImageRequest { name: name.clone() }).await?;
            Ok(tonic::Response::new(Done::new("image", name, "removed")))
        }
    })
    .await
}

/// What was brought to a node.
#[derive(Debug, Serialize)]
struct Arrived {
    images: Vec<ImageInfo>,
}

impl Show for Arrived {
    fn show(&self, table: &mut Table) {
        rows(&self.images, table);
    }
}

impl Show for ListImagesResponse {
    fn show(&self, table: &mut Table) {
        rows(&self.images, table);
    }
}

fn rows(images: &[ImageInfo], table: &mut Table) {
    table.headings(&["IMAGE", "DIGEST", "SIZE", "USED BY"]);
    for image in images {
        let digest = image.digest.strip_prefix("sha256:").unwrap_or(&image.digest);
        table.row([
            image.name.clone(),
            digest.chars().take(12).collect(),
            match image.size_bytes {
                0 => "incomplete".to_owned(),
                size => bytes(size),
            },
            image.used_by.join(", "),
        ]);
    }
}
