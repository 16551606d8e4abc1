//! A real registry on loopback, from the distribution's package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::image::{Image, MANIFEST, digest};
use crate::ports;
use crate::tools::Tool;

/// The program of the package `docker-registry`.
pub const PROGRAM: &str = "docker-registry";
/// How an emulated machine calls the one that it runs on.
const HOST: &str = "10.0.2.2";
const SOON: Duration = Duration::from_secs(20);

/// A registry that runs or not. What it has stays in its folder.
pub struct Registry {
    folder: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Registry {
    /// Makes one that keeps its images in a folder, and starts it.
    pub fn start(folder: &Path) -> Result<Registry> {
        fs::create_dir_all(folder)?;
        let port = ports::draw()?;
        let settings = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"127.0.0.1:{port}\"}}\n",
            folder.join("images").display()
        );
        fs::write(folder.join("config.yaml"), settings)?;
        let mut registry = Registry {
            folder: folder.to_owned(),
            port,
            child: None,
        };
        registry.resume()?;
        Ok(registry)
    }

    /// Returns its address for an emulated machine.
    pub fn mirror(&self) -> String {
        format!("http://{HOST}:{}", self.port)
    }

    /// Starts it again, on the same port.
    pub fn resume(&mut self) -> Result<()> {
        let log = fs::File::create(self.folder.join("registry.log"))?;
        // The kernel ends it with us, however we end.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", PROGRAM, "serve"])
            .arg(self.folder.join("config.yaml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start setpriv")?;
        self.child = Some(child);
        let until = Instant::now() + SOON;
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if Instant::now() > until {
                bail!("the registry does not start; see {}", self.folder.display());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Ends it.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // An error means that it is gone already.
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Pushes an image under `tester:TAG`.
    pub fn push(&self, image: &Image, tag: &str) -> Result<()> {
        for blob in image.layers.iter().chain([&image.config]) {
            let begin = self.curl(&["-X", "POST", "-o", "/dev/null", "-w", "%header{location}"]);
            let place = begin.arg(self.url("blobs/uploads/")).run()?;
            let sign = if place.contains('?') { '&' } else { '?' };
            let place = format!("{}{sign}digest={}", place.trim(), digest(blob));
            self.put(&place, "application/octet-stream", blob)?;
        }
        self.put(&self.url(&format!("manifests/{tag}")), MANIFEST, &image.manifest)
    }

    fn put(&self, url: &str, kind: &str, bytes: &[u8]) -> Result<()> {
        let file = self.folder.join("upload");
        fs::write(&file, bytes)?;
        let header = format!("content-type: {kind}");
        self.curl(&["-X", "PUT", "-H", &header, "--data-binary"])
            .arg(format!("@{}", file.display()))
            .arg(url)
            .run()
            .map(drop)
    }

    fn curl(&self, options: &[&str]) -> Tool {
        Tool::new("curl").args(["-sS", "--fail"]).args(options)
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/v2/tester/{path}", self.port)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}
