//! The two ends of a pushed bundle: the job requests pieces, and the call passes the requests on to its client.
//!
//! At most one request is open at a time, so at most one piece is in memory: no other flow control is needed.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use api::MAX_DATA;
use api::v1alpha1::{BundleData, BundleWant};
use backend::{PushError, PushedBundle};
use tokio::sync::mpsc;

/// Time limit of a piece: a megabyte, over a slow link.
const PATIENCE: Duration = Duration::from_secs(120);

/// A request for a piece, and the channel for its data.
struct PieceRequest {
    want: BundleWant,
    reply: SyncSender<Vec<u8>>,
}

/// The job's end.
pub(super) struct BundleReader {
    length: u64,
    patience: Duration,
    requested: mpsc::Sender<PieceRequest>,
    /// The reason why no piece arrives any more, once there is one.
    fault: Arc<OnceLock<PushError>>,
}

/// The call's end. When it is dropped, reads fail with [`PushError::Gone`].
pub(super) struct PieceQueue {
    requested: mpsc::Receiver<PieceRequest>,
    open: Option<PieceRequest>,
    fault: Arc<OnceLock<PushError>>,
}

/// Returns both ends for a bundle of that length.
pub(super) fn channel(length: u64) -> (BundleReader, PieceQueue) {
    channel_with_patience(length, PATIENCE)
}

fn channel_with_patience(length: u64, patience: Duration) -> (BundleReader, PieceQueue) {
    let (sender, receiver) = mpsc::channel(1);
    let fault = Arc::new(OnceLock::new());
    let job = BundleReader {
        length,
        patience,
        requested: sender,
        fault: fault.clone(),
    };
    let pieces = PieceQueue {
        requested: receiver,
        open: None,
        fault,
    };
    (job, pieces)
}

impl BundleReader {
    fn ended(&self, otherwise: PushError) -> PushError {
        self.fault.get_or_init(|| otherwise).clone()
    }
}

impl PushedBundle for BundleReader {
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
        // There is room: the request before this one was taken, or its failure was the last word.
        let sent = self.requested.try_send(PieceRequest { want, reply });
        sent.map_err(|_| self.ended(PushError::Gone))?;
        answer.recv_timeout(self.patience).map_err(|error| {
            self.ended(match error {
                RecvTimeoutError::Timeout => PushError::Silent,
                RecvTimeoutError::Disconnected => PushError::Gone,
            })
        })
    }
}

impl PieceQueue {
    /// Waits for the job's next request; none once the job needs nothing more.
    ///
    /// Cancel safe: a request is taken and kept in one go.
    pub(super) async fn next(&mut self) -> Option<BundleWant> {
        let request = self.requested.recv().await?;
        let want = request.want;
        self.open = Some(request);
        Some(want)
    }

    /// Passes the client's data on, if it is exactly what was requested. Otherwise no further piece is passed on.
    pub(super) fn take(&mut self, data: BundleData) -> Result<(), PushError> {
        let Some(request) = self.open.take() else {
            return Err(self.fail(format!(
                "data at offset {} was sent, but not requested",
                data.offset
            )));
        };
        let length = u64::try_from(data.data.len()).unwrap_or(u64::MAX);
        if data.offset != request.want.offset || length != u64::from(request.want.length) {
            return Err(self.fail(format!(
                "{} bytes at offset {} were requested, but {length} at offset {} were sent",
                request.want.length, request.want.offset, data.offset
            )));
        }
        // The job may have stopped waiting in the meantime: then the piece is not needed.
        let _ = request.reply.send(data.data);
        Ok(())
    }

    /// Fails all reads, as the client has violated the protocol.
    pub(super) fn fail(&mut self, how: String) -> PushError {
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
        answer: impl AsyncFnOnce(&mut PieceQueue, BundleWant),
    ) -> (Result<Vec<u8>, PushError>, BundleReader) {
        let (mut job, mut pieces) = channel_with_patience(100, Duration::from_millis(200));
        let reading = tokio::task::spawn_blocking(move || (job.read(10, length), job));
        let want = pieces.next().await.expect("a request");
        answer(&mut pieces, want).await;
        drop(pieces);
        reading.await.expect("the reader ends")
    }

    #[tokio::test]
    async fn a_piece_that_was_asked_for_arrives() {
        let (read, _) = read_once(3, async |pieces, want| {
            assert_eq!((want.offset, want.length), (10, 3));
            pieces.take(data(10, b"abc")).expect("what was asked for");
        })
        .await;
        assert_eq!(read, Ok(b"abc".to_vec()));
    }

    #[tokio::test]
    async fn anything_else_ends_it_for_good() {
        for (offset, bytes) in [(10, b"ab".as_slice()), (10, b"abcd"), (11, b"abc")] {
            let (read, mut job) = read_once(3, async |pieces, _| {
                pieces
                    .take(data(offset, bytes))
                    .expect_err("not what was asked for");
            })
            .await;
            assert!(matches!(read, Err(PushError::Wrong(_))), "{read:?}");
            assert_eq!(job.read(0, 1), read, "the fault stays the same");
        }
        let (_job, mut pieces) = channel(5);
        let error = pieces.take(data(0, b"x")).expect_err("nobody asked");
        assert!(error.to_string().contains("but not requested"), "{error}");
    }

    #[tokio::test]
    async fn a_client_that_goes_or_sleeps_is_told_apart() {
        let (read, _) = read_once(3, async |pieces, _| pieces.open = None).await;
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
        let (mut job, _desk) = channel(10);
        let large = u32::try_from(MAX_DATA).expect("a megabyte") + 1;
        for (offset, length) in [(0, 0), (0, 11), (10, 1), (u64::MAX, 1), (0, large)] {
            let error = job.read(offset, length).expect_err("out of range");
            assert!(matches!(error, PushError::OutOfRange { .. }), "{offset} {length}");
        }
    }
}
