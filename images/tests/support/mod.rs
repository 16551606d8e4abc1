//! Archives laid out and signed like Debian's, for the real apt.

#![allow(dead_code, reason = "each test file uses a part")]

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use board::Arch;
use images::hash;
use images::packages::fetch::{FetchError, Fetcher, Sources};
use images::packages::fetched::Fetched;
use images::packages::kept::Kept;
use images::packages::lock::{Lock, Locked};
use images::packages::mirror::Mirror;
use images::packages::wanted::Wanted;

/// The lock's moment, in seconds since 1970 and as archives write it.
pub const CREATED: u64 = 1_795_403_073;
pub const MOMENT: &str = "20261123T030433Z";

/// A key of our own, and archives signed with it.
pub struct Archives {
    pub dir: tempfile::TempDir,
    pub lock: Lock,
}

impl Drop for Archives {
    fn drop(&mut self) {
        // gpg leaves an agent behind.
        let mut end = Command::new("gpgconf");
        let _ = end
            .arg("--homedir")
            .arg(self.path("gpg"))
            .args(["--kill", "all"])
            .status();
    }
}

impl Archives {
    /// Locks version 1 of `gone` and `same`, and lays out an archive for the lock's moment that has both; nothing where
    /// a tool for that is not installed.
    pub fn new() -> Option<Archives> {
        for tool in ["apt-get", "dpkg-deb", "gpg", "gpgconf"] {
            let there = Command::new(tool).arg("--version").stdout(Stdio::null()).status();
            if there.is_err() {
                eprintln!("skipped: {tool} is not installed");
                return None;
            }
        }
        let mut archives = Archives {
            dir: tempfile::tempdir().unwrap(),
            lock: Lock {
                format: 1,
                suite: "trixie".into(),
                created: CREATED,
                ..Lock::default()
            },
        };
        fs::create_dir(archives.path("gpg")).unwrap();
        archives.gpg(&[
            "--passphrase",
            "",
            "--quick-gen-key",
            "test",
            "ed25519",
            "sign",
            "never",
        ]);
        let keyring = archives.path("keyring.gpg");
        archives.gpg(&["--output", keyring.to_str().unwrap(), "--export"]);
        for name in ["gone", "same"] {
            let deb = archives.deb(name, "1", "as it was locked");
            archives.lock.packages.push(Locked {
                name: name.into(),
                arch: Arch::Arm64,
                suite: None,
                version: "1".into(),
                size: fs::metadata(&deb).unwrap().len(),
                sha256: hash::of_file(&deb).unwrap(),
            });
        }
        archives.lay_out(
            MOMENT,
            &[
                ("gone", "1", "as it was locked"),
                ("same", "1", "as it was locked"),
            ],
        );
        archives.lock.save(&archives.path("lock.yaml")).unwrap();
        Some(archives)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn url(&self, archive: &str) -> String {
        format!("file:{}", self.path(archive).display())
    }

    pub fn gpg(&self, arguments: &[&str]) {
        let mut gpg = Command::new("gpg");
        gpg.args(["--batch", "--quiet", "--homedir"])
            .arg(self.path("gpg"));
        good(&gpg.args(arguments).output().unwrap());
    }

    /// Makes a package whose one file has a certain content; with the content `depends on X` it depends on X.
    pub fn deb(&self, name: &str, version: &str, content: &str) -> PathBuf {
        let (root, deb) = (tempfile::tempdir().unwrap(), self.path("package.deb"));
        let depends = depends(content);
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: test\n{depends}Description: test\n"
        );
        fs::create_dir(root.path().join("DEBIAN")).unwrap();
        fs::write(root.path().join("DEBIAN/control"), control).unwrap();
        fs::write(root.path().join("content"), content).unwrap();
        let mut dpkg = Command::new("dpkg-deb");
        dpkg.args(["--root-owner-group", "--build"])
            .arg(root.path())
            .arg(&deb);
        good(&dpkg.env("SOURCE_DATE_EPOCH", "1700000000").output().unwrap());
        deb
    }

    /// Lays out an archive with packages, each a name, a version and a content, and signs its index.
    pub fn lay_out(&self, archive: &str, packages: &[(&str, &str, &str)]) {
        let _ = fs::remove_dir_all(self.path(archive));
        self.add_suite(archive, "trixie", packages);
    }

