//! Whole documents: what is accepted, what is refused, and that reading and writing agree.

mod cluster;
mod faults;
mod limits;
mod round_trip;
mod texts;
mod workloads;

/// The golden file of the version: every field, once.
pub(crate) const GOLDEN: &str = include_str!("../testdata/v1alpha1.yaml");

/// The smallest valid document.
pub(crate) const SMALLEST: &str = "\
apiVersion: bedplate.dev/v1alpha1
kind: MachineConfig
machine:
  role: standalone
  ca:
    cert: \"-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\"
    key: \"-----BEGIN PRIVATE KEY-----\\nMC4C\\n-----END PRIVATE KEY-----\"
";
