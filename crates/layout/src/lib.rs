//! Where the partitions of a Bedplate disk lie.
