//! dm-verity hash trees: building and checking.
