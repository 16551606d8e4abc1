//! Lists what is in an image, as an SPDX 2.3 document: packages and crates with versions, hashes and package URLs.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::containers::Container;
use crate::kubernetes::{Program, Programs};
use crate::packages::fetched::Fetched;
use crate::packages::mirror::SUITE;
use crate::time::rfc3339;

/// The subject of the document.
pub struct Subject<'a> {
    /// Name that all results of the build start with.
    pub stem: &'a str,
    /// The image's version.
    pub version: &'a str,
    /// Hash of the manifest, as hex: it tells one build from another.
    pub manifest: &'a str,
    /// Time that the image bears, in seconds since 1970.
    pub created: u64,
    /// The packages it is made of.
    pub packages: &'a [Fetched],
    /// Packages that only made it: nothing of them is in it.
    pub tools: &'a [Fetched],
    /// Crates that are linked into our own programs.
    pub crates: &'a Crates,
    /// Programs of Kubernetes.
    pub kubernetes: Option<&'a Programs>,
    /// Container images for workloads.
    pub containers: &'a [Container],
}

/// Crates that are linked into our programs, as the build of the programs lists them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crates {
    /// Those of the agent.
    pub machined: Vec<Crate>,
    /// Those of the program that holds a pod's namespaces.
    pub pause: Vec<Crate>,
    /// Those of the loader.
    pub bootloader: Vec<Crate>,
}

/// One version of a crate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence, as its author wrote it.
    pub license: String,
    /// The hash of the file that it comes in.
    pub sha256: String,
}

/// Returns the document as JSON.
pub fn spdx(subject: &Subject<'_>) -> String {
    let image = "SPDXRef-image";
    let mut packages = vec![json!({
        "SPDXID": image,
        "name": subject.stem,
        "versionInfo": subject.version,
        "supplier": "Organization: Bedplate",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "OPERATING-SYSTEM",
    })];
    let mut relationships = vec![relation("SPDXRef-DOCUMENT", "DESCRIBES", image)];
    for name in ["machined", "pause", "bootloader"] {
        let id = format!("SPDXRef-bedplate-{name}");
        packages.push(json!({
            "SPDXID": id,
            "name": format!("bedplate-{name}"),
            "versionInfo": subject.version,
            "supplier": "Organization: Bedplate",
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "licenseConcluded": "Apache-2.0 OR MIT",
            "licenseDeclared": "Apache-2.0 OR MIT",
            "copyrightText": "NOASSERTION",
        }));
        relationships.push(relation(image, "CONTAINS", &id));
    }
    for (one, programs) in by_crate(subject.crates) {
        let id = format!("SPDXRef-crate-{}-{}", plain(&one.name), plain(&one.version));
        packages.push(describe_crate(&id, one));
        for program in programs {
            relationships.push(relation(
                &format!("SPDXRef-bedplate-{program}"),
                "STATIC_LINK",
                &id,
            ));
        }
    }
    for package in subject.packages {
        let id = identifier("package", package);
        packages.push(describe(&id, package));
        relationships.push(relation(image, "CONTAINS", &id));
    }
    if let Some(programs) = subject.kubernetes {
        for program in &programs.all {
            let id = format!("SPDXRef-kubernetes-{}", plain(&program.name));
            packages.push(describe_program(&id, program, &programs.version.to_string()));
            relationships.push(relation(image, "CONTAINS", &id));
        }
    }
    for container in subject.containers {
        let id = format!("SPDXRef-container-{}", plain(&container.name));
        packages.push(describe_container(&id, container));
        relationships.push(relation(image, "CONTAINS", &id));
    }
    for tool in subject.tools {
        let id = identifier("tool", tool);
        packages.push(describe(&id, tool));
        relationships.push(relation(&id, "BUILD_TOOL_OF", image));
    }
    let document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": subject.stem,
        "documentNamespace": format!("https://bedplate.dev/spdx/{}/{}", subject.stem, subject.manifest),
        "creationInfo": {
            "created": rfc3339(subject.created),
            "creators": [format!("Tool: bedplate-image-{}", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relationships,
    });
    format!("{document:#}\n")
}

fn describe(id: &str, package: &Fetched) -> Value {
    json!({
        "SPDXID": id,
        "name": package.name,
        "versionInfo": package.version,
        "supplier": "Organization: Debian",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "checksums": [{"algorithm": "SHA256", "checksumValue": package.sha256}],
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": purl(package),
        }],
    })
}

/// Lists each crate once, with the programs that it is linked into.
fn by_crate(crates: &Crates) -> BTreeMap<&Crate, Vec<&'static str>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let programs = [
        ("machined", &crates.machined),
        ("pause", &crates.pause),
        ("bootloader", &crates.bootloader),
    ];
    for (program, linked) in programs {
        for one in linked {
            all.entry(one).or_default().push(program);
        }
    }
    all
}

