//! Generates code from the `.proto` file, in Rust: protoc is not needed.

use std::error::Error;

#[expect(clippy::disallowed_macros, reason = "cargo reads what build scripts print")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=build.rs");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.open_file("proto/trust.proto")?;
    tonic_prost_build::configure()
        .build_transport(false)
        .emit_rerun_if_changed(false)
        // A request holds the token: it is never printed.
        .skip_debug(["."])
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
