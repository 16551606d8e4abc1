//! The file itself: requests, bodies, and continuing after an interruption.

use std::io::Read;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, IF_RANGE, RANGE};
use quantity::human_time;
use ureq::{Agent, BodyReader};

use crate::address::Address;
use crate::agent::agent;
use crate::error::Failure;
use crate::no_ranges::NoRanges;
use crate::response::{self, RangeResponse, Validators};
use crate::spans::{BRIDGE, end_of, runs};
use crate::{Cause, Error, Options};

/// The longest rest of a body that is read to its end though nobody needs it: a new connection costs more.
const DRAIN: u64 = 64 * 1024;
const STOP_POLL: Duration = Duration::from_millis(50);

/// What was transferred.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests that were answered.
    pub requests: u64,
    /// Bytes of bodies that were read, needed or not.
    pub bytes: u64,
    /// Bytes among them that were not needed: skipped, or sent because the server does not support ranges.
    pub skipped: u64,
}

/// A file on a web server.
pub struct Remote {
    agent: Agent,
    address: Address,
    options: Options,
    len: u64,
    validators: Validators,
    changed_version: bool,
    ranges: bool,
    runs: Vec<Range<u64>>,
    body: Option<Body>,
    /// How far the file has come, when it can only come in order.
    no_ranges: NoRanges,
    traffic: Traffic,
}

/// A body that is being read.
struct Body {
    reader: BodyReader<'static>,
    at: u64,
    end: u64,
}

impl Remote {
    /// Opens a file: requests its first bytes, and so learns its length.
    pub fn open(url: &str, options: Options) -> Result<Remote, Error> {
        let address = Address::parse(url)?;
        let mut remote = Remote {
            agent: agent(&address, &options)?,
            address,
            no_ranges: NoRanges::new(options.restarts),
            options,
            len: 0,
            validators: Validators::default(),
            changed_version: false,
            ranges: true,
            runs: Vec::new(),
            body: None,
            traffic: Traffic::default(),
        };
        let mut failures = 0;
        while let Err(failure) = remote.first() {
            failures += 1;
            remote.wait_or_fail(failure, failures, remote.options.tries_to_open)?;
        }
        Ok(remote)
    }

    /// Returns the file's length.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns true if the file is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the address without what may be secret in it.
    pub fn shown(&self) -> &str {
        &self.address.shown
    }

    /// Returns true if the server supports ranges. When it does not, the file comes whole: bytes can be read in order only,
    /// and those in between are transferred as well.
    pub fn gives_ranges(&self) -> bool {
        self.ranges
    }

    /// Returns true if a response had another ETag or date than the first one, so that the content may differ. Only when the
    /// reader verifies what it takes: otherwise that is an error.
    pub fn may_have_changed(&self) -> bool {
        self.changed_version
    }

    /// Returns what was transferred so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Announces which spans will be read, so that near ones come in one request. Replaces earlier announcements.
    ///
    /// It is a hint: reads are right without it. Announce only what will be read, in order: what was requested and is not
    /// taken may already be on the way.
    pub fn expect(&mut self, spans: impl IntoIterator<Item = Range<u64>>) {
        self.runs = runs(spans, self.len);
    }

    /// Reads exactly `out.len()` bytes at an offset.
    pub fn read_at(&mut self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let end = offset
            .checked_add(out.len() as u64)
            .filter(|end| *end <= self.len);
        let Some(end) = end else {
            return Err(Error::End {
                url: self.address.shown.clone(),
                len: self.len,
                wanted: offset.saturating_add(out.len() as u64).saturating_sub(1),
            });
        };
        let (mut filled, mut failures) = (0, 0);
        while filled < out.len() {
            match self.some(offset + filled as u64..end, &mut out[filled..]) {
                Ok(came) => {
                    filled += came;
                    failures = 0;
                }
                Err(failure) => {
                    if matches!(failure, Failure::Passing(..)) {
                        // What follows in a body that failed once cannot be trusted.
                        self.body = None;
                    }
                    failures += 1;
                    self.wait_or_fail(failure, failures, self.options.tries)?;
                }
            }
        }
        Ok(())
    }

