//! The lines of an announcement's text record: `KEY=VALUE` (RFC 6763, section 6).

use machine_config::value::HostName;

use crate::{Announcement, ClusterTag, NodeRole};

/// The version of these lines. A reader ignores keys that it does not know, and announcements of another version.
const VERSION: &str = "1";

/// What the lines say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub node: HostName,
    pub cluster: Option<ClusterTag>,
    pub role: NodeRole,
}

/// Writes the lines.
pub(crate) fn write(announcement: &Announcement) -> Vec<String> {
    let mut lines = vec![
        format!("txtvers={VERSION}"),
        format!("node={}", announcement.node),
        format!("role={}", announcement.role.word()),
    ];
    lines.extend(
        announcement
            .cluster
            .iter()
            .map(|cluster| format!("cluster={}", cluster.as_str())),
    );
    lines
}

/// Reads the lines. Returns none if they are not what a node writes.
pub(crate) fn read<'a>(lines: impl Iterator<Item = &'a [u8]> + Clone) -> Option<Said> {
    // Of a key that is there twice, the first counts.
    let value = |key: &str| {
        lines
            .clone()
            .filter_map(|line| std::str::from_utf8(line).ok()?.split_once('='))
            .find(|(found, _)| found.eq_ignore_ascii_case(key))
            .map(|(_, value)| value)
    };
    if value("txtvers")? != VERSION {
        return None;
    }
    let word = value("role")?;
    let (_, role) = *NodeRole::ALL.iter().find(|(known, _)| *known == word)?;
    let cluster = match value("cluster") {
        Some(text) => Some(ClusterTag::parse(text)?),
        None => None,
    };
    Some(Said {
        node: value("node")?.parse().ok()?,
        cluster,
        role,
    })
}
