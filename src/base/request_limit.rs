//! The largest request that the server takes, as the channels of a client have learned it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::warn;

/// In compressed bytes. A proxy or server answers 413 for reasons that no open of a channel changes, so the limit lives as long as
/// the client: a channel that learned its own would meet the same refusals after every open.
#[derive(Debug, Clone)]
pub(crate) struct RequestLimit(Arc<AtomicUsize>);

impl RequestLimit {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// The limit as it is known now. Other channels lower it at any time.
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// The server refused a request of `bytes` as too large.
    ///
    /// The refused size is halved and not the limit, because several requests of one size may be refused at the same time.
    pub(crate) fn refused(&self, bytes: usize) {
        let half = (bytes / 2).max(1);
        if self.0.fetch_min(half, Ordering::Relaxed) > half {
            warn!(
                "the server refuses {bytes} bytes in one request; the client sends at most {half} from now on"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_request_halves_the_limit_for_every_holder_and_never_raises_it() {
        let limit = RequestLimit::new(1_000);
        let other = limit.clone();
        limit.refused(800);
        assert_eq!(other.get(), 400);
        other.refused(800);
        assert_eq!(limit.get(), 400, "both were sent under the old limit");
        limit.refused(1);
        assert_eq!(other.get(), 1, "a request has at least a byte");
    }
}