    /// Makes the first request.
    fn first(&mut self) -> Result<(), Failure> {
        let (answer, validators, reader) = self.ask(0..self.options.first.max(1))?;
        let (len, end) = match answer {
            RangeResponse::Part {
                start: 0,
                end,
                total: Some(total),
            } => (total, end),
            RangeResponse::Whole { len } => {
                self.ranges = false;
                (len, len)
            }
            // Only an empty file has no first byte.
            RangeResponse::Beyond { total: Some(0) } => return Ok(()),
            other => {
                return Err(passing(Cause::BadResponse(format!(
                    "the first bytes were requested, but it has {other}"
                ))));
            }
        };
        self.len = len;
        self.validators = validators;
        self.body = Some(Body { reader, at: 0, end });
        Ok(())
    }

    /// Reads at least one of the needed bytes.
    fn some(&mut self, wanted: Range<u64>, out: &mut [u8]) -> Result<usize, Failure> {
        self.stopped()?;
        if !self.ranges && self.no_ranges.has_passed(wanted.start) {
            self.no_ranges.restart(&self.address.shown, wanted.start)?;
            self.body = None;
            if let Some(on_retry) = &self.options.on_retry {
                on_retry("the server does not support ranges: reading the file from its start again");
            }
        }
        if !self
            .body
            .as_ref()
            .is_some_and(|body| self.reaches(body, wanted.start))
        {
            self.leave_body();
            self.request(&wanted)?;
        }
        let at = self.body.as_ref().map_or(wanted.start, |body| body.at);
        self.skip(wanted.start - at)?;
        self.take(out)
    }

    /// Returns true if reading on in a body is the way to reach a byte.
    fn reaches(&self, body: &Body, byte: u64) -> bool {
        (body.at..body.end).contains(&byte) && (byte - body.at <= BRIDGE || !self.ranges)
    }

    /// Leaves a body; if it is nearly at its end it is read, so that the connection can be used again.
    fn leave_body(&mut self) {
        if let Some(body) = &self.body
            && body.end - body.at <= DRAIN
            && self.ranges
        {
            let rest = body.end - body.at;
            // A connection that cannot be used again is replaced.
            let _closed = self.skip(rest);
        }
        self.body = None;
    }

    /// Requests the needed bytes, and those that are expected after them.
    fn request(&mut self, wanted: &Range<u64>) -> Result<(), Failure> {
        let end = end_of(&self.runs, wanted.clone());
        let (answer, validators, reader) = self.ask(wanted.start..end)?;
        let changed = |what: String| {
            Failure::Final(Error::Changed {
                url: self.address.shown.clone(),
                what,
            })
        };
        let differs = self.validators.differs(&validators);
        if let Some(what) = differs.as_ref().filter(|_| !self.options.verified_by_reader) {
            return Err(changed(what.clone()));
        }
        let total = match answer {
            RangeResponse::Part { total, .. } | RangeResponse::Beyond { total } => total,
            RangeResponse::Whole { len } => Some(len),
        };
        if let Some(total) = total.filter(|total| *total != self.len) {
            return Err(changed(format!("it had {} bytes, and has {total}", self.len)));
        }
        if self.validators.missing_in(&validators) && !self.options.verified_by_reader {
            return Err(passing(Cause::BadResponse(
                "it no longer has an ETag or date".into(),
            )));
        }
        self.changed_version |= differs.is_some();
        let (at, end) = match answer {
            RangeResponse::Part { start, end, .. } if start == wanted.start => (start, end),
            RangeResponse::Whole { len } => {
                self.no_ranges.count_resend(&self.address.shown)?;
                (0, len)
            }
            other => {
                let text = format!(
                    "bytes from {} on were requested, but it has {other}",
                    wanted.start
                );
                return Err(passing(Cause::BadResponse(text)));
            }
        };
        self.ranges = matches!(answer, RangeResponse::Part { .. });
        if self.ranges {
            self.no_ranges.reset();
        }
        self.body = Some(Body { reader, at, end });
        Ok(())
    }

