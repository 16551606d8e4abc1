//! Lists what is in an image, as an SPDX 2.3 document: packages with versions, hashes and package URLs.

use serde_json::{Value, json};

use crate::packages::fetch::Fetched;
use crate::packages::mirror::SUITE;
use crate::time::rfc3339;

/// What the document is about.
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
}

/// Gives the document as JSON.
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
    for package in subject.packages {
        let id = identifier("package", package);
        packages.push(describe(&id, package));
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

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}

/// Identifiers hold letters, digits, `.` and `-` only.
fn identifier(kind: &str, package: &Fetched) -> String {
    let name: String = package
        .name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        })
        .collect();
    format!("SPDXRef-{kind}-{}-{name}", package.arch)
}

fn purl(package: &Fetched) -> String {
    let mut version = String::new();
    for byte in package.version.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => {
                version.push(char::from(byte))
            }
            other => version.push_str(&format!("%{other:02X}")),
        }
    }
    format!(
        "pkg:deb/debian/{}@{version}?arch={}&distro={SUITE}",
        package.name.replace('+', "%2B"),
        package.arch
    )
}

#[cfg(test)]
mod tests {
    use board::Arch;

    use super::*;

    fn fetched(name: &str, version: &str) -> Fetched {
        Fetched {
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
}
