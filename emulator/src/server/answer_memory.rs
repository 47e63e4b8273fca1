//! The memory and the time that answers have until their readers have taken them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::eviction::ConnectionSlot;

/// Answers up to this size do not count: each connection has only a few of them.
const FREE: usize = 64 * 1024;

/// The memory that large answers share.
#[derive(Debug)]
pub(crate) struct AnswerMemory(Arc<Semaphore>);

impl AnswerMemory {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// The bytes of an answer with their share of the memory, which they keep until the last of them is sent; `None` if the
    /// memory is used up. If that takes longer than `timeout`, the connection is closed.
    pub(crate) fn admit(
        &self,
        bytes: Bytes,
        place: &Arc<ConnectionSlot>,
        timeout: Duration,
    ) -> Option<Bytes> {
        if bytes.len() <= FREE {
            return Some(bytes);
        }
        let wanted = u32::try_from(bytes.len()).ok()?;
        let permit = self.0.clone().try_acquire_many_owned(wanted).ok()?;
        let place = place.clone();
        let deadline = tokio::spawn(async move {
            tokio::time::sleep(timeout).await;
            tracing::debug!("the reader of an answer took too long");
            place.close();
        });
        Some(Bytes::from_owner(Admitted {
            bytes,
            _permit: permit,
            deadline,
        }))
    }

    /// How many bytes of the memory are not in use.
    #[cfg(test)]
    pub(crate) fn left(&self) -> usize {
        self.0.available_permits()
    }
}

/// The bytes of an answer, until the last of them is sent.
struct Admitted {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
    deadline: JoinHandle<()>,
}

impl AsRef<[u8]> for Admitted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.deadline.abort();
    }
}
