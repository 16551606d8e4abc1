//! Pulls an image from a registry into containerd.
//!
//! A registry is not trusted: each byte is checked against a digest, each answer has a limit, and a slow server is left.
//! Blobs go to containerd as they arrive, so that an image never stands in memory or twice on the disk.

use std::collections::HashMap;
use std::io::Read as _;
use std::time::Duration;

use backend::PullCount;
use base64ct::{Base64, Encoding as _};
use containerd::{Blob, Containerd, Image, ImageStore as _, references};
use http::StatusCode;
use machine_config::v1alpha1::Registry;
use machine_config::value::ImageReference;
use oci_image::digest;
use oci_image::registry::{ACCEPT, Challenge, Document, Part, Refused, challenge, document, token};
use remote::{Ask, Options, Reply};
use state::ControllerError;
use tokio_util::io::SyncIoBridge;
use zeroize::Zeroizing;

/// The most that a manifest may take: what registries allow.
const MANIFEST_MAX: usize = 4 << 20;
/// The most that the answer with a token may take.
const TOKEN_MAX: usize = 64 << 10;
/// How long a small answer may take, and a large one.
const SMALL: Duration = Duration::from_secs(60);
const LARGE: Duration = Duration::from_secs(6 * 3600);
/// How much of a blob may be between the network and containerd.
const PIPE: usize = 512 << 10;
/// The registry of Docker has another address than name.
const DOCKER: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// A server that may have an image.
#[derive(Clone)]
struct Server {
    /// Its address, without a path.
    base: String,
    /// User and password, as they are sent.
    basic: Option<Zeroizing<String>>,
    /// The authorities that it may be from, besides the public ones.
    ca: Option<String>,
    /// The image's name there.
    repository: String,
    /// What opens it, once it was asked for.
    token: Option<Zeroizing<String>>,
}

/// Pulls an image under a name in containerd, and returns the digest of its manifest. What containerd has is not pulled.
///
/// # Errors
///
/// One sentence for each server that was asked.
pub async fn pull(
    containerd: &Containerd,
    reference: &ImageReference,
    name: &str,
    registries: &[Registry],
    count: &PullCount,
) -> Result<String, ControllerError> {
    let mut failures = Vec::new();
    for server in servers(reference, registries) {
        let base = server.base.clone();
        containerd.begin().await?;
        let pulled = pull_from(containerd, server, reference, name, count).await;
        let ended = containerd.end().await;
        match pulled {
            Ok(digest) => return ended.map(|()| digest),
            Err(error) => failures.push(format!("{base}: {error}")),
        }
    }
    Err(ControllerError::msg(format!(
        "cannot pull {reference}: {}",
        failures.join("; ")
    )))
}

/// Lists the servers to ask: mirrors without the password, then the registry itself. Pure.
fn servers(reference: &ImageReference, registries: &[Registry]) -> Vec<Server> {
    let full = reference.full();
    let (host, rest) = full.split_once('/').unwrap_or((&full, ""));
    let rest = rest.split('@').next().unwrap_or_default();
    let repository = match rest.rsplit_once(':') {
        Some((path, _)) => path,
        None => rest,
    };
    let settings = registries.iter().find(|registry| registry.host.as_str() == host);
    let server = |base: String, basic| Server {
        base,
        basic,
        ca: settings
            .and_then(|registry| registry.ca.as_ref())
            .map(|ca| ca.as_str().to_owned()),
        repository: repository.to_owned(),
        token: None,
    };
    let mirrors = settings
        .map(|registry| registry.mirrors.as_slice())
        .unwrap_or_default();
    let mut list: Vec<Server> = mirrors
        .iter()
        .map(|mirror| server(mirror.to_string(), None))
        .collect();
    let basic = settings.and_then(|registry| {
        let (user, password) = (registry.username.as_ref()?, registry.password.as_ref()?);
        let pair = Zeroizing::new(format!("{user}:{}", password.expose()));
        Some(Zeroizing::new(format!(
            "Basic {}",
            Base64::encode_string(pair.as_bytes())
        )))
    });
    let host = if host == DOCKER.0 { DOCKER.1 } else { host };
    list.push(server(format!("https://{host}"), basic));
    list
}

