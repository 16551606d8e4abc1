//! A call in which a client pushes what a job of the node requests, piece by piece.

use api::v1alpha1::{BundleData, BundleWant};
use backend::BackendError;
use futures::{Stream, stream};
use tokio::task::JoinHandle;
use tonic::{Status, Streaming};

use crate::push::PieceQueue;

/// What a call says to its client.
pub(super) enum Said<T> {
    /// It requests a piece.
    Want(BundleWant),
    /// The job has ended well; nothing follows.
    Done(T),
}

/// One call, from its start to its end.
pub(super) struct Pushed<Q, T> {
    /// The work; none once it has ended.
    job: Option<JoinHandle<Result<T, BackendError>>>,
    requests: Streaming<Q>,
    pieces: PieceQueue,
    /// Takes the data out of a request; none if it is of another kind.
    data: fn(Q) -> Option<BundleData>,
    /// What the job is called where it fails.
    what: &'static str,
}

impl<Q: 'static, T: Send + 'static> Pushed<Q, T> {
    /// Makes a call for a job that reads from the other end of `pieces`.
    pub(super) fn new(
        what: &'static str,
        job: JoinHandle<Result<T, BackendError>>,
        requests: Streaming<Q>,
        pieces: PieceQueue,
        data: fn(Q) -> Option<BundleData>,
    ) -> Self {
        Pushed {
            job: Some(job),
            requests,
            pieces,
            data,
            what,
        }
    }

    /// Returns everything that the call says.
    pub(super) fn answers(self) -> impl Stream<Item = Result<Said<T>, Status>> {
        stream::unfold(self, |mut call| async {
            let answer = call.step().await?;
            if !matches!(answer, Ok(Said::Want(_))) {
                call.job = None;
            }
            Some((answer, call))
        })
    }

    /// Returns the next thing to say; none once the call has ended.
    async fn step(&mut self) -> Option<Result<Said<T>, Status>> {
        let job = self.job.as_mut()?;
        let (mut asks, mut hears) = (true, true);
        loop {
            tokio::select! {
                biased;
                // Cancel safe: a request is taken and kept in one step.
                want = self.pieces.next(), if asks => match want {
                    Some(want) => return Some(Ok(Said::Want(want))),
                    None => asks = false,
                },
                // Cancel safe: what has arrived of a message stays in the stream.
                said = self.requests.message(), if hears => match said {
                    Ok(Some(request)) => {
                        let fault = match (self.data)(request) {
                            Some(data) => self.pieces.take(data).err(),
                            None => Some(self.pieces.fail("only data may follow the start".to_owned())),
                        };
                        if let Some(fault) = fault {
                            return Some(Err(Status::invalid_argument(fault.to_string())));
                        }
                    }
                    Ok(None) => {
                        hears = false;
                        // Of no consequence once everything has arrived.
                        let _ended = self.pieces.fail("the request ended before all data were sent".to_owned());
                    }
                    Err(status) => return Some(Err(status)),
                },
                // Cancel safe: a task that has ended says so again.
                ended = &mut *job => return Some(match ended {
                    Ok(done) => done.map(Said::Done).map_err(Status::from),
                    Err(error) => Err(Status::internal(format!("the {} failed: {error}", self.what))),
                }),
            }
        }
    }
}
