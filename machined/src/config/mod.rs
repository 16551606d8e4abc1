//! Finds the machine config, validates it, and applies it.
