//! How much memory each component may use.

use kubernetes::Kind;
use quantity::Size;

/// Returns the most memory that a component may use on a board with so much: a share of it, and never less than the
/// component needs to start, twice over.
pub fn memory(component: Kind, board: Size) -> Size {
    // Measured with 1.20 on an idle cluster of one node: 310, 50, 90, 45, 80 and 40 MiB.
    let (percent, least) = match component {
        Kind::ApiServer => (50, 640),
        Kind::Etcd => (25, 128),
        Kind::ControllerManager => (20, 192),
        Kind::Scheduler => (10, 96),
        Kind::Kubelet => (20, 192),
        Kind::Proxy => (10, 96),
    };
    Size((board.0 / 100 * percent).max(least << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_board_gives_what_is_needed_and_a_large_one_a_share() {
        assert_eq!(memory(Kind::ApiServer, Size(1 << 30)), Size(640 << 20));
        assert_eq!(memory(Kind::ApiServer, Size(8_000_000_000)), Size(4_000_000_000));
        assert_eq!(memory(Kind::Scheduler, Size(512 << 20)), Size(96 << 20));
    }
}
