//! Holds the node's keys and certificates, and renews them.
