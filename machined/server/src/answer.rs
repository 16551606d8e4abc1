//! The body of an answer, which ends when its call's grant does.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use backend::grant::{Grant, Revoked};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// Passes an answer on until it ends or the grant is revoked; then the call ends with the reason, and what made the
/// answer is dropped: a watch, a followed log, a pushed bundle.
pub(super) struct Guarded {
    /// The answer, until it is over.
    body: Option<Body>,
    revoked: Pin<Box<dyn Future<Output = Revoked> + Send>>,
}

impl Guarded {
    pub(super) fn new(body: Body, grant: Grant) -> Self {
        Self {
            body: Some(body),
            revoked: Box::pin(async move { grant.revoked().await }),
        }
    }
}

impl HttpBody for Guarded {
    type Data = <Body as HttpBody>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        if self.body.is_none() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(why) = self.revoked.as_mut().poll(cx) {
            self.body = None;
            let mut trailers = http::HeaderMap::new();
            let told = Status::from(why).add_header(&mut trailers);
            return Poll::Ready(Some(told.map(|()| Frame::trailers(trailers))));
        }
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}
