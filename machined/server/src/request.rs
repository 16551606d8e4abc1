//! The body of a request: its size limit, its time limit, and the memory limit of all of them together.
//!
//! gRPC puts the length before each message. It is read here, before the message is: one that is too large, or has no
//! room beside the others, costs nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use api::Method;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use quantity::human_time;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;

use super::class::Class;

/// Bytes of a message that any call may have in memory; more counts against the limit of its class.
const FREE: u32 = 16 * 1024;
/// Bytes before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The limits of a request.
#[derive(Debug, Clone)]
pub(super) struct Allowance {
    /// Size limit of one message, in bytes.
    pub(super) message: usize,
    /// Time limit until the whole request is received.
    pub(super) time: Duration,
    /// The time limit applies to the first message only: the node requests the others.
    pub(super) paced: bool,
    /// Kibibytes that large messages of the same class share.
    pub(super) room: Arc<Semaphore>,
}

/// Time limits of a small request, and of a large one over a slow link.
const TIMES: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));

/// Returns the limits of a request that may only be small.
pub(super) fn small(message: usize) -> Allowance {
    Allowance {
        message,
        time: TIMES.0,
        paced: false,
        room: Arc::new(Semaphore::new(0)),
    }
}

/// The limits of all requests, by method and class. Clones share the room.
#[derive(Debug, Clone)]
pub(super) struct Allowances {
    rooms: [Arc<Semaphore>; Class::ALL.len()],
}

impl Default for Allowances {
    fn default() -> Self {
        Self {
            rooms: Class::ALL.map(|class| Arc::new(Semaphore::new(class.cost().requests))),
        }
    }
}

impl Allowances {
    /// Returns the limits of a request.
    pub(super) fn of(&self, method: &Method, class: Class) -> Allowance {
        let message = method.max_request_bytes;
        let (small, large) = TIMES;
        Allowance {
            message,
            time: if message > api::MAX_SMALL_MESSAGE {
                large
            } else {
                small
            },
            paced: method.paced,
            room: self.rooms[class.index()].clone(),
        }
    }
}

/// The room that a large message takes. Whoever works on the message keeps a clone for as long.
pub(super) type Room = Arc<Mutex<Option<OwnedSemaphorePermit>>>;

