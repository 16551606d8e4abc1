//! The signed manifest of a slot image: parsing, limits, signatures, its place at the end of a slot.
