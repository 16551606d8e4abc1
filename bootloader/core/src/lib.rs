//! Chooses the slot to boot. Reads a slot record, returns a choice. Never touches firmware.