fn describe_crate(id: &str, one: &Crate) -> Value {
    let license = if one.license.is_empty() {
        "NOASSERTION"
    } else {
        &one.license
    };
    json!({
        "SPDXID": id,
        "name": one.name,
        "versionInfo": one.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": license,
        "copyrightText": "NOASSERTION",
        "checksums": [{"algorithm": "SHA256", "checksumValue": one.sha256}],
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": format!("pkg:cargo/{}@{}", one.name, escaped(&one.version)),
        }],
    })
}

fn describe_program(id: &str, program: &Program, version: &str) -> Value {
    json!({
        "SPDXID": id,
        "name": program.name,
        "versionInfo": version,
        "supplier": "Organization: The Kubernetes Authors",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "Apache-2.0",
        "copyrightText": "NOASSERTION",
        "checksums": [{"algorithm": "SHA512", "checksumValue": program.sha512}],
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": format!("pkg:golang/k8s.io/kubernetes@v{version}#cmd/{}", program.name),
        }],
    })
}

/// Describes a container image as one thing: what is in it is for its publisher to list.
fn describe_container(id: &str, container: &Container) -> Value {
    let (name, tag) = container.name.rsplit_once(':').unwrap_or((&container.name, ""));
    let last = name.rsplit('/').next().unwrap_or(name);
    let hash = container.digest.trim_start_matches("sha256:");
    json!({
        "SPDXID": id,
        "name": container.name,
        "versionInfo": container.digest,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{"algorithm": "SHA256", "checksumValue": hash}],
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": format!(
                "pkg:oci/{last}@sha256%3A{hash}?repository_url={}&tag={tag}",
                escaped(name).replace("%2F", "/")
            ),
        }],
    })
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}

fn identifier(kind: &str, package: &Fetched) -> String {
    format!("SPDXRef-{kind}-{}-{}", package.arch, plain(&package.name))
}

/// Identifiers hold letters, digits, `.` and `-` only.
fn plain(text: &str) -> String {
    text.replace(|c: char| !(c.is_ascii_alphanumeric() || c == '.'), "-")
}

fn purl(package: &Fetched) -> String {
    format!(
        "pkg:deb/debian/{}@{}?arch={}&distro={SUITE}",
        package.name.replace('+', "%2B"),
        escaped(&package.version),
        package.arch
    )
}

