//! Interfaces by name, from `/sys/class/net`.

use super::{Host, entries, number};

/// What the kernel knows an interface by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its kind, `ARPHRD_…` in `include/uapi/linux/if_arp.h`.
    pub kind: u32,
}

impl Host {
    /// Names the interfaces, in order.
    pub fn links(&self) -> Vec<String> {
        entries(&self.sys.join("class/net"))
    }

    /// Finds an interface by its name.
    pub fn link(&self, name: &str) -> Option<Link> {
        // Only a name that is listed: it becomes a part of a path.
        let name = self.links().into_iter().find(|known| known == name)?;
        let folder = self.sys.join("class/net").join(name);
        let index = number(&folder.join("ifindex"));
        (index > 0).then(|| Link {
            index,
            kind: number(&folder.join("type")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_of_this_machine_to_itself_is_found() {
        let host = Host::default();
        let link = host.link("lo").expect("there is one");
        assert!(link.index > 0 && link.kind == 772, "{link:?}");
        for other in ["", ".", "..", "../../class/net/lo", "lo/"] {
            assert_eq!(host.link(other), None, "{other}");
        }
    }
}
