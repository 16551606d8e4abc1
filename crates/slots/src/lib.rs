//! The slot record: which slot to boot, and how often it may still be tried.
