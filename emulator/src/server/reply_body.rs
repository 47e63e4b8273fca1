//! An answer's body, and how it breaks off.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// How much of a body is handed over at once: what hyper holds of it is not counted against the memory of answers.
const FRAME: usize = 64 * 1024;

/// Ends a connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the emulator breaks the connection")]
pub(crate) struct Broken;

/// An answer's body.
#[derive(Debug)]
pub(crate) struct ReplyBody {
    rest: Bytes,
    end: End,
}

/// What comes after the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The end.
    Whole,
    /// A broken connection, once the bytes are on their way.
    CutSoon,
    /// A broken connection.
    CutNow,
}

impl ReplyBody {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self {
            rest: bytes,
            end: End::Whole,
        }
    }

    pub(crate) fn cut(mut bytes: Bytes) -> Self {
        bytes.truncate(bytes.len() / 2);
        Self {
            rest: bytes,
            end: End::CutSoon,
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if !self.rest.is_empty() {
            let length = self.rest.len().min(FRAME);
            let bytes = self.rest.split_to(length);
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match self.end {
            End::Whole => Poll::Ready(None),
            End::CutSoon => {
                // hyper flushes what it has when a body is not ready.
                self.end = End::CutNow;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            End::CutNow => Poll::Ready(Some(Err(Broken))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.end == End::Whole
    }

    fn size_hint(&self) -> SizeHint {
        match (self.end, u64::try_from(self.rest.len())) {
            (End::Whole, Ok(length)) => SizeHint::with_exact(length),
            _ => SizeHint::default(),
        }
    }
}
