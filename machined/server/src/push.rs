//! The two ends of a pushed bundle: the job asks for pieces, the call passes the wish on to its client.
//!
//! At most one wish is open at a time, so at most one piece is in memory: that is all the flow control there is, and
//! all that is needed.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use api::MAX_DATA;
use api::v1alpha1::{BundleData, BundleWant};
use backend::{PushError, PushedBundle};
use tokio::sync::mpsc;

/// How long a client may take for a piece: a megabyte, over a thin link.
const PATIENCE: Duration = Duration::from_secs(120);

/// One wish, and where its answer goes.
struct Wish {
    want: BundleWant,
    reply: SyncSender<Vec<u8>>,
}

/// The job's end.
pub(super) struct Pushed {
    length: u64,
    patience: Duration,
    wishes: mpsc::Sender<Wish>,
    /// Why no piece comes any more, if anybody said so.
    fault: Arc<OnceLock<PushError>>,
}

/// The call's end. When it is dropped, the job is told that the client is gone.
pub(super) struct Desk {
    wishes: mpsc::Receiver<Wish>,
    open: Option<Wish>,
    fault: Arc<OnceLock<PushError>>,
}

/// Makes both ends for a bundle of that length.
pub(super) fn pushed(length: u64) -> (Pushed, Desk) {
    with_patience(length, PATIENCE)
}

fn with_patience(length: u64, patience: Duration) -> (Pushed, Desk) {
    let (sender, receiver) = mpsc::channel(1);
    let fault = Arc::new(OnceLock::new());
    let job = Pushed {
        length,
        patience,
        wishes: sender,
        fault: fault.clone(),
    };
    let desk = Desk {
        wishes: receiver,
        open: None,
        fault,
    };
    (job, desk)
}

impl Pushed {
    fn ended(&self, otherwise: PushError) -> PushError {
        self.fault.get_or_init(|| otherwise).clone()
    }
}

impl PushedBundle for Pushed {
    fn length(&self) -> u64 {
        self.length
    }

    fn read(&mut self, offset: u64, length: u32) -> Result<Vec<u8>, PushError> {
        let end = offset.checked_add(length.into());
        let most = usize::try_from(length).is_ok_and(|length| (1..=MAX_DATA).contains(&length));
        if !most || end.is_none_or(|end| end > self.length) {
            return Err(PushError::OutOfRange {
                offset,
                length,
                bundle: self.length,
            });
        }
        if let Some(fault) = self.fault.get() {
            return Err(fault.clone());
        }
        let (reply, answer) = sync_channel(1);
        let want = BundleWant { offset, length };
        // There is room: the wish before this one was taken, or its failure was the last word.
        let sent = self.wishes.try_send(Wish { want, reply });
        sent.map_err(|_| self.ended(PushError::Gone))?;
        answer.recv_timeout(self.patience).map_err(|error| {
            self.ended(match error {
                RecvTimeoutError::Timeout => PushError::Silent,
                RecvTimeoutError::Disconnected => PushError::Gone,
            })
        })
    }
}

impl Desk {
    /// Waits for the job's next wish, and returns what to ask the client for; none once the job needs nothing more.
    ///
    /// Cancel safe: a wish is taken and kept in one go.
    pub(super) async fn next(&mut self) -> Option<BundleWant> {
        let wish = self.wishes.recv().await?;
        let want = wish.want;
        self.open = Some(wish);
        Some(want)
    }

    /// Passes on what the client sent, if it is exactly what was asked for. If not, no other piece is passed on.
    pub(super) fn take(&mut self, data: BundleData) -> Result<(), PushError> {
        let Some(wish) = self.open.take() else {
            return Err(self.break_off(format!("data at {} came though none was asked for", data.offset)));
        };
        let length = u64::try_from(data.data.len()).unwrap_or(u64::MAX);
        if data.offset != wish.want.offset || length != u64::from(wish.want.length) {
            return Err(self.break_off(format!(
                "asked for {} bytes at {}, it sent {length} at {}",
                wish.want.length, wish.want.offset, data.offset
            )));
        }
        // The job may have given up waiting meanwhile: then nobody needs the piece.
        let _ = wish.reply.send(data.data);
        Ok(())
    }

    /// Lets the job know that its client broke the rules.
    pub(super) fn break_off(&mut self, how: String) -> PushError {
        let fault = PushError::Wrong(how);
        self.open = None;
        self.fault.get_or_init(|| fault.clone()).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(offset: u64, bytes: &[u8]) -> BundleData {
        BundleData {
            offset,
            data: bytes.to_vec(),
        }
    }

    /// Reads once on a thread of its own, while `answer` plays the call.
    async fn read_once(
        length: u32,
        answer: impl AsyncFnOnce(&mut Desk, BundleWant),
    ) -> (Result<Vec<u8>, PushError>, Pushed) {
        let (mut job, mut desk) = with_patience(100, Duration::from_millis(200));
        let reading = tokio::task::spawn_blocking(move || (job.read(10, length), job));
        let want = desk.next().await.expect("a wish");
        answer(&mut desk, want).await;
        drop(desk);
        reading.await.expect("the reader ends")
    }

    #[tokio::test]
    async fn a_piece_that_was_asked_for_arrives() {
        let (read, _) = read_once(3, async |desk, want| {
            assert_eq!((want.offset, want.length), (10, 3));
            desk.take(data(10, b"abc")).expect("what was asked for");
        })
        .await;
        assert_eq!(read, Ok(b"abc".to_vec()));
    }

    #[tokio::test]
    async fn anything_else_ends_it_for_good() {
        for (offset, bytes) in [(10, b"ab".as_slice()), (10, b"abcd"), (11, b"abc")] {
            let (read, mut job) = read_once(3, async |desk, _| {
                desk.take(data(offset, bytes))
                    .expect_err("not what was asked for");
            })
            .await;
            assert!(matches!(read, Err(PushError::Wrong(_))), "{read:?}");
            assert_eq!(job.read(0, 1), read, "the fault stays the same");
        }
        let (_job, mut desk) = pushed(5);
        let error = desk.take(data(0, b"x")).expect_err("nobody asked");
        assert!(error.to_string().contains("none was asked for"), "{error}");
    }

    #[tokio::test]
    async fn a_client_that_goes_or_sleeps_is_told_apart() {
        let (read, _) = read_once(3, async |desk, _| desk.open = None).await;
        assert_eq!(read, Err(PushError::Gone));
        let (read, mut job) = read_once(3, async |_, _| {
            tokio::time::sleep(Duration::from_millis(600)).await
        })
        .await;
        assert_eq!(read, Err(PushError::Silent));
        assert_eq!(job.read(0, 1), Err(PushError::Silent));
    }

    #[test]
    fn only_pieces_of_the_bundle_can_be_asked_for() {
        let (mut job, _desk) = pushed(10);
        let large = u32::try_from(MAX_DATA).expect("a megabyte") + 1;
        for (offset, length) in [(0, 0), (0, 11), (10, 1), (u64::MAX, 1), (0, large)] {
            let error = job.read(offset, length).expect_err("out of range");
            assert!(matches!(error, PushError::OutOfRange { .. }), "{offset} {length}");
        }
    }
}
