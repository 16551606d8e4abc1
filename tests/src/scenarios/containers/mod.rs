//! Nodes as privileged containers of Podman: what scenarios on them share.

mod chance;
mod curl;
mod etcdctl;
mod faults;
mod host;
mod image;
mod lab;
mod network;
mod outage;
mod writer;

pub use chance::Chance;
pub use etcdctl::Etcdctl;
pub use image::Image;
pub use lab::{Lab, Member};
pub use outage::Watch;
pub use writer::Writers;

use crate::kubernetes_programs as programs;
use crate::tools::Tool;

/// Says why nodes cannot run in containers here; none if they can.
pub fn missing() -> Option<String> {
    let there = Tool::new("podman")
        .args(["info", "--format", "{{.Host.Security.Rootless}}"])
        .run();
    match there {
        Err(_) => Some("no podman that works".to_owned()),
        Ok(rootless) if rootless.trim() != "false" => Some("podman is not run by root".to_owned()),
        Ok(_) => programs::missing(),
    }
}

/// Says which program is not there; none if all are.
pub fn missing_tool(tools: &[&str]) -> Option<String> {
    let there = |tool: &&&str| Tool::new("which").arg(tool).run().is_err();
    tools.iter().find(there).map(|tool| format!("no {tool}"))
}
