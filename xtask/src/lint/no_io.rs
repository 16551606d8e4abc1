//! Crates that only compute.

use super::tree::code_lines;
use super::{Finding, Lint, Tree};

pub struct NoIo;

const PURE: &[&str] = &[
    "bootloader/core/src/",
    "crates/slots/src/",
    "crates/owner/src/",
    "crates/firmware-files/src/",
    "crates/firmware-trial/src/",
    "crates/manifest/src/",
    "crates/compose/src/",
    "crates/kubernetes/src/",
    "crates/machine-config/src/",
    "crates/oci-image/src/",
    "crates/quantity/src/",
    "crates/service-definition/src/",
    "crates/yaml/src/",
];
const FORBIDDEN: &[&str] = &[
    "std::fs",
    "TcpListener",
    "TcpStream",
    "ToSocketAddrs",
    "UdpSocket",
    "std::process",
    "std::env",
    "std::io",
    "std::thread",
    "println!",
];

impl Lint for NoIo {
    fn name(&self) -> &'static str {
        "no-io"
    }

    fn reason(&self) -> &'static str {
        "formats and decisions take bytes and give values: so they run in the loader, and every case is tested on the host"
    }

    fn check(&self, tree: &Tree) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (path, source) in tree.product_under(PURE) {
            for (line, code) in code_lines(source) {
                for word in FORBIDDEN.iter().filter(|word| code.contains(*word)) {
                    findings.push(Finding::at(
                        path,
                        line,
                        format!("{word} in a crate that does no I/O"),
                    ));
                }
            }
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_a_file_is_found_in_pure_crates_only() {
        let source = "use std::fs;\n";
        let tree = Tree::of(&[("crates/slots/src/lib.rs", source), ("images/src/lib.rs", source)]);
        assert_eq!(
            NoIo.check(&tree),
            [Finding::at(
                "crates/slots/src/lib.rs",
                1,
                "std::fs in a crate that does no I/O"
            )]
        );
    }
}
