//! Values in the forms of Compose: sizes, times, volumes, devices, ports.

use machine_config::value::{ByteSize, Period};

/// Reads a size of Compose: bytes, or a number with b, k, m, g (of 1024), such as `64m` or `1.5gb`.
///
/// # Errors
/// Fails on another form.
pub(super) fn size(text: &str) -> Result<ByteSize, String> {
    let lower = text.trim().to_ascii_lowercase();
    let end = lower
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let shift = match unit.trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(format!("{text:?} is not a size; expected one such as 64m")),
    };
    let bytes: Option<f64> = number
        .parse()
        .ok()
        .map(|number: f64| number * f64::from(1 << shift));
    let bytes = bytes.filter(|bytes| (1.0..=9e15).contains(bytes));
    bytes
        .map(|bytes| ByteSize::of(bytes as u64))
        .ok_or_else(|| format!("{text:?} is not a size; expected one such as 64m"))
}

/// Reads a length of time of Compose, such as `1m30s`; parts of a second count as a whole one.
///
/// # Errors
/// Fails on another form, and on what is longer than 136 years.
pub(super) fn period(text: &str) -> Result<Period, String> {
    // Microseconds are a unit there and nowhere here.
    let time = quantity::time(text)
        .map_err(|_| format!("{text:?} is not a length of time; expected one such as 1m30s"))?;
    let seconds = u32::try_from(time.as_millis().div_ceil(1000));
    let seconds = seconds.map_err(|_| format!("{text:?} is too long"))?;
    Ok(Period::seconds(seconds.max(1)))
}

/// Puts a number of processors in the form of the machine config: thousandths.
///
/// # Errors
/// Fails on what is not a number of processors.
pub(super) fn processors(text: &str) -> Result<String, String> {
    let number = text.parse::<f64>().ok().map(|number| (number * 1000.0).round());
    let milli = number.filter(|milli| (1.0..=1_024_000.0).contains(milli));
    milli
        .map(|milli| format!("{milli}m"))
        .ok_or_else(|| format!("{text:?} is not a number of processors; expected one such as 0.5"))
}

/// A volume in its short form: `SOURCE:TARGET[:OPTIONS]`, or a target alone.
pub(super) fn volume(text: &str) -> (Option<&str>, &str, Vec<&str>) {
    match text.split_once(':') {
        None => (None, text, Vec::new()),
        Some((source, rest)) => {
            let (target, options) = rest.split_once(':').unwrap_or((rest, ""));
            (
                Some(source),
                target,
                options.split(',').filter(|option| !option.is_empty()).collect(),
            )
        }
    }
}

/// A published port as a file has it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Port {
    /// The address of the host.
    pub host: Option<String>,
    /// The port of the host, or a range.
    pub published: Option<String>,
    /// The port of the container, or a range.
    pub target: String,
    /// The protocol.
    pub protocol: Option<String>,
}

/// Reads a published port in its short form: `[[HOST:]PUBLISHED:]TARGET[/PROTOCOL]`.
pub(super) fn port(text: &str) -> Port {
    let (plain, protocol) = match text.split_once('/') {
        Some((plain, protocol)) => (plain, Some(protocol)),
        None => (text, None),
    };
    let (front, target) = match plain.rsplit_once(':') {
        Some((front, target)) => (Some(front), target),
        None => (None, plain),
    };
    let (host, published) = match front.map(|front| (front, front.rsplit_once(':'))) {
        None => (None, None),
        Some((_, Some((host, published)))) => (Some(host), Some(published)),
        Some((front, None)) => (None, Some(front)),
    };
    Port {
        host: host.map(str::to_owned),
        published: published.map(str::to_owned),
        target: target.to_owned(),
        protocol: protocol.map(str::to_owned),
    }
}