async fn pull_from(
    containerd: &Containerd,
    mut server: Server,
    reference: &ImageReference,
    name: &str,
    count: &PullCount,
) -> Result<String, ControllerError> {
    let full = reference.full();
    let tag = full.rsplit(':').next().unwrap_or("latest").to_owned();
    let mut wanted = reference.digest().map_or(tag, str::to_owned);
    let mut manifest = server.manifest(&wanted).await?;
    let mut found = document(&manifest, architecture())?;
    if let Document::List { digest } = &found {
        wanted = digest.clone();
        manifest = server.manifest(&wanted).await?;
        found = document(&manifest, architecture())?;
    }
    let Document::Image {
        media_type,
        config,
        layers,
    } = found
    else {
        // A list in a list has no end.
        return Err(Refused::NotAManifest.into());
    };
    let mut missing = Vec::new();
    for part in layers.iter().chain([&config]) {
        if !containerd.has(&part.digest).await? {
            count.expect(part.size);
            missing.push(part);
        }
    }
    for part in missing {
        server.blob(containerd, part, count).await?;
    }
    let blob = |part: &Part| Blob {
        digest: part.digest.clone(),
        size: part.size,
        offset: 0,
    };
    let digest = digest(&manifest);
    let image = Image {
        name: name.to_owned(),
        media_type,
        manifest: Blob {
            digest: digest.clone(),
            size: manifest.len() as u64,
            offset: 0,
        },
        config: blob(&config),
        layers: layers.iter().map(blob).collect(),
    };
    let labels: HashMap<String, String> = references(&image).into_iter().collect();
    let size = manifest.len() as u64;
    let bytes = std::io::Cursor::new(manifest);
    containerd
        .put_stream(Box::new(bytes), &digest, size, labels)
        .await?;
    containerd.put_image(&image).await?;
    Ok(digest)
}

impl Server {
    /// Gets a manifest by its tag or digest; one with a digest is checked.
    async fn manifest(&mut self, wanted: &str) -> Result<Vec<u8>, ControllerError> {
        let url = format!("{}/v2/{}/manifests/{wanted}", self.base, self.repository);
        let mut reply = self.get(&url, MANIFEST_MAX, SMALL).await?;
        let bytes = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            reply.body.read_to_end(&mut bytes).map(|_| bytes)
        })
        .await??;
        if bytes.len() > MANIFEST_MAX {
            return Err(Refused::NotAManifest.into());
        }
        if wanted.starts_with("sha256:") && digest(&bytes) != wanted {
            return Err(Refused::Digest(wanted.to_owned()).into());
        }
        Ok(bytes)
    }

    /// Streams a blob into containerd, which checks its digest.
    async fn blob(
        &mut self,
        containerd: &Containerd,
        part: &Part,
        count: &PullCount,
    ) -> Result<(), ControllerError> {
        let url = format!("{}/v2/{}/blobs/{}", self.base, self.repository, part.digest);
        let most = usize::try_from(part.size).unwrap_or(usize::MAX);
        let reply = self.get(&url, most, LARGE).await?;
        let (from, to) = tokio::io::duplex(PIPE);
        let mut body = Counted {
            body: reply.body,
            count: count.clone(),
        };
        let mut to = SyncIoBridge::new(to);
        let copied = tokio::task::spawn_blocking(move || std::io::copy(&mut body, &mut to));
        let stored = containerd
            .put_stream(Box::new(from), &part.digest, part.size, HashMap::new())
            .await;
        // What the network said explains more than that the blob ended early.
        match (copied.await?, stored) {
            (_, Ok(())) => Ok(()),
            (Err(error), Err(_)) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            (_, Err(error)) => Err(error),
        }
    }

    /// Makes a request, with a token if the registry asks for one.
    async fn get(&mut self, url: &str, most: usize, within: Duration) -> Result<Reply, ControllerError> {
        let first = self.send(url, self.token.clone(), most, within).await?;
        if first.status != StatusCode::UNAUTHORIZED {
            return accepted(url, first);
        }
        let header = first.headers.get(http::header::WWW_AUTHENTICATE);
        let asked = header.and_then(|value| value.to_str().ok()).and_then(challenge);
        self.token = match asked {
            Some(Challenge::Basic) => self.basic.clone(),
            Some(Challenge::Bearer { realm, service }) => {
                Some(self.bearer(&realm, service.as_deref()).await?)
            }
            None => None,
        };
        if self.token.is_none() {
            return Err(ControllerError::msg(
                "the registry wants a user; give username and password in machine.registries",
            ));
        }
        let again = self.send(url, self.token.clone(), most, within).await?;
        accepted(url, again)
    }

    /// Asks for a token that lets us pull, as nobody or with the password.
    async fn bearer(&self, realm: &str, service: Option<&str>) -> Result<Zeroizing<String>, ControllerError> {
        // The password is for the registry, and whom it names: over no connection that others can read.
        let basic = self.basic.clone().filter(|_| realm.starts_with("https://"));
        let sign = if realm.contains('?') { '&' } else { '?' };
        let mut url = format!("{realm}{sign}scope=repository:{}:pull", self.repository);
        if let Some(service) = service {
            url.push_str(&format!("&service={}", plain(service)));
        }
        let mut reply = accepted(realm, self.send(&url, basic, TOKEN_MAX, SMALL).await?)?;
        let bytes = tokio::task::spawn_blocking(move || {
            let mut bytes = Zeroizing::new(Vec::new());
            reply.body.read_to_end(&mut bytes).map(|_| bytes)
        })
        .await??;
        let token = token(&bytes).ok_or_else(|| ControllerError::msg(format!("{realm} gives no token")))?;
        Ok(Zeroizing::new(format!("Bearer {}", *token)))
    }

    async fn send(
        &self,
        url: &str,
        authorization: Option<Zeroizing<String>>,
        most: usize,
        within: Duration,
    ) -> Result<Reply, ControllerError> {
        let url = url.to_owned();
        let authority = self.ca.clone();
        let sent = tokio::task::spawn_blocking(move || {
            let mut headers = vec![("accept", ACCEPT)];
            if let Some(value) = &authorization {
                headers.push(("authorization", value.as_str()));
            }
            let ask = Ask {
                method: http::Method::GET,
                url: &url,
                headers: &headers,
                most,
                within,
            };
            let options = Options {
                authority,
                ..Options::default()
            };
            remote::request(&ask, &options)
        });
        Ok(sent.await??)
    }
}

