//! Taking in the body of a request: no more than the server looks at, within memory that all requests share.
//!
//! A body for which no shared memory is left is read to its end and answered with 503.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What of a body does not count as a share of the memory, so that small requests are answered when that is used up.
const FREE: usize = 64 * 1024;
/// For how many bodies of each connection that holds: over HTTP/2 there may be many more.
const FREE_EACH: usize = 4;
/// How much of a body is read at all, if no more of it is to be kept.
const MOST_READ: usize = 64 * 1024 * 1024;

/// The memory that bodies share.
#[derive(Debug)]
pub(crate) struct BodyReader {
    memory: Arc<Semaphore>,
    free: Arc<Semaphore>,
}

/// A body, and its share of the memory until this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) bytes: Bytes,
    _share: Share,
}

/// What a body has of the memory.
#[derive(Debug, Default)]
struct Share {
    memory: Option<OwnedSemaphorePermit>,
    free: Option<OwnedSemaphorePermit>,
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// The connection or its framing broke.
    Broken,
    /// It is still not at its end after 64 MiB, or after what is kept if that is more.
    Endless,
    /// The memory is used up; the body was read to its end all the same, so that the peer reads the answer.
    NoMemory,
}

impl BodyReader {
    /// Memory for the bodies that come over so many connections.
    pub(crate) fn new(bytes: usize, connections: usize) -> Self {
        let semaphore = |bytes: usize| Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)));
        Self {
            memory: semaphore(bytes),
            free: semaphore(connections.max(1).saturating_mul(FREE_EACH * FREE)),
        }
    }

    /// Reads a body to its end and keeps at most `most` bytes of it.
    pub(crate) async fn take(
        &self,
        body: impl Body<Data = Bytes>,
        most: usize,
    ) -> Result<Taken, NotTaken> {
        let mut body = pin!(body);
        let mut kept = Vec::new();
        let mut share = Share::default();
        let mut read = 0;
        let mut has_memory = true;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| NotTaken::Broken)?.into_data() else {
                continue;
            };
            read += data.len();
            if read > MOST_READ.max(most) {
                return Err(NotTaken::Endless);
            }
            // Copied, for a frame of one byte would hold on to a buffer of many.
            let data = data.slice(..data.len().min(most - kept.len()));
            has_memory = has_memory && self.make_room(&mut kept, &mut share, data.len(), most);
            if has_memory {
                kept.extend_from_slice(&data);
            } else {
                kept = Vec::new();
                share = Share::default();
            }
        }
        if has_memory {
            Ok(Taken {
                bytes: kept.into(),
                _share: share,
            })
        } else {
            Err(NotTaken::NoMemory)
        }
    }

    /// How many bytes of the memory are not in use.
    #[cfg(test)]
    pub(crate) fn left(&self) -> usize {
        self.memory.available_permits()
    }

    /// Makes room for `more` bytes; whether there is any.
    fn make_room(&self, kept: &mut Vec<u8>, share: &mut Share, more: usize, most: usize) -> bool {
        let needed = kept.len() + more;
        if needed <= kept.capacity() {
            return true;
        }
        let room = needed.next_power_of_two().min(most);
        if !charge(&self.free, &mut share.free, room.min(FREE))
            || !charge(&self.memory, &mut share.memory, room.saturating_sub(FREE))
        {
            return false;
        }
        kept.reserve_exact(room - kept.len());
        true
    }
}

/// Makes a share `bytes` large; whether there is so much.
fn charge(memory: &Arc<Semaphore>, share: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> bool {
    let charged = share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    let Ok(more) = u32::try_from(bytes.saturating_sub(charged)) else {
        return false;
    };
    let Ok(added) = memory.clone().try_acquire_many_owned(more) else {
        return false;
    };
    match share {
        Some(share) => share.merge(added),
        None => *share = Some(added),
    }
    true
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    fn chunks(count: usize, size: usize) -> impl Body<Data = Bytes> {
        let chunk = Bytes::from(vec![b'x'; size]);
        let frames = (0..count).map(move |_| Ok::<_, Infallible>(Frame::data(chunk.clone())));
        StreamBody::new(stream::iter(frames))
    }

    #[tokio::test]
    async fn what_is_kept_is_charged_until_it_is_dropped() {
        let intake = BodyReader::new(1 << 20, 1);
        let body = Full::new(Bytes::from(vec![7; 100_000]));
        let taken = intake.take(body, 200_000).await.expect("a body");
        assert_eq!(taken.bytes, vec![7; 100_000]);
        // 128 KiB hold it, and 64 of them are free.
        assert_eq!(intake.left(), (1 << 20) - (64 << 10));
        drop(taken);
        assert_eq!(intake.left(), 1 << 20);
    }

    #[tokio::test]
    async fn a_body_beyond_the_most_is_read_and_not_kept() {
        let intake = BodyReader::new(1 << 20, 1);
        let taken = intake.take(chunks(64, 1 << 16), 1_000).await;
        assert_eq!(taken.expect("a body").bytes.len(), 1_000);
    }

    #[tokio::test]
    async fn a_body_of_single_bytes_costs_no_more_than_another() {
        let intake = BodyReader::new(1 << 20, 1);
        let taken = intake.take(chunks(200_000, 1), 1 << 20).await;
        assert_eq!(taken.expect("a body").bytes.len(), 200_000);
    }

    #[tokio::test]
    async fn an_endless_body_is_given_up() {
        let intake = BodyReader::new(1 << 20, 1);
        // One chunk more than 64 MiB, and it would go on.
        let taken = intake.take(chunks(usize::MAX, 1 << 20), 1_000).await;
        assert_eq!(taken.err(), Some(NotTaken::Endless));
    }

    #[tokio::test]
    async fn without_memory_small_bodies_are_still_taken() {
        let intake = BodyReader::new(64 << 10, 1);
        let large = intake.take(chunks(1, 128 << 10), 1 << 20).await;
        assert!(large.is_ok());
        assert_eq!(intake.left(), 0);
        let refused = intake.take(chunks(2, 40_000), 1 << 20).await;
        assert_eq!(refused.err(), Some(NotTaken::NoMemory));
        let small = intake.take(chunks(1, 64 << 10), 1 << 20).await;
        assert_eq!(small.expect("a body").bytes.len(), 64 << 10);
        drop(large);
        assert_eq!(intake.left(), 64 << 10);
    }

    #[tokio::test]
    async fn many_small_bodies_at_once_have_a_bound_too() {
        let intake = BodyReader::new(1 << 20, 2);
        let mut taken = Vec::new();
        for _ in 0..8 {
            let small = intake.take(chunks(1, 64 << 10), 1 << 20).await;
            taken.push(small.expect("a body"));
        }
        let refused = intake.take(chunks(1, 1), 1 << 20).await;
        assert_eq!(refused.err(), Some(NotTaken::NoMemory));
        let empty = intake.take(chunks(0, 0), 1 << 20).await;
        assert!(empty.is_ok());
        taken.pop();
        assert!(intake.take(chunks(1, 1), 1 << 20).await.is_ok());
    }
}
