//! The bundle: the one file that is published for a board and version.