/// Writes a version as package URLs want it.
fn escaped(version: &str) -> String {
    let mut escaped = String::new();
    for byte in version.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => {
                escaped.push(char::from(byte))
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use board::Arch;

    use super::*;

    fn fetched(name: &str, version: &str) -> Fetched {
        Fetched {
            suite: None,
            name: name.into(),
            arch: Arch::Arm64,
            version: version.into(),
            size: 1,
            sha256: "ab".repeat(32),
            path: "x.deb".into(),
        }
    }

    #[test]
    fn every_package_is_described_and_related_once() {
        let packages = [fetched("libc6", "2.41-12+deb13u4"), fetched("zlib1g", "1:1.3")];
        let tools = [fetched("erofs-utils", "1.8.6-1")];
        let text = spdx(&Subject {
            stem: "bedplate-x-1.0.0",
            version: "1.0.0",
            manifest: "00",
            created: 1_700_000_000,
            packages: &packages,
            tools: &tools,
            crates: &Crates::default(),
            kubernetes: None,
            containers: &[],
        });
        let document: Value = serde_json::from_str(&text).unwrap();
        let ids: Vec<&str> = document["packages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|package| package["SPDXID"].as_str().unwrap())
            .collect();
        for id in &ids {
            let uses = document["relationships"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|relation| {
                    relation["relatedSpdxElement"] == *id
                        || (relation["spdxElementId"] == *id && *id != "SPDXRef-image")
                });
            assert_eq!(uses.count(), if *id == "SPDXRef-image" { 2 } else { 1 }, "{id}");
        }
        assert!(text.contains("pkg:deb/debian/libc6@2.41-12%2Bdeb13u4?arch=arm64&distro=trixie"));
        assert!(text.contains("pkg:deb/debian/zlib1g@1%3A1.3?"));
        assert!(text.contains("2023-11-14T22:13:20Z"));
    }

    #[test]
    fn programs_of_kubernetes_are_listed_with_their_sums() {
        let programs = Programs {
            version: "1.36.2".parse().unwrap(),
            all: vec![Program {
                name: "kubelet".into(),
                data: vec![],
                sha512: "ab".into(),
            }],
            notes: vec![],
        };
        let subject = Subject {
            stem: "x",
            version: "1.0.0",
            manifest: "00",
            created: 0,
            packages: &[],
            tools: &[],
            crates: &Crates::default(),
            kubernetes: Some(&programs),
            containers: &[],
        };
        let document: Value = serde_json::from_str(&spdx(&subject)).unwrap();
        let packages = document["packages"].as_array().unwrap();
        let kubelet = packages
            .iter()
            .find(|package| package["name"] == "kubelet")
            .unwrap();
        assert_eq!(kubelet["versionInfo"], "1.36.2");
        assert_eq!(kubelet["checksums"][0]["algorithm"], "SHA512");
        assert_eq!(
            kubelet["externalRefs"][0]["referenceLocator"],
            "pkg:golang/k8s.io/kubernetes@v1.36.2#cmd/kubelet"
        );
    }

    #[test]
    fn a_container_image_is_listed_with_its_digest() {
        let containers = [Container {
            name: "registry.example.org:5000/a/camera:1.4".into(),
            digest: format!("sha256:{}", "ab".repeat(32)),
            unpacked: 1,
            archive: vec![],
        }];
        let subject = Subject {
            stem: "x",
            version: "1.0.0",
            manifest: "00",
            created: 0,
            packages: &[],
            tools: &[],
            crates: &Crates::default(),
            kubernetes: None,
            containers: &containers,
        };
        let document: Value = serde_json::from_str(&spdx(&subject)).unwrap();
        let packages = document["packages"].as_array().unwrap();
        let camera = packages
            .iter()
            .find(|package| package["primaryPackagePurpose"] == "CONTAINER")
            .unwrap();
        assert_eq!(camera["name"], "registry.example.org:5000/a/camera:1.4");
        assert_eq!(camera["checksums"][0]["checksumValue"], "ab".repeat(32));
        assert_eq!(
            camera["externalRefs"][0]["referenceLocator"],
            format!(
                "pkg:oci/camera@sha256%3A{}?repository_url=registry.example.org%3A5000/a/camera&tag=1.4",
                "ab".repeat(32)
            )
        );
    }

    #[test]
    fn a_crate_is_described_once_and_linked_into_each_program_that_has_it() {
        let list = |crates: &[&str]| format!("[{}]", crates.join(","));
        let zstd = r#"{"name": "zstd_sys", "version": "2.1.3+zstd.1.5.7", "license": "MIT", "sha256": "cd"}"#;
        let odd = r#"{"name": "odd", "version": "1.0.0", "license": "", "sha256": "ef"}"#;
        let crates = format!(
            r#"{{"machined": {}, "pause": [], "bootloader": {}}}"#,
            list(&[zstd, odd]),
            list(&[zstd])
        );
        let crates: Crates = serde_json::from_str(&crates).unwrap();
        let subject = Subject {
            stem: "x",
            version: "1.0.0",
            manifest: "00",
            created: 0,
            packages: &[],
            tools: &[],
            crates: &crates,
            kubernetes: None,
            containers: &[],
        };
        let text = spdx(&subject);
        assert_eq!(text, spdx(&subject));
        let document: Value = serde_json::from_str(&text).unwrap();
        let list = |field: &str| document[field].as_array().unwrap().clone();
        let packages: Vec<Value> = list("packages")
            .into_iter()
            .filter(|package| package["SPDXID"].as_str().unwrap().starts_with("SPDXRef-crate-"))
            .collect();
        let ids = [
            "SPDXRef-crate-odd-1.0.0",
            "SPDXRef-crate-zstd-sys-2.1.3-zstd.1.5.7",
        ];
        assert_eq!([&packages[0]["SPDXID"], &packages[1]["SPDXID"]], ids);
        assert_eq!(packages.len(), 2);
        assert_eq!(packages[0]["licenseDeclared"], "NOASSERTION");
        assert_eq!(packages[1]["checksums"][0]["checksumValue"], "cd");
        assert_eq!(
            packages[1]["externalRefs"][0]["referenceLocator"],
            "pkg:cargo/zstd_sys@2.1.3%2Bzstd.1.5.7"
        );
        let links = list("relationships");
        let links = links
            .iter()
            .filter(|relation| relation["relationshipType"] == "STATIC_LINK");
        let links: Vec<(&str, &str)> = links
            .map(|link| {
                (
                    link["spdxElementId"].as_str().unwrap(),
                    link["relatedSpdxElement"].as_str().unwrap(),
                )
            })
            .collect();
        let (machined, loader) = ("SPDXRef-bedplate-machined", "SPDXRef-bedplate-bootloader");
        assert_eq!(links, [(machined, ids[0]), (machined, ids[1]), (loader, ids[1])]);
    }
}
