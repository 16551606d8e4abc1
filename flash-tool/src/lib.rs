//! Flashes a bundle: verifies, writes, injects a machine config, reads back.