/// A request's body that keeps to its allowance, and fails with a status where it does not.
pub(super) struct Metered {
    body: Body,
    allowance: Allowance,
    framing: Framing,
    /// That of the message on its way; until one is, that of the one before.
    taken: Room,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Metered {
    /// Meters a body; what room its messages take is put into `taken`.
    pub(super) fn new(body: Body, allowance: Allowance, taken: Room) -> Self {
        Self {
            body,
            deadline: Some(Box::pin(tokio::time::sleep(allowance.time))),
            allowance,
            framing: Framing::default(),
            taken,
        }
    }

    fn look(&mut self, mut bytes: &[u8]) -> Result<(), Status> {
        while let Some(length) = self.framing.next(&mut bytes) {
            let allowed = u32::try_from(self.allowance.message).unwrap_or(u32::MAX);
            if length > allowed {
                return Err(Status::out_of_range(format!(
                    "the request has {length} bytes; the limit is {allowed}"
                )));
            }
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            *taken = None;
            if length > FREE {
                let room = self.allowance.room.clone();
                let permit = room.try_acquire_many_owned(length.div_ceil(1024));
                *taken = Some(permit.map_err(|_| {
                    Status::resource_exhausted("the node is handling too many large requests; try again")
                })?);
            }
        }
        if self.allowance.paced && self.framing.whole > 0 {
            self.deadline = None;
        }
        Ok(())
    }
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let Some(deadline) = &mut this.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            let time = human_time(this.allowance.time);
            let text = format!("the request was not here within {time}; try again");
            return Poll::Ready(Some(Err(Status::deadline_exceeded(text))));
        }
        let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(status) = this.look(data)
        {
            return Poll::Ready(Some(Err(status)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Finds the lengths of messages in what arrives, however it is cut.
#[derive(Debug, Default)]
struct Framing {
    prefix: [u8; PREFIX],
    /// Bytes of the prefix that are here.
    have: usize,
    /// Bytes of the message that are not.
    left: u32,
    /// Messages that are here as a whole.
    whole: u64,
}

impl Framing {
    /// Takes bytes up to the end of the next prefix, and returns the length in it; none when all bytes are taken.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<u32> {
        loop {
            if self.left > 0 || self.have == PREFIX {
                let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                *bytes = &bytes[here..];
                self.left = self.left.saturating_sub(u32::try_from(here).unwrap_or(u32::MAX));
                if self.left > 0 {
                    return None;
                }
                self.have = 0;
                self.whole += 1;
            }
            let (&byte, rest) = bytes.split_first()?;
            *bytes = rest;
            self.prefix[self.have] = byte;
            self.have += 1;
            if self.have == PREFIX {
                let [_, length @ ..] = self.prefix;
                self.left = u32::from_be_bytes(length);
                return Some(self.left);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tonic::Code;

    use super::*;
    use crate::pieces::Pieces;

    fn message(length: usize) -> Vec<u8> {
        let prefix = u32::try_from(length).unwrap().to_be_bytes();
        [&[0], prefix.as_slice(), &vec![7; length]].concat()
    }

    fn allowance(room: usize) -> Allowance {
        Allowance {
            message: 40 * 1024,
            time: Duration::from_secs(10),
            paced: false,
            room: Arc::new(Semaphore::new(room)),
        }
    }

    fn metered(bytes: &[u8], allowance: &Allowance) -> Metered {
        let pieces = bytes.chunks(1000).map(Bytes::copy_from_slice).collect();
        Metered::new(Body::new(Pieces(pieces)), allowance.clone(), Room::default())
    }

    /// Reads until the body fails.
    async fn failure(body: &mut Metered) -> Code {
        loop {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
            if let Err(status) = frame.expect("it never ends well") {
                return status.code();
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_has_its_size_its_room_and_its_time() {
        let allowance = allowance(20);
        let cases = [
            (message(41 * 1024), Code::OutOfRange),
            (message(30 * 1024), Code::ResourceExhausted),
            (message(20 * 1024), Code::DeadlineExceeded),
            (message(16 * 1024).repeat(9), Code::DeadlineExceeded),
            (vec![0, 0, 0], Code::DeadlineExceeded),
            (vec![], Code::DeadlineExceeded),
        ];
        for (bytes, expected) in cases {
            let found = failure(&mut metered(&bytes, &allowance)).await;
            assert_eq!(found, expected, "{} bytes", bytes.len());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_shared_and_given_back() {
        let allowance = allowance(40);
        let mut first = metered(&message(30 * 1024), &allowance);
        assert_eq!(failure(&mut first).await, Code::DeadlineExceeded);
        let mut second = metered(&message(30 * 1024), &allowance);
        assert_eq!(failure(&mut second).await, Code::ResourceExhausted);
        drop(first);
        let mut third = metered(&message(30 * 1024), &allowance);
        assert_eq!(failure(&mut third).await, Code::DeadlineExceeded);
    }

    #[tokio::test(start_paused = true)]
    async fn messages_that_the_node_requests_may_come_late() {
        let mut allowance = allowance(40);
        allowance.paced = true;
        let mut body = metered(&message(3), &allowance);
        let late = tokio::time::timeout(Duration::from_secs(3600), failure(&mut body)).await;
        assert!(late.is_err(), "it waits for the next message");
        let mut body = metered(&message(3)[..4], &allowance);
        assert_eq!(failure(&mut body).await, Code::DeadlineExceeded);
    }

    proptest! {
        #[test]
        fn lengths_are_found_however_the_bytes_are_cut(
            lengths in prop::collection::vec(0_usize..40, 0..8),
            cut in 1_usize..50,
        ) {
            let bytes: Vec<u8> = lengths.iter().flat_map(|length| message(*length)).collect();
            let mut framing = Framing::default();
            let mut found = Vec::new();
            for mut piece in bytes.chunks(cut) {
                while let Some(length) = framing.next(&mut piece) {
                    found.push(usize::try_from(length).unwrap());
                }
            }
            prop_assert_eq!(found, lengths);
        }
    }
}