    /// Adds a suite to an archive.
    pub fn add_suite(&self, archive: &str, name: &str, packages: &[(&str, &str, &str)]) {
        let root = self.path(archive);
        let (pool, suite) = (root.join("pool").join(name), root.join("dists").join(name));
        fs::create_dir_all(&pool).unwrap();
        let mut index = String::new();
        let suite_name = name;
        for (name, version, content) in packages {
            let depends = depends(content);
            let (deb, file) = (
                self.deb(name, version, content),
                format!("{name}_{version}_arm64.deb"),
            );
            let (size, sha256) = (fs::metadata(&deb).unwrap().len(), hash::of_file(&deb).unwrap());
            fs::rename(deb, pool.join(&file)).unwrap();
            writeln!(
                index,
                "Package: {name}\nVersion: {version}\nArchitecture: all\nFilename: pool/{suite_name}/{file}\nSize: {size}\n\
                 SHA256: {sha256}\n{depends}Description: test\n"
            )
            .unwrap();
        }
        // Long expired, as the index of an old snapshot is.
        let mut release =
            "Suite: stable\nCodename: SUITE\nArchitectures: arm64 amd64\nComponents: main non-free-firmware\n\
            Date: Mon, 23 Nov 2020 03:04:33 UTC\nValid-Until: Mon, 30 Nov 2020 03:04:33 UTC\nSHA256:\n"
                .replace("SUITE", suite_name);
        if archive == "now" {
            release = release.replace("Valid-Until: Mon, 30 Nov 2020 03:04:33 UTC\n", "");
        }
        let components = [("main", index.as_str()), ("non-free-firmware", "")];
        let folders = ["arm64", "amd64"].map(|arch| components.map(|(name, index)| (name, arch, index)));
        for (component, arch, index) in folders.concat() {
            let name = format!("{component}/binary-{arch}/Packages");
            let file = suite.join(&name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, index).unwrap();
            writeln!(
                release,
                " {} {} {name}",
                hash::of_file(&file).unwrap(),
                index.len()
            )
            .unwrap();
        }
        fs::write(suite.join("Release"), release).unwrap();
        let [signed, plain] = ["InRelease", "Release"].map(|name| suite.join(name).display().to_string());
        self.gpg(&["--clearsign", "--output", &signed, &plain]);
    }

    /// Copies what the lock names into a folder, with a cache of its own and more options.
    pub fn keep(&self, into: &str, mirror: &str, options: &[&str]) -> Output {
        let cache = tempfile::tempdir().unwrap();
        let mut program = Command::new(env!("CARGO_BIN_EXE_bedplate-image"));
        program.args(["lock", "--as-is", "--keep"]).arg(self.path(into));
        program
            .arg("--lock")
            .arg(self.path("lock.yaml"))
            .arg("--keyring")
            .arg(self.path("keyring.gpg"));
        program
            .args(["--mirror", &self.url(mirror), "--cache"])
            .arg(cache.path())
            .args(options);
        program
            .env_remove("BEDPLATE_SNAPSHOT")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Fetches what the lock names, as a build does.
    pub fn fetch(&self, allow_changed: &[&str]) -> (Result<Vec<Fetched>, FetchError>, Vec<String>) {
        let cache = tempfile::tempdir().unwrap();
        let (url, keyring) = (self.url("now"), self.path("keyring.gpg"));
        let sources = Sources {
            mirror: Box::new(move || Mirror::named(&url, Some(&keyring))),
            snapshot: None,
            kept: Kept::default(),
            allow_changed: allow_changed.iter().map(|name| (*name).to_owned()).collect(),
        };
        let mut fetcher = Fetcher::new(cache.path(), self.lock.clone(), sources);
        let names = self
            .lock
            .packages
            .iter()
            .map(|package| Wanted::from(package.name.as_str()));
        let fetched = fetcher.fetch(&names.collect::<Vec<_>>(), Arch::Arm64);
        (fetched, fetcher.notes().to_vec())
    }

    /// Asserts that a folder holds the very files that were locked.
    pub fn assert_kept(&self, folder: &str) {
        let kept = Kept::open(&[self.path(folder)]).unwrap();
        for package in &self.lock.packages {
            assert!(
                kept.find(package).is_some(),
                "{} is not in {folder}",
                package.name
            );
        }
    }
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn good(output: &Output) {
    assert!(output.status.success(), "{}", said(output));
}

fn depends(content: &str) -> String {
    let depends = content.strip_prefix("depends on ");
    depends
        .map(|depends| format!("Depends: {depends}\n"))
        .unwrap_or_default()
}
