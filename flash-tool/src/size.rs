//! Sizes as people read them; how they write them is the crate `quantity`'s business.

/// Writes a size for people: three digits, as disks are sold (powers of 1000).
pub fn show(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    let digits = if unit == "B" || value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (31_914_983_424, "31.9 GB"),
            (999_999_999, "1.00 GB"),
            (512_110_190_592, "512 GB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(show(bytes), text);
        }
    }
}
