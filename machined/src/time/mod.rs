//! Keeps the clock: SNTP, and the last time seen for boards without a clock.
