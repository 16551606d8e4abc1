//! The Linux system calls of the house, behind safe functions and small traits.
