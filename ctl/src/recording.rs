//! A connection that records the first TLS error.
//!
//! In TLS 1.3 a node refuses a client certificate after the handshake, when gRPC has the connection already, and gRPC
//! may report nothing but that it was closed. So the refusal is recorded where it passes.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use crate::explain::find_cause;

/// A TLS connection that records the first error.
pub struct RecordingStream<S> {
    stream: TlsStream<S>,
    note: FirstTlsError,
}

/// The first TLS error on a connection.
#[derive(Debug, Clone, Default)]
pub struct FirstTlsError(Arc<Mutex<Option<rustls::Error>>>);

impl FirstTlsError {
    /// Returns the error, if one occurred.
    pub fn get(&self) -> Option<rustls::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take_from<T>(&self, result: &Poll<io::Result<T>>) {
        if let Poll::Ready(Err(error)) = result
            && let Some(found) = find_cause::<rustls::Error>(error)
        {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert(found.clone());
        }
    }
}

impl<S> RecordingStream<S> {
    /// Wraps a connection.
    pub fn new(stream: TlsStream<S>) -> (Self, FirstTlsError) {
        let note = FirstTlsError::default();
        (
            Self {
                stream,
                note: note.clone(),
            },
            note,
        )
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for RecordingStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.note.take_from(&result);
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for RecordingStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note.take_from(&result);
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