/// A body whose bytes are counted as they arrive.
struct Counted<R> {
    body: R,
    count: PullCount,
}

impl<R: std::io::Read> std::io::Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.body.read(buffer)?;
        self.count.arrived(u64::try_from(count).unwrap_or(0));
        Ok(count)
    }
}

fn accepted(url: &str, reply: Reply) -> Result<Reply, ControllerError> {
    let sentence = match reply.status {
        StatusCode::OK => return Ok(reply),
        StatusCode::NOT_FOUND => format!("{url} is not there"),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            format!("{url} is refused; check username and password in machine.registries")
        }
        StatusCode::TOO_MANY_REQUESTS => format!("{url} was asked for too often; it is tried again"),
        status => format!("{url} answers with status {status}"),
    };
    Err(ControllerError::msg(sentence))
}

/// Returns the board's architecture by its name in Go.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Drops what has a meaning in an address.
fn plain(text: &str) -> String {
    let fine = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/');
    text.chars().filter(fine).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_asked_first_and_never_given_the_password() {
        let registry = Registry {
            host: "docker.io".parse().unwrap(),
            mirrors: vec!["http://10.0.0.7:5000".parse().unwrap()],
            ca: None,
            username: Some("me".into()),
            password: Some(machine_config::Secret::new("pass")),
        };
        let list = servers(&"nginx:1".parse().unwrap(), &[registry]);
        let shown: Vec<_> = list
            .iter()
            .map(|one| (one.base.as_str(), one.basic.is_some()))
            .collect();
        assert_eq!(
            shown,
            [
                ("http://10.0.0.7:5000", false),
                ("https://registry-1.docker.io", true)
            ]
        );
        assert_eq!(list[0].repository, "library/nginx");
        assert_eq!(list[1].basic.as_ref().unwrap().as_str(), "Basic bWU6cGFzcw==");
        let digest = format!("r.example.org:5000/a/b:1@sha256:{}", "0".repeat(64));
        let list = servers(&digest.parse().unwrap(), &[]);
        assert_eq!(
            (list[0].base.as_str(), list[0].repository.as_str()),
            ("https://r.example.org:5000", "a/b")
        );
    }
}
