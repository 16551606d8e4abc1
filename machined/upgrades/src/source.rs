//! The sources of a bundle.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use backend::PushedBundle;
use remote::Remote;
use upgrade::Source;

use super::throttle::Throttle;

/// The most that is requested from a client at once.
const PIECE: usize = api::MAX_DATA;

/// The statistics of a source, for others while an upgrade owns the source.
#[derive(Debug, Clone, Default)]
pub(super) struct Gauge {
    fetched: Arc<AtomicU64>,
    changed: Arc<AtomicBool>,
}

impl Gauge {
    /// Counts fetched bytes.
    pub fn add(&self, bytes: u64) {
        self.fetched.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns the fetched bytes, needed or not.
    pub fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    /// Returns true if the file changed, or may have changed, while it was read, and resets that.
    pub fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }
}

/// Computes a new position in a file.
fn moved(at: u64, len: u64, to: SeekFrom) -> io::Result<u64> {
    let target = match to {
        SeekFrom::Start(offset) => Some(offset),
        SeekFrom::End(by) => len.checked_add_signed(by),
        SeekFrom::Current(by) => at.checked_add_signed(by),
    };
    target.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "a position before the start of the bundle",
        )
    })
}

/// A bundle on a web server.
pub(super) struct Web {
    remote: Remote,
    at: u64,
    gauge: Gauge,
}

impl Web {
    /// Reads from its start.
    pub fn new(remote: Remote, gauge: Gauge) -> Self {
        Web { remote, at: 0, gauge }
    }
}

impl Read for Web {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.remote.len().saturating_sub(self.at);
        let len = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.remote.read_at(self.at, &mut out[..len]).map_err(|error| {
            if matches!(error, remote::Error::Changed { .. }) {
                self.gauge.changed.store(true, Ordering::Relaxed);
            }
            io::Error::other(error)
        })?;
        if self.remote.may_have_changed() {
            // If a check fails now, the file may have been replaced: then it is opened again.
            self.gauge.changed.store(true, Ordering::Relaxed);
        }
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for Web {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = moved(self.at, self.remote.len(), to)?;
        Ok(self.at)
    }
}

impl Source for Web {
    fn expect(&mut self, ranges: &[Range<u64>]) {
        self.remote.expect(ranges.iter().cloned());
    }

    fn comes_in_order(&self) -> bool {
        !self.remote.gives_ranges()
    }
}

/// A bundle that a client sends piece by piece.
pub(super) struct Pushed {
    bundle: Box<dyn PushedBundle>,
    at: u64,
    gauge: Gauge,
    throttle: Throttle,
}

impl Pushed {
    /// Reads from its start.
    pub fn new(bundle: Box<dyn PushedBundle>, gauge: Gauge, throttle: Throttle) -> Self {
        Pushed {
            bundle,
            at: 0,
            gauge,
            throttle,
        }
    }
}

impl Read for Pushed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.bundle.length().saturating_sub(self.at);
        let len = out
            .len()
            .min(PIECE)
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let Ok(wanted @ 1..) = u32::try_from(len) else {
            return Ok(0);
        };
        if self.throttle.is_cancelled() {
            // Without requesting another piece from the client.
            return Err(io::Error::other("the upgrade was cancelled"));
        }
        let piece = self.bundle.read(self.at, wanted).map_err(io::Error::other)?;
        out[..len].copy_from_slice(&piece);
        self.at += len as u64;
        self.gauge.add(len as u64);
        self.throttle.took(len as u64);
        Ok(len)
    }
}

impl Seek for Pushed {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = moved(self.at, self.bundle.length(), to)?;
        Ok(self.at)
    }
}

impl Source for Pushed {}

#[cfg(test)]
mod tests {
    use backend::PushError;

    use super::*;

    struct Client {
        bundle: Vec<u8>,
        asked: Vec<(u64, u32)>,
    }

    impl PushedBundle for Client {
        fn length(&self) -> u64 {
            self.bundle.len() as u64
        }
        fn read(&mut self, offset: u64, length: u32) -> Result<Vec<u8>, PushError> {
            self.asked.push((offset, length));
            let start = usize::try_from(offset).unwrap();
            let piece = self.bundle.get(start..start + length as usize);
            piece.map(<[u8]>::to_vec).ok_or(PushError::Gone)
        }
    }

    #[test]
    fn a_client_is_asked_for_pieces_within_its_limit() {
        let bundle: Vec<u8> = (0..3_000_000u32).map(|number| number as u8).collect();
        let client = Client {
            bundle: bundle.clone(),
            asked: Vec::new(),
        };
        let gauge = Gauge::default();
        let mut source = Pushed::new(
            Box::new(client),
            gauge.clone(),
            Throttle::new(None, Arc::default()),
        );
        assert_eq!(source.seek(SeekFrom::End(0)).unwrap(), 3_000_000);
        assert_eq!(source.read(&mut [0; 10]).unwrap(), 0);
        source.seek(SeekFrom::Start(100)).unwrap();
        let mut all = Vec::new();
        source.read_to_end(&mut all).unwrap();
        assert!(all == bundle[100..]);
        assert_eq!(gauge.fetched(), 2_999_900);
        assert!(source.seek(SeekFrom::Current(-4_000_000)).is_err());
    }

    #[test]
    fn the_failure_of_a_client_is_reported() {
        struct Gone;
        impl PushedBundle for Gone {
            fn length(&self) -> u64 {
                10
            }
            fn read(&mut self, _: u64, _: u32) -> Result<Vec<u8>, PushError> {
                Err(PushError::Silent)
            }
        }
        let mut source = Pushed::new(
            Box::new(Gone),
            Gauge::default(),
            Throttle::new(None, Arc::default()),
        );
        let error = source.read(&mut [0; 4]).unwrap_err();
        assert!(error.to_string().contains("did not send"), "{error}");
    }
}