    /// Sends one request, and reads the head of the response.
    fn ask(
        &mut self,
        range: Range<u64>,
    ) -> Result<(RangeResponse, Validators, BodyReader<'static>), Failure> {
        self.stopped()?;
        let mut request = self
            .agent
            .get(&self.address.uri)
            .header(RANGE, format!("bytes={}-{}", range.start, range.end - 1));
        // A server with another version would send the whole file.
        if let Some(condition) = self
            .validators
            .condition()
            .filter(|_| !self.options.verified_by_reader)
        {
            request = request.header(IF_RANGE, condition);
        }
        if let Some(authorization) = &self.address.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let reply = request
            .call()
            .map_err(|error| self.failed(Cause::from_http(error), None))?;
        self.traffic.requests += 1;
        let (head, body) = reply.into_parts();
        let answer = response::read(head.status, &head.headers)
            .map_err(|cause| self.failed(cause, response::retry_after(&head.headers)))?;
        Ok((answer, Validators::of(&head.headers), body.into_reader()))
    }

    /// Skips bytes of the body.
    fn skip(&mut self, mut bytes: u64) -> Result<(), Failure> {
        let mut scratch = [0; 8 * 1024];
        while bytes > 0 {
            self.stopped()?;
            let len = scratch.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
            let came = self.take(&mut scratch[..len])? as u64;
            self.traffic.skipped += came;
            bytes -= came;
        }
        Ok(())
    }

    /// Takes at least one byte from the body.
    fn take(&mut self, out: &mut [u8]) -> Result<usize, Failure> {
        let Some(body) = &mut self.body else {
            return Err(passing(Cause::Cut {
                missing: out.len() as u64,
            }));
        };
        let left = body.end - body.at;
        let len = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let came = match body.reader.read(&mut out[..len]) {
            Ok(0) => return Err(passing(Cause::Cut { missing: left })),
            Ok(came) => came,
            Err(error) => {
                let cause = Cause::from_body(error);
                return Err(self.failed(cause, None));
            }
        };
        body.at += came as u64;
        if !self.ranges {
            self.no_ranges.advance(body.at);
        }
        if body.at == body.end {
            // Only a body that was read to its end returns its connection to the pool.
            let _connection = body.reader.read(&mut [0; 1]);
            self.body = None;
        }
        self.traffic.bytes += came as u64;
        if let Some(pace) = &mut self.options.pace {
            pace(came as u64);
        }
        Ok(came)
    }

    fn failed(&self, cause: Cause, retry_after: Option<Duration>) -> Failure {
        if cause.may_pass() {
            return Failure::Passing(cause, retry_after);
        }
        Failure::Final(Error::Refused {
            url: self.address.shown.clone(),
            source: cause,
        })
    }

    /// Waits for the next try, or returns the error when there is none.
    fn wait_or_fail(&self, failure: Failure, failures: u32, tries: u32) -> Result<(), Error> {
        let (cause, retry_after) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Passing(cause, retry_after) => (cause, retry_after),
        };
        if failures >= tries {
            return Err(Error::RetriesExhausted {
                url: self.address.shown.clone(),
                tries: failures,
                source: cause,
            });
        }
        let pause = self
            .options
            .pause_after(failures)
            .max(retry_after.unwrap_or_default());
        if let Some(tell) = &self.options.on_retry {
            tell(&format!("{cause}; trying again in {}", human_time(pause)));
        }
        let until = Instant::now() + pause;
        while let Some(left) = until
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
        {
            self.stopped()?;
            std::thread::sleep(left.min(STOP_POLL));
        }
        Ok(())
    }

    fn stopped(&self) -> Result<(), Error> {
        match self.options.stop.load(Ordering::Relaxed) {
            true => Err(Error::Stopped),
            false => Ok(()),
        }
    }
}

fn passing(cause: Cause) -> Failure {
    Failure::Passing(cause, None)
}
