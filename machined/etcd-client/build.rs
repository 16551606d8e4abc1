//! Compiles etcd's messages, without a protoc to install.

use std::error::Error;

const FILE: &str = "proto/etcd.proto";

#[expect(clippy::disallowed_macros, reason = "cargo reads what build scripts print")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let described = protox::compile([FILE], ["proto"])?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .compile_fds(described)?;
    Ok(())
}
